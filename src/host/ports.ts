/** I/O ports over a grant: accesses queued in the structure of the call that runs them. */
import { DeviceError } from "../driver/error.ts";
import {
  allPorts,
  type AnyPortMap,
  MAX_BATCH,
  MAX_BATCH_BYTES,
  type Ports,
  type ReadablePort,
  type WritablePort,
} from "../driver/ports.ts";
import { type Grant, PIO_WORDS, uapi } from "../kernel/mod.ts";

const { PIO_ACCESS: { offsets }, PIO_FLAG } = uapi;

/** Words of an access by what they hold; the first is the window, the width and the flags. */
const WORD = {
  WHAT: offsets.window / 4,
  OFFSET: offsets.offset / 4,
  VALUE: offsets.value / 4,
  BUFFER: offsets.buffer / 4,
} as const;
const WIDTH_SHIFT = offsets.width * 8;
const WRITE = PIO_FLAG.WRITE << offsets.flags * 8;
const REPEAT = PIO_FLAG.REPEAT << offsets.flags * 8;

/** The queue that all ports of a device share. */
export class PortBatch {
  /** System calls so far. */
  calls = 0;
  readonly #grant: Pick<Grant, "pio" | "pioData" | "pioWords">;
  readonly #words: Uint32Array;
  #count = 0;
  /** Bytes of `pioData` that repeated reads have been given. */
  #used = 0;
  /** Where they are to go when the batch has run. */
  readonly #into: Uint8Array[] = [];

  constructor(grant: Pick<Grant, "pio" | "pioData" | "pioWords">) {
    this.#grant = grant;
    this.#words = grant.pioWords;
  }

  /** Queues an access. @param what Its first word. Returns its number. */
  add(what: number, offset: number, value: number): number {
    if (this.#count === MAX_BATCH) {
      throw new RangeError(`Cannot queue an access to a port: ${MAX_BATCH} are queued, run them first`);
    }
    const at = this.#count * PIO_WORDS;
    this.#words[at + WORD.WHAT] = what;
    this.#words[at + WORD.OFFSET] = offset;
    this.#words[at + WORD.VALUE] = value;
    this.#words[at + WORD.BUFFER] = 0;
    return this.#count++;
  }

  /** Queues a repeated read. */
  addInto(what: number, offset: number, { into, width }: { into: Uint8Array; width: number }): void {
    if (width === 1 || into.length === 0 || into.length % width !== 0) {
      throw new RangeError(
        `Cannot read ${into.length} bytes through a port of ${width} byte${width > 1 ? "s" : ""}`,
      );
    }
    if (into.length > MAX_BATCH_BYTES - this.#used) {
      throw new RangeError(
        `Cannot read ${into.length} bytes in a batch: it has room for ${MAX_BATCH_BYTES - this.#used}`,
      );
    }
    const read = this.add(what | REPEAT, offset, into.length / width);
    this.#words[read * PIO_WORDS + WORD.BUFFER] = this.#used;
    this.#used += into.length;
    this.#into.push(into);
  }

  run(): void {
    const count = this.#count;
    if (count === 0) return;
    this.#count = 0;
    this.calls++;
    try {
      this.#grant.pio(count);
      if (this.#used > 0) this.#fill();
    } finally {
      if (this.#used > 0) this.#into.length = this.#used = 0;
    }
  }

  #fill(): void {
    let at = 0;
    for (const into of this.#into) {
      into.set(this.#grant.pioData.subarray(at, at + into.length));
      at += into.length;
    }
  }

  value(access: number): number {
    return this.#words[access * PIO_WORDS + WORD.VALUE];
  }
}

/** A granted window of I/O ports. */
export interface PortWindow {
  map: AnyPortMap;
  /** Its number among the grant's windows. */
  index: number;
  /** Where it starts in its BAR and how long it is, bytes. */
  offset: number;
  length: number;
  /** Whose it is, for errors, as in "BAR 0 of 0000:00:10.0". */
  name: string;
}

/** The ports of one window. */
export class GrantedPorts implements Ports {
  readonly #batch: PortBatch;
  /** Number of the window, the low half of an access's first word. */
  readonly #window: number;
  readonly #start: number;

  /** @throws {DeviceError} if a port of the map lies outside the window. */
  constructor(batch: PortBatch, { map, index, offset, length, name: owner }: PortWindow) {
    for (const { name, port, width } of allPorts(map)) {
      if (port >= offset && port + width <= offset + length) continue;
      throw new DeviceError(
        `Cannot use ${owner}: port ${name} at ${port} lies outside the granted window, ` +
          `${offset} to ${offset + length}; grant more of it in the manifest`,
      );
    }
    this.#batch = batch;
    this.#window = index;
    this.#start = offset;
  }

  get calls(): number {
    return this.#batch.calls;
  }

  read({ port, width }: ReadablePort): number {
    return this.#batch.add(this.#window | width << WIDTH_SHIFT, port - this.#start, 0);
  }

  write({ port, width }: WritablePort, value: number): void {
    const low = value & (0xffffffff >>> (32 - 8 * width));
    this.#batch.add(this.#window | width << WIDTH_SHIFT | WRITE, port - this.#start, low);
  }

  readInto({ port, width }: ReadablePort, into: Uint8Array): void {
    this.#batch.addInto(this.#window | width << WIDTH_SHIFT, port - this.#start, { into, width });
  }

  run(): void {
    this.#batch.run();
  }

  value(read: number): number {
    return this.#batch.value(read);
  }
}
