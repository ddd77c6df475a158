/** Drivers of whatever folder over models of their devices, run as the host runs them; what they carry is looked at. */

import type { BlockDriver, NetConfig, NetDriver } from "../../src/driver/mod.ts";
import { OPERATION } from "../../src/driver/mod.ts";
import { useClock } from "../../src/driver/clock.ts";
import { equalBytes } from "../../src/check/content.ts";
import { type DriverFault, faulty, type FaultyFolder } from "../../src/faults/mod.ts";
import { Fake8254x } from "./8254x.ts";
import { FakeBlockPort } from "./block_port.ts";
import { FakeClock } from "./clock.ts";
import { FakeDevice } from "./device.ts";
import { BusMemory } from "./dma.ts";
import { FakeNvme } from "./nvme.ts";
import { FakeDrive, FakePiix } from "./piix.ts";
import { FakePort } from "./port.ts";
import { FakePortDevice } from "./ports.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** Drivers of the tree, by name. */
export const DRIVERS = ["e1000", "ide", "nvme"] as const;

/** One of them. */
export type DriverName = typeof DRIVERS[number];

/** The folder of a driver. */
export function folderOf(driver: DriverName): string {
  return `${ROOT}drivers/${driver}`;
}

let folders = 0;

/** A folder that is not there yet, as deep as drivers' are: a driver in it imports what it would from its own place. */
export function newFolder(): { path: string } & AsyncDisposable {
  const path = `${ROOT}build/faulty-${Deno.pid}-${++folders}`;
  return {
    path,
    // A fault that is refused writes none.
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }).catch(() => {}),
  };
}

/** A driver of the tree with a fault, written and loaded. */
export async function load<Driver>(
  name: DriverName,
  fault: DriverFault | DriverFault[],
  seed = 1,
): Promise<{ driver: Driver; made: FaultyFolder }> {
  await using folder = newFolder();
  const made = await faulty(folderOf(name), fault, { seed, to: folder.path });
  return { driver: (await import(`file://${made.file}`)).default, made };
}

const MAC = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34, 0x56);
const UP: NetConfig = {
  up: true,
  promiscuous: false,
  allMulticast: false,
  mac: MAC,
  multicast: [],
  mtu: 1500,
  features: {},
};
const BUDGET = 64;
/** Rounds without anything that is to be seen after which nothing more comes. */
const ROUNDS = 8;
const SECTOR = 512;

/** The least that can be sent, each unlike the others. */
function frame(seed: number): Uint8Array {
  const bytes = Uint8Array.from({ length: 60 + seed % 100 }, (_, i) => (i * 7 + seed * 13) & 0xff);
  bytes.set(MAC);
  bytes.set([0x52, 0x54, 0, 0, 0, 1, 0x08, 0x00], 6);
  return bytes;
}

/** The network driver on its card. */
export class NetRig {
  readonly clock = new FakeClock();
  readonly bus = new BusMemory();
  readonly card = new Fake8254x(this.clock, this.bus);
  readonly port = new FakePort(this.bus);
  readonly device = new FakeDevice(this.card, this.bus);
  /** Interrupts and polls so far. */
  interrupts = 0;
  polls = 0;
  readonly #driver: NetDriver<unknown>;
  #state: unknown;
  #sent = 0;

  constructor(driver: NetDriver<unknown>) {
    useClock(this.clock);
    this.#driver = driver;
  }

  static async up(fault: DriverFault | DriverFault[], seed?: number): Promise<NetRig> {
    const { driver } = await load<NetDriver<unknown>>("e1000", fault, seed);
    const rig = new NetRig(driver);
    await rig.bringUp();
    return rig;
  }

