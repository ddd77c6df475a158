/** Registers that are a model of hardware instead of memory. */

import {
  allRegisters,
  type AnyRegisterMap,
  type Field,
  type Readable,
  type ReadableField,
  type RegisterRow,
  type Registers,
  type Writable,
} from "../../src/driver/registers.ts";

/** What a model of a device implements: accesses by byte offset, with whatever they set off. */
export interface Hardware {
  load(offset: number): number;
  store(offset: number, value: number): void;
}

/** Passes each access to the model; counts them, and refuses those that the access mode forbids. */
export class FakeRegisters implements Registers {
  /** Accesses so far. */
  loads = 0;
  stores = 0;
  readonly #hardware: Hardware;
  readonly #granted: ReadonlySet<number>;

  constructor(hardware: Hardware, map: AnyRegisterMap) {
    this.#hardware = hardware;
    this.#granted = new Set(allRegisters(map).map(({ offset }) => offset));
  }

  read({ name, offset, access }: Readable): number {
    if ((access as string) === "wo") throw new Error(`${name} cannot be read`);
    return this.#load(offset);
  }

  write({ name, offset, access }: Writable, value: number): void {
    if ((access as string) === "ro" || (access as string) === "rc") {
      throw new Error(`${name} cannot be written`);
    }
    this.#store(offset, value);
  }

  has(field: ReadableField): boolean {
    return this.get(field) !== 0;
  }

  get(field: ReadableField): number {
    return field.from(this.#load(field.offset));
  }

  set(field: Field<"rw">, value: number): void {
    this.#store(field.offset, (this.#load(field.offset) & ~field.mask) | field.of(value));
  }

  fill(row: RegisterRow<Writable>, value: number): void {
    for (let i = 0; i < row.length; i++) this.write(row.at(i), value);
  }

  #load(offset: number): number {
    if (!this.#granted.has(offset)) throw new Error(`0x${offset.toString(16)} is not in the map`);
    this.loads++;
    return this.#hardware.load(offset) >>> 0;
  }

  #store(offset: number, value: number): void {
    if (!this.#granted.has(offset)) throw new Error(`0x${offset.toString(16)} is not in the map`);
    this.stores++;
    this.#hardware.store(offset, value >>> 0);
  }
}

/** Plain memory for registers, with side effects where a test sets them. */
export class FakeHardware implements Hardware {
  readonly values = new Map<number, number>();
  /** Called after a load of the offset, with what it gave: a register that reading clears sets 0. */
  readonly onLoad = new Map<number, (value: number) => void>();
  /** Called after a store to the offset. */
  readonly onStore = new Map<number, (value: number) => void>();

  load(offset: number): number {
    const value = this.values.get(offset) ?? 0;
    this.onLoad.get(offset)?.(value);
    return value;
  }

  store(offset: number, value: number): void {
    this.values.set(offset, value);
    this.onStore.get(offset)?.(value);
  }
}
