/** A granted device with a model behind its BAR. */

import {
  type Device,
  DeviceError,
  type DmaMemory,
  type Ports,
  type Registers,
} from "../../src/driver/mod.ts";
import type { AnyPortMap } from "../../src/driver/ports.ts";
import type { AnyRegisterMap } from "../../src/driver/registers.ts";
import type { BusMemory } from "./dma.ts";
import { FakeRegisters, type Hardware } from "./registers.ts";

/** Lines logged and memory given out are there to be looked at. */
export class FakeDevice implements Device {
  readonly address = "0000:00:10.0";
  readonly vendor = 0x8086;
  readonly device = 0x100f;
  readonly vectors: number;
  readonly options: Record<string, unknown>;
  readonly lines: string[] = [];
  /** What the driver got from `bar`, once it has. */
  registers?: FakeRegisters;
  readonly #hardware: Hardware & { busMaster: boolean };
  readonly #bus: BusMemory;
  #dmaLeft: number;

  constructor(
    hardware: Hardware & { busMaster: boolean },
    bus: BusMemory,
    options: { options?: Record<string, unknown>; dmaQuota?: number; vectors?: number } = {},
  ) {
    this.#hardware = hardware;
    this.#bus = bus;
    this.vectors = options.vectors ?? 1;
    this.options = options.options ?? {};
    this.#dmaLeft = options.dmaQuota ?? 1 << 20;
  }

  bar(index: number, map: AnyRegisterMap): Registers {
    if (index !== 0) {
      throw new DeviceError(`Cannot use BAR ${index} of ${this.address}: the manifest grants none`);
    }
    return this.registers = new FakeRegisters(this.#hardware, map);
  }

  ports(index: number, _map: AnyPortMap): Ports {
    throw new DeviceError(
      `Cannot use the ports of BAR ${index} of ${this.address}: the manifest grants none`,
    );
  }

  dma(bytes: number, options: { align?: number } = {}): DmaMemory {
    if (bytes > this.#dmaLeft) {
      throw new DeviceError(`Cannot allocate ${bytes} bytes: ${this.#dmaLeft} are left`);
    }
    this.#dmaLeft -= bytes;
    return this.#bus.allocate(bytes, options.align ?? 16);
  }

  busMaster(enabled: boolean): void {
    this.#hardware.busMaster = enabled;
  }

  log(message: string): void {
    this.lines.push(message);
  }
}
