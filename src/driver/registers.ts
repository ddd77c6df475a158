/** Registers of a device as typed data, and access to them. */

import { DeviceError } from "./error.ts";

/**
 * What software may do with a register: `rw` read and write, `ro` only read, `wo` only write, `rc` read,
 * and reading clears it.
 */
export type Access = "rw" | "ro" | "wo" | "rc";

/** Bits of a register before it has a name: `bit(n)` or `bits(high, low)`. */
export interface BitRange {
  readonly low: number;
  readonly width: number;
}

/** One bit, 0 to 31. */
export function bit(n: number): BitRange {
  return bits(n, n);
}

/** Bits `high` down to `low`, both included, as manuals write them. */
export function bits(high: number, low: number): BitRange {
  if (!(Number.isInteger(low) && Number.isInteger(high) && 0 <= low && low <= high && high <= 31)) {
    throw new RangeError(`Cannot define bits ${high}:${low}: a register has bits 31:0`);
  }
  return { low, width: high - low + 1 };
}

type Ranges = Record<string, BitRange>;

/** A register, or an equally spaced row of `count`, before it has a name. */
export interface Definition<A extends Access, F extends Ranges, Row extends boolean> {
  readonly access: A;
  readonly offset: number;
  readonly fields: F;
  readonly count: Row extends true ? number : 1;
  readonly stride: number;
  readonly row: Row;
}

// deno-lint-ignore ban-types -- a register without named fields has no keys, which is what {} says
type None = {};

/** Describes a register at a byte offset into its BAR. */
export type Define<A extends Access> = <const F extends Ranges = None>(
  offset: number,
  fields?: F,
) => Definition<A, F, false>;

function definition<A extends Access>(access: A): Define<A> {
  return <F extends Ranges>(offset: number, fields: F = {} as F) => (
    { access, offset, fields, count: 1, stride: 4, row: false }
  );
}

/** A register that can be read and written. */
export const rw: Define<"rw"> = definition("rw");
/** A register that can only be read. */
export const ro: Define<"ro"> = definition("ro");
/** A register that can only be written. */
export const wo: Define<"wo"> = definition("wo");
/** A register that reading clears. */
export const rc: Define<"rc"> = definition("rc");

/** Makes a row of a register: `count` of them, `stride` bytes apart (default 4). */
export function row<A extends Access, const F extends Ranges>(
  first: Definition<A, F, false>,
  options: { count: number; stride?: number },
): Definition<A, F, true> {
  return { ...first, count: options.count, stride: options.stride ?? 4, row: true };
}

/** Named bits of a register. */
export class Field<A extends Access = Access> {
  /** `CTRL.RST` */
  readonly name: string;
  readonly access: A;
  /** Byte offset of its register into the BAR. */
  readonly offset: number;
  /** Its lowest bit. */
  readonly shift: number;
  /** Its bits, in place, as an unsigned number. */
  readonly mask: number;

  constructor(name: string, access: A, offset: number, range: BitRange) {
    this.name = name;
    this.access = access;
    this.offset = offset;
    this.shift = range.low;
    this.mask = ((2 ** range.width - 1) * 2 ** range.low) >>> 0;
    Object.freeze(this);
  }

  /** `value` put in place. @throws {RangeError} if it does not fit. */
  of(value: number): number {
    const placed = (value << this.shift) >>> 0;
    if (this.from(placed) !== value || (placed & ~this.mask) !== 0) {
      throw new RangeError(`Cannot put ${value} into ${this.name}: it does not fit`);
    }
    return placed;
  }

  /** What a value read from the register holds in these bits. */
  from(value: number): number {
    return (value & this.mask) >>> this.shift;
  }
}

/** A register: where it is and what may be done with it. Its fields are properties by name. */
export class Register<A extends Access = Access> {
  /** `CTRL`, or `MTA[5]` in a row. */
  readonly name: string;
  readonly access: A;
  /** Byte offset into the BAR. */
  readonly offset: number;
  /** By name. */
  readonly fields: Readonly<Record<string, Field<A>>>;

  constructor(name: string, access: A, offset: number, ranges: Ranges) {
    this.name = name;
    this.access = access;
    this.offset = offset;
    const fields: Record<string, Field<A>> = {};
    for (const key of Object.keys(ranges)) {
      fields[key] = new Field(`${name}.${key}`, access, offset, ranges[key]);
    }
    this.fields = Object.freeze(fields);
    Object.freeze(this);
  }
}