  async bringUp(): Promise<void> {
    this.#state = await this.clock.settle(this.#driver.bringUp(this.device, this.port));
    await this.clock.settle(this.#driver.configure(this.#state, UP) ?? undefined);
    this.port.fill();
    this.round();
  }

  /** One round of the host's loop. True if there is more to do at once. */
  round(): boolean {
    if (this.card.interrupting) {
      this.interrupts++;
      this.#driver.interrupt(this.#state, 1);
    }
    this.polls++;
    const more = this.#driver.poll(this.#state, BUDGET);
    this.port.reap();
    return more || this.card.interrupting || !this.port.idle;
  }

  /** What the host does until there is nothing to do, or always something. */
  settle(): void {
    for (let i = 0; i < ROUNDS && this.round(); i++);
  }

  /** Receives a frame and sends one; whether both arrived as they were, and nothing else. */
  carry(): boolean {
    const { received, sent } = this.port;
    const [before, gone, onWire] = [received.length, sent.length, this.card.wire.length];
    const [incoming, outgoing] = [frame(++this.#sent), frame(++this.#sent)];
    this.card.receive(incoming);
    this.port.send([outgoing]);
    this.settle();
    return received.length === before + 1 && equalBytes(received[before].data, incoming) &&
      sent.length === gone + 1 && this.card.wire.length === onWire + 1 &&
      equalBytes(this.card.wire[onWire], outgoing);
  }
}

/** A disk's driver on its controller. */
export class DiskRig {
  readonly clock = new FakeClock();
  readonly bus: BusMemory;
  readonly port: FakeBlockPort;
  readonly device: FakeDevice;
  readonly #driver: BlockDriver<unknown>;
  readonly #vectors: () => number;
  #state: unknown;
  #sector = 0;

  constructor(driver: BlockDriver<unknown>, name: "ide" | "nvme") {
    useClock(this.clock);
    this.#driver = driver;
    if (name === "ide") {
      this.bus = new BusMemory(0x10_0000);
      const piix = new FakePiix(this.clock, this.bus, [new FakeDrive()]);
      this.port = new FakeBlockPort(this.bus, { rings: 2048 });
      this.device = new FakePortDevice(piix, this.bus, { bars: [0, 1, 2, 3, 4], vectors: 2 });
      this.#vectors = () => piix.takeEdges();
    } else {
      this.bus = new BusMemory();
      const nvme = new FakeNvme(this.clock, this.bus, {});
      this.port = new FakeBlockPort(this.bus);
      this.device = new FakeDevice(nvme, this.bus);
      this.#vectors = () => nvme.vectors;
    }
  }

  static async up(name: "ide" | "nvme", fault: DriverFault | DriverFault[], seed?: number): Promise<DiskRig> {
    const { driver } = await load<BlockDriver<unknown>>(name, fault, seed);
    const rig = new DiskRig(driver, name);
    await rig.bringUp();
    return rig;
  }

  async bringUp(): Promise<void> {
    this.#state = await this.clock.settle(this.#driver.bringUp(this.device, this.port));
    this.round();
  }

  /** One round of the host's loop. True if there is more to do at once. */
  round(): boolean {
    const vectors = this.#vectors();
    if (vectors !== 0) this.#driver.interrupt(this.#state, vectors);
    const more = this.#driver.poll(this.#state, BUDGET);
    this.port.reap();
    return more || vectors !== 0 || !this.port.idle;
  }

  settle(): void {
    this.round();
    for (let i = 0; i < ROUNDS && this.round(); i++);
  }

  /** Writes two sectors and reads them; whether both were done, and what was written was read. */
  carry(): boolean {
    const sector = 2 * this.#sector++;
    const written = Uint8Array.from({ length: 2 * SECTOR }, (_, i) => (i * 7 + sector * 13) & 0xff);
    const read = new Uint8Array(written.length);
    const before = this.port.done.length;
    this.port.submit({ operation: OPERATION.WRITE, sector, segments: [written] });
    this.settle();
    this.port.submit({ operation: OPERATION.READ, sector, segments: [read] });
    this.settle();
    return this.port.done.length === before + 2 && equalBytes(read, written);
  }
}

/** A driver of that name with a fault, brought up. */
export function rigOf(
  name: DriverName,
  fault: DriverFault | DriverFault[],
  seed?: number,
): Promise<NetRig | DiskRig> {
  return name === "e1000" ? NetRig.up(fault, seed) : DiskRig.up(name, fault, seed);
}
