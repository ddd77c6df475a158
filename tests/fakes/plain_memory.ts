/** For tests of what a driver allocates: a device whose registers become plain memory, and the growth of the heap. */

import { assert } from "@std/assert";
import { Channel, type DmaMemory, type Registers } from "../../src/driver/mod.ts";
import { type AnyRegisterMap, MappedRegisters } from "../../src/driver/registers.ts";
import { RECORD_LENGTH, RecordedRegisters, Recorder } from "../../src/host/recorder.ts";
import { FakeDevice } from "./device.ts";
import type { BusMemory } from "./dma.ts";
import type { Hardware } from "./registers.ts";

const NAME = "plain memory";

/** Registers that are `bytes` of plain memory. */
export function plainRegisters(bytes: number): (map: AnyRegisterMap) => Registers {
  return (map) => new MappedRegisters(new Uint32Array(bytes / 4), { map, name: NAME });
}

/** The same, accesses to which are recorded. */
export function recordedRegisters(bytes: number): (map: AnyRegisterMap) => Registers {
  return (map) => {
    const recorder = new Recorder(new Uint32Array(new SharedArrayBuffer(RECORD_LENGTH)));
    return new RecordedRegisters(new Uint32Array(bytes / 4), { map, name: NAME, bar: 0, recorder });
  };
}

/** Brought up on a model, and then on plain memory: the model itself allocates. */
export class MemoryDevice extends FakeDevice {
  readonly memories: DmaMemory[] = [];
  /** Registers over plain memory. */
  readonly #bind: (map: AnyRegisterMap) => Registers;
  #released = false;

  constructor({ model, bus, bind, vectors, dmaQuota }: {
    model: Hardware & { busMaster: boolean };
    bus: BusMemory;
    bind: (map: AnyRegisterMap) => Registers;
    vectors?: number;
    dmaQuota?: number;
  }) {
    super(model, bus, { vectors, dmaQuota });
    this.#bind = bind;
  }

  override bar(index: number, map: AnyRegisterMap): Registers {
    const model = super.bar(index, map);
    const mapped = this.#bind(map);
    const current = () => this.#released ? mapped : model;
    return {
      read: (register) => current().read(register),
      write: (register, value) => current().write(register, value),
      has: (field) => current().has(field),
      get: (field) => current().get(field),
      set: (field, value) => current().set(field, value),
      fill: (row, value) => current().fill(row, value),
    };
  }

  /** From now on registers are memory. */
  release(): void {
    this.#released = true;
  }

  override dma(bytes: number, options: { align?: number } = {}): DmaMemory {
    const memory = super.dma(bytes, options);
    this.memories.push(memory);
    return memory;
  }
}

/** Rounds in which the heap's growth is taken, and calls in each. */
export const [ROUNDS, CALLS] = [21, 5000];

/** Bytes that the heap grew by in each of the rounds of `calls`; the middle one, for some rounds collect. */
export function growth(step: (call: number) => void, { calls = CALLS } = {}): number {
  const grown: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = Deno.memoryUsage().heapUsed;
    for (let i = 0; i < calls; i++) step(i);
    grown.push(Deno.memoryUsage().heapUsed - before);
  }
  return grown.sort((a, b) => a - b)[ROUNDS >> 1];
}

/** Asserts that a step has `grown` the heap by nothing, and that it would have shown had each made an object. */
export function assertNothingGrew(
  grown: number,
  { step, calls = CALLS }: { step: (call: number) => void; calls?: number },
): void {
  assert(grown < calls, `${calls} steps grew the heap by ${grown} bytes`);
  const objects: object[] = [{}];
  const shown = growth((call) => {
    step(call);
    objects[0] = { one: call };
  }, { calls });
  assert(shown > calls * 8, `an object in each step must show, and it grew the heap by ${shown} bytes`);
}

/** A channel of plain memory with `size` submissions, each filled by its number, and its control block. */
export function plainChannel(
  size: number,
  fill: (submissions: Uint32Array, entry: number) => void,
): { control: Int32Array<SharedArrayBuffer>; ring: Channel } {
  const control = new Int32Array(new SharedArrayBuffer(256));
  const submissions = new Uint32Array(size * 4);
  for (let i = 0; i < size; i++) fill(submissions, i);
  const completions = new Uint32Array(size * 4);
  const kick = new Uint32Array(1);
  return { control, ring: new Channel({ control, submissions, completions, kick, kickWord: 0, kickBit: 1 }) };
}
