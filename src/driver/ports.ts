/**
 * I/O ports of a device as typed data, and access to them in batches: each access is the kernel's, so what
 * belongs together is queued and run with one system call.
 */

import { type Access, type BitRange, type Definition, Field } from "./registers.ts";

/** Bytes of an access. */
export type PortWidth = 1 | 2 | 4;

type Ranges = Record<string, BitRange>;

/** A port: where it is, how wide, and what may be done with it. Its fields are properties by name. */
export class Port<A extends Access = Access> {
  /** `STATUS` */
  readonly name: string;
  readonly access: A;
  /** Byte offset into the BAR. */
  readonly port: number;
  readonly width: PortWidth;

  constructor(name: string, { access, offset, width }: { access: A; offset: number; width: PortWidth }) {
    this.name = name;
    this.access = access;
    this.port = offset;
    this.width = width;
  }
}

/** A port with its fields as properties. */
export type NamedPort<A extends Access, F extends Ranges> =
  & Port<A>
  & { readonly [Key in keyof F]: Field<A> };

/** A port before it has a name: `ro(7)` is a byte, `word(rw(0))` two bytes, `long(rw(4))` four. */
export interface PortDefinition<A extends Access, F extends Ranges> extends Definition<A, F, false> {
  readonly width?: PortWidth;
}

/** Makes a port 16 bits wide. */
export function word<A extends Access, const F extends Ranges>(
  port: Definition<A, F, false>,
): PortDefinition<A, F> {
  return { ...port, width: 2 };
}

/** Makes a port 32 bits wide. */
export function long<A extends Access, const F extends Ranges>(
  port: Definition<A, F, false>,
): PortDefinition<A, F> {
  return { ...port, width: 4 };
}

type Definitions = Record<string, PortDefinition<Access, Ranges>>;

type Named<D> = D extends PortDefinition<infer A, infer F> ? NamedPort<A, F> : never;

const ALL: unique symbol = Symbol("all ports");

/** What `ports` returns: ports by name, and all of them for whoever grants them. */
export type PortMap<D extends Definitions = Definitions> =
  & { readonly [Key in keyof D]: Named<D[Key]> }
  & { readonly [ALL]: readonly Port[] };

/** Any port map, whatever is in it. */
export interface AnyPortMap {
  readonly [ALL]: readonly Port[];
}

/** Every port of a map. */
export function allPorts(map: AnyPortMap): readonly Port[] {
  return map[ALL];
}

/** How a port of each access mode can be used. */
const WAYS: Record<Access, readonly string[]> = {
  rw: ["read", "write"],
  ro: ["read"],
  rc: ["read"],
  wo: ["write"],
};

const RESERVED = new Set(["name", "access", "port", "width", "constructor"]);

/**
 * Names the ports of a device; each is a byte wide unless `word` or `long` says otherwise. One that can only be
 * read and one that can only be written may share an offset.
 *
 * @throws {RangeError} at load, if an offset is not a multiple of the width, two ports of one offset can both be
 * read or both be written, a field lies outside its port, or two fields of a port share a bit.
 */
export function ports<const D extends Definitions>(definitions: D): PortMap<D> {
  const map: Record<string, Port> = {};
  const taken = new Map<string, string>();
  for (const [name, { access, offset, fields, width = 1 }] of Object.entries(definitions)) {
    if (!Number.isInteger(offset) || offset < 0 || offset % width !== 0) {
      throw new RangeError(`Cannot define ${name}: offset ${offset} is not a multiple of ${width}`);
    }
    for (const way of WAYS[access]) {
      const other = taken.get(`${way} ${offset}`);
      if (other !== undefined) {
        throw new RangeError(`Cannot define ${name}: ${other} is already at ${offset}`);
      }
      taken.set(`${way} ${offset}`, name);
    }
    map[name] = Object.freeze(
      Object.assign(
        new Port(name, { access, offset, width }),
        named(name, { access, offset, fields, width }),
      ),
    );
  }
  return Object.freeze({ ...map, [ALL]: Object.freeze(Object.values(map)) }) as unknown as PortMap<D>;
}

function named(
  port: string,
  { access, offset, fields, width }: { access: Access; offset: number; fields: Ranges; width: PortWidth },
): Record<string, Field> {
  let used = 0;
  return Object.fromEntries(
    Object.entries(fields).map(([key, range]) => {
      const field = new Field(`${port}.${key}`, access, offset, range);
      if (RESERVED.has(key)) throw new RangeError(`Cannot define ${field.name}: the name is taken`);
      if (range.low + range.width > width * 8) {
        throw new RangeError(`Cannot define ${field.name}: the port has bits ${width * 8 - 1}:0`);
      }
      if ((used & field.mask) !== 0) throw new RangeError(`Cannot define ${field.name}: its bits are taken`);
      used |= field.mask;
      return [key, field];
    }),
  );
}

/** Ports that can be read. */
export type ReadablePort = Port<"rw"> | Port<"ro"> | Port<"rc">;
/** Ports that can be written. */
export type WritablePort = Port<"rw"> | Port<"wo">;

/** Most accesses of a batch, and most bytes that all its `readInto` read. */
export const MAX_BATCH = 64;
export const MAX_BATCH_BYTES = 4096;

/**
 * Access to the ports of one BAR. All BARs of a device have one queue: `run` of any of them runs what has been
 * queued on all, in order, with one system call. Nothing is allocated.
 */
export interface Ports {
  /** System calls that `run` has made so far, for all ports of the device. */
  readonly calls: number;
  /**
   * Queues a read. Returns its number, for `value` after the run.
   * @throws {RangeError} if the batch is full: `MAX_BATCH`.
   */
  read(port: ReadablePort): number;
  /** Queues a write of the low bits of `value`. @throws {RangeError} if the batch is full. */
  write(port: WritablePort, value: number): void;
  /**
   * Queues reading a port of 16 or 32 bits over and over, until `into` is full; it is when `run` returns.
   * @throws {RangeError} if the batch is full, or `into` is no multiple of the width, or more than fits.
   */
  readInto(port: ReadablePort, into: Uint8Array): void;
  /** Runs the batch; nothing if it is empty. What was queued is gone, also when this throws. */
  run(): void;
  /** What a read of the last batch gave. @param read Its number. */
  value(read: number): number;
}
