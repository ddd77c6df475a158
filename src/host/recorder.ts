/**
 * The last register accesses of a driver, kept in memory that its supervisor still has when the process is
 * gone, at whatever instruction it ended.
 *
 * The memory is `RECORDED` records of four 32-bit words, and nothing else. The access with sequence number
 * s (from 0, modulo 2^32) is record s modulo `RECORDED`:
 *
 * | word | holds                                                                                          |
 * | ---- | ---------------------------------------------------------------------------------------------- |
 * | 0    | s, stored last                                                                                 |
 * | 1    | BAR in bits 31:29, byte offset in bits 28:2, bit 1 set (a record that was used), bit 0 a write |
 * | 2    | the value read or written                                                                      |
 * | 3    | s, stored first                                                                                |
 *
 * A record whose words 0 and 3 differ was being written. x86-64 makes stores visible in program order, so no
 * fence is needed; who copies the memory in rising order of addresses meanwhile reads word 0 before the rest
 * and word 3 after it, so that equal numbers there too mean a whole record.
 */
import { DeviceError } from "../driver/error.ts";
import {
  allRegisters,
  type Field,
  type Readable,
  type ReadableField,
  type RegisterRow,
  type Registers,
  type RegisterWindow,
  windowStart,
  type Writable,
} from "../driver/registers.ts";

/** How many accesses are kept. A power of two. */
export const RECORDED = 4096;
/** Words of a record. */
export const RECORD_WORDS = 4;
/** Bytes of the memory. */
export const RECORD_LENGTH: number = RECORDED * RECORD_WORDS * 4;

/** Words of a record by what they hold. */
export const RECORD = { CLOSED: 0, WHERE: 1, VALUE: 2, OPENED: 3 } as const;
/** Parts of the word `WHERE`. */
export const WHERE = { BAR_SHIFT: 29, OFFSET: 0x1ffffffc, USED: 2, WRITE: 1 } as const;

/** Writes records. One for all registers of a process, so that their order is known. */
export class Recorder {
  readonly #words: Uint32Array;
  /** One word, so that it wraps and is never boxed. */
  readonly #next: Uint32Array = new Uint32Array(1);

  /** @param words The memory, zeroed. @throws {RangeError} if it has another size. */
  constructor(words: Uint32Array) {
    if (words.byteLength !== RECORD_LENGTH) {
      throw new RangeError(`Cannot record in ${words.byteLength} bytes: it takes ${RECORD_LENGTH}`);
    }
    this.#words = words;
  }

  /** Keeps one access. @param where As the word of that name. @param value Its low 32 bits. */
  record(where: number, value: number): void {
    const sequence = this.#next[0]++;
    const at = (sequence & (RECORDED - 1)) * RECORD_WORDS;
    this.#words[at + RECORD.OPENED] = sequence;
    this.#words[at + RECORD.WHERE] = where;
    this.#words[at + RECORD.VALUE] = value;
    this.#words[at + RECORD.CLOSED] = sequence;
  }
}

/**
 * Registers over mapped memory whose accesses are recorded: a load after it, for its value, a store before
 * it, so that one that ends the process or the machine is there. The device sees what it sees with
 * `MappedRegisters`, one plain load or store per access.
 */
export class RecordedRegisters implements Registers {
  readonly #words: Uint32Array;
  readonly #base: number;
  readonly #load: number;
  readonly #store: number;
  readonly #recorder: Recorder;

  /**
   * @param words the granted window
   * @throws {DeviceError} if a register of the map lies outside the window, or beyond what a record can name.
   */
  constructor(words: Uint32Array, options: RegisterWindow & { bar: number; recorder: Recorder }) {
    const beyond = allRegisters(options.map).find(({ offset }) => offset > WHERE.OFFSET);
    if (beyond) {
      throw new DeviceError(
        `Cannot record ${options.name}: register ${beyond.name} lies beyond 512 MiB; ` +
          `take recordRegisters out of the manifest`,
      );
    }
    this.#words = words;
    this.#base = windowStart(words, options);
    this.#load = options.bar << WHERE.BAR_SHIFT | WHERE.USED;
    this.#store = this.#load | WHERE.WRITE;
    this.#recorder = options.recorder;
  }

  read({ offset }: Readable): number {
    return this.#read(offset) >>> 0;
  }

  write({ offset }: Writable, value: number): void {
    this.#write(offset, value | 0);
  }

  has({ offset, mask }: ReadableField): boolean {
    return (this.#read(offset) & mask) !== 0;
  }

  get({ offset, mask, shift }: ReadableField): number {
    return (this.#read(offset) & mask) >>> shift;
  }

  set(field: Field<"rw">, value: number): void {
    const { offset, mask } = field;
    this.#write(offset, (this.#read(offset) & ~mask) | field.of(value));
  }

  fill({ offset, length, stride }: RegisterRow<Writable>, value: number): void {
    for (let i = 0; i < length; i++) this.#write(offset + i * stride, value | 0);
  }

  // Values go between these as signed numbers: an unsigned one above 2^31 is boxed where a call is not inlined.

  #read(offset: number): number {
    const value = this.#words[(offset - this.#base) >>> 2] | 0;
    this.#recorder.record(this.#load | offset, value);
    return value;
  }

  #write(offset: number, value: number): void {
    this.#recorder.record(this.#store | offset, value);
    this.#words[(offset - this.#base) >>> 2] = value;
  }
}
