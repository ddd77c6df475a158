/** I/O ports that are a model of hardware. */

import type { Ports, ReadablePort, WritablePort } from "../../src/driver/mod.ts";
import { FakeDevice } from "./device.ts";
import type { BusMemory } from "./dma.ts";
import type { Hardware } from "./registers.ts";
import { allPorts, type AnyPortMap, MAX_BATCH, MAX_BATCH_BYTES } from "../../src/driver/ports.ts";

/** What a model of a device implements: accesses by BAR, byte offset and width, with whatever they set off. */
export interface PortHardware {
  in(bar: number, offset: number, width: number): number;
  out(bar: number, offset: number, access: { width: number; value: number }): void;
}

/** The queue that all ports of a device share; nothing reaches the model before it is run. */
export class FakePortBatch {
  /** Runs, and accesses of each. */
  readonly runs: number[] = [];
  values: number[] = [];
  #queued: (() => number)[] = [];
  #bytes = 0;

  add(access: () => number, bytes = 0): number {
    if (this.#queued.length === MAX_BATCH) throw new RangeError("The batch is full");
    if ((this.#bytes += bytes) > MAX_BATCH_BYTES) {
      throw new RangeError("The batch has no room for so many bytes");
    }
    return this.#queued.push(access) - 1;
  }

  run(): void {
    if (this.#queued.length === 0) return;
    const queued = this.#queued;
    this.#queued = [];
    this.#bytes = 0;
    this.runs.push(queued.length);
    this.values = queued.map((access) => access());
  }
}

/** Passes accesses to the model when the batch is run; refuses those that the access mode forbids. */
export class FakePorts implements Ports {
  readonly #batch: FakePortBatch;
  readonly #bar: number;
  readonly #hardware: PortHardware;
  readonly #granted: ReadonlySet<string>;

  constructor(batch: FakePortBatch, { bar, hardware, map }: {
    bar: number;
    hardware: PortHardware;
    map: AnyPortMap;
  }) {
    this.#batch = batch;
    this.#bar = bar;
    this.#hardware = hardware;
    this.#granted = new Set(allPorts(map).map(({ name }) => name));
  }

  get calls(): number {
    return this.#batch.runs.length;
  }

  read({ name, port, width, access }: ReadablePort): number {
    this.#check(name, (access as string) !== "wo");
    return this.#batch.add(() => this.#hardware.in(this.#bar, port, width));
  }

  write({ name, port, width, access }: WritablePort, value: number): void {
    this.#check(name, (access as string) === "rw" || (access as string) === "wo");
    const low = width === 4 ? value >>> 0 : value & (2 ** (8 * width) - 1);
    this.#batch.add(() => (this.#hardware.out(this.#bar, port, { width, value: low }), 0));
  }

  readInto({ name, port, width, access }: ReadablePort, into: Uint8Array): void {
    this.#check(name, (access as string) !== "wo" && width !== 1 && into.length % width === 0);
    const view = new DataView(into.buffer, into.byteOffset, into.length);
    this.#batch.add(() => {
      for (let at = 0; at < into.length; at += width) {
        const value = this.#hardware.in(this.#bar, port, width);
        if (width === 2) view.setUint16(at, value, true);
        else view.setUint32(at, value, true);
      }
      return into.length / width;
    }, into.length);
  }

  run(): void {
    this.#batch.run();
  }

  value(read: number): number {
    return this.#batch.values[read];
  }

  #check(name: string, allowed: boolean): void {
    if (!this.#granted.has(name)) throw new Error(`${name} is not in the map`);
    if (!allowed) throw new Error(`${name} cannot be used like this`);
  }
}

/** A granted device with a model behind its I/O ports. */
export class FakePortDevice extends FakeDevice {
  /** Costs that tests put bounds to. */
  readonly batch: FakePortBatch = new FakePortBatch();
  readonly #hardware: PortHardware;
  readonly #bars: ReadonlySet<number>;

  /** @param options `bars`: those granted */
  constructor(
    hardware: PortHardware & Hardware & { busMaster: boolean },
    bus: BusMemory,
    options: { bars: number[]; options?: Record<string, unknown>; vectors?: number; dmaQuota?: number },
  ) {
    super(hardware, bus, options);
    this.#hardware = hardware;
    this.#bars = new Set(options.bars);
  }

  override ports(index: number, map: AnyPortMap): Ports {
    if (!this.#bars.has(index)) return super.ports(index, map);
    return new FakePorts(this.batch, { bar: index, hardware: this.#hardware, map });
  }
}