/** A row of registers. Each is made when it is first asked for: of a long row most never are. */
export class RegisterRow<R> {
  readonly name: string;
  readonly length: number;
  /** Of the first, bytes into the BAR, and from each to the next. */
  readonly offset: number;
  readonly stride: number;
  readonly #make: (index: number) => R;
  readonly #made: (R | undefined)[] = [];

  constructor(
    name: string,
    { count, offset, stride }: { count: number; offset: number; stride: number },
    make: (index: number) => R,
  ) {
    this.name = name;
    this.length = count;
    this.offset = offset;
    this.stride = stride;
    this.#make = make;
  }

  /** The register at `index`. @throws {RangeError} if the row has no such register. */
  at(index: number): R {
    if (!(Number.isInteger(index) && index >= 0 && index < this.length)) {
      throw new RangeError(`Cannot use ${this.name}[${index}]: it has ${this.length} registers`);
    }
    return this.#made[index] ??= this.#make(index);
  }
}

/** A register with its fields as properties. */
export type NamedRegister<A extends Access, F extends Ranges> =
  & Register<A>
  & { readonly [Key in keyof F]: Field<A> };

type Definitions = Record<string, Definition<Access, Ranges, boolean>>;

type Named<D> = D extends Definition<infer A, infer F, infer Row>
  ? (Row extends true ? RegisterRow<NamedRegister<A, F>> : NamedRegister<A, F>)
  : never;

const ALL: unique symbol = Symbol("all registers");

/** What there is in a map, for whoever binds it to memory. */
interface All {
  /** Offsets of the first and the last. */
  readonly lowest: number;
  readonly highest: number;
  /** Every register, rows unfolded, by offset. */
  readonly list: () => readonly Register[];
}

/** What `registers` returns: registers by name, and all of them for whoever binds them to memory. */
export type RegisterMap<D extends Definitions = Definitions> =
  & { readonly [Key in keyof D]: Named<D[Key]> }
  & { readonly [ALL]: All };

/** Any register map, whatever is in it. */
export interface AnyRegisterMap {
  readonly [ALL]: All;
}

/** Every register of a map, rows unfolded, by offset. */
export function allRegisters(map: AnyRegisterMap): readonly Register[] {
  return map[ALL].list();
}

const RESERVED = new Set(["name", "access", "offset", "fields", "constructor"]);

/**
 * Names the registers of a device.
 *
 * @throws {RangeError} at load, if an offset is not a whole number of words, or two registers share one,
 * or two fields of a register share a bit.
 */
export function registers<const D extends Definitions>(definitions: D): RegisterMap<D> {
  // Fields are getters of one class per map, so that all registers have one hidden class and reading
  // their offset stays a single check and load wherever it is compiled.
  class Mapped<A extends Access> extends Register<A> {}
  const map: Record<string, Register | RegisterRow<Register>> = {};
  /** Names by offset. */
  const taken = new Map<number, string>();
  let lowest = Infinity;
  let highest = -Infinity;
  for (const [name, { access, offset, fields, count, stride, row }] of Object.entries(definitions)) {
    checkFields(name, fields);
    for (const key of Object.keys(fields)) {
      if (Object.hasOwn(Mapped.prototype, key)) continue;
      Object.defineProperty(Mapped.prototype, key, {
        get(this: Register): Field | undefined {
          return this.fields[key];
        },
      });
    }
    for (let i = 0; i < count; i++) {
      const at = offset + i * stride;
      if (!Number.isInteger(at) || at < 0 || at % 4 !== 0) {
        throw new RangeError(`Cannot define ${name}: offset ${hex(at)} is not a multiple of 4`);
      }
      const other = taken.get(at);
      if (other !== undefined) {
        throw new RangeError(`Cannot define ${name}: ${other} is already at ${hex(at)}`);
      }
      taken.set(at, name);
      if (at < lowest) lowest = at;
      if (at > highest) highest = at;
    }
    map[name] = row
      ? new RegisterRow(
        name,
        { count, offset, stride },
        (i) => new Mapped(`${name}[${i}]`, access, offset + i * stride, fields),
      )
      : new Mapped(name, access, offset, fields);
  }
  const list = () =>
    Object.values(map)
      .flatMap((one) =>
        one instanceof RegisterRow ? Array.from({ length: one.length }, (_, i) => one.at(i)) : [one]
      )
      .sort((a, b) => a.offset - b.offset);
  return Object.freeze({ ...map, [ALL]: { lowest, highest, list } }) as unknown as RegisterMap<D>;
}

function checkFields(register: string, fields: Ranges): void {
  let used = 0;
  for (const [key, { low, width }] of Object.entries(fields)) {
    const mask = (2 ** width - 1) * 2 ** low;
    if (RESERVED.has(key)) throw new RangeError(`Cannot define ${register}.${key}: the name is taken`);
    if ((used & mask) !== 0) throw new RangeError(`Cannot define ${register}.${key}: its bits are taken`);
    used |= mask;
  }
}

/** What can be read. */
export type Readable = Register<"rw"> | Register<"ro"> | Register<"rc">;
/** What can be written. */
export type Writable = Register<"rw"> | Register<"wo">;
/** Fields that can be read. */
export type ReadableField = Field<"rw"> | Field<"ro"> | Field<"rc">;

/** Access to the registers of one BAR. Values are unsigned 32-bit numbers. */
export interface Registers {
  /** One load. */
  read(register: Readable): number;
  /** One store; the low 32 bits of `value`. */
  write(register: Writable, value: number): void;
  /** One load: whether any bit of the field is set. */
  has(field: ReadableField): boolean;
  /** One load: the value of the field, shifted down. */
  get(field: ReadableField): number;
  /** A load and a store: gives the field a value and leaves the other bits. */
  set(field: Field<"rw">, value: number): void;
  /** One store to each register of a row, from the first on. */
  fill(row: RegisterRow<Writable>, value: number): void;
}

/** A granted window of a BAR, and the registers that will be used in it. */
export interface RegisterWindow {
  map: AnyRegisterMap;
  /** Where the window starts in its BAR, bytes; default 0. */
  window?: number;
  /** Whose it is, for errors, as in "BAR 0 of 0000:00:10.0". */
  name: string;
}

/**
 * Where a window starts in its BAR, once every register of its map is known to lie inside: a typed array
 * would silently read `undefined` outside, so it is checked here and not at each access.
 * @throws {DeviceError} naming the first register that does not.
 */
export function windowStart(words: Uint32Array, { map, window = 0, name: owner }: RegisterWindow): number {
  const end = window + words.byteLength;
  if (map[ALL].lowest >= window && map[ALL].highest + 4 <= end) return window;
  for (const { name, offset } of allRegisters(map)) {
    if (offset >= window && offset + 4 <= end) continue;
    throw new DeviceError(
      `Cannot use ${owner}: register ${name} at ${hex(offset)} lies outside the granted window, ` +
        `${hex(window)} to ${hex(end)}; grant more of it in the manifest`,
    );
  }
  return window;
}

/**
 * Registers over mapped memory: one plain 32-bit load or store per access, never `Atomics`, whose store is
 * an exchange and reads as well.
 */
export class MappedRegisters implements Registers {
  readonly #words: Uint32Array;
  readonly #base: number;

  /**
   * @param words the granted window
   * @throws {DeviceError} if a register of the map lies outside the window.
   */
  constructor(words: Uint32Array, options: RegisterWindow) {
    this.#words = words;
    this.#base = windowStart(words, options);
  }

  read(register: Readable): number {
    return this.#words[(register.offset - this.#base) >>> 2];
  }

  write(register: Writable, value: number): void {
    this.#words[(register.offset - this.#base) >>> 2] = value;
  }

  has(field: ReadableField): boolean {
    return (this.#words[(field.offset - this.#base) >>> 2] & field.mask) !== 0;
  }

  get(field: ReadableField): number {
    return (this.#words[(field.offset - this.#base) >>> 2] & field.mask) >>> field.shift;
  }

  set(field: Field<"rw">, value: number): void {
    const at = (field.offset - this.#base) >>> 2;
    this.#words[at] = (this.#words[at] & ~field.mask) | field.of(value);
  }

  fill({ offset, length, stride }: RegisterRow<Writable>, value: number): void {
    for (let i = 0; i < length; i++) this.#words[(offset + i * stride - this.#base) >>> 2] = value;
  }
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}
