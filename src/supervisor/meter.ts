/**
 * What a driver carries and costs, by the kernel's counters, which no driver can forge; but that frames of a raw
 * port, which the kernel does not see, are counted by the driver's process itself.
 */
import { PROC } from "../machine.ts";
import { parseMemory } from "../memory.ts";
import { type InterfaceCounters, readCounters, readLink } from "../run/interface.ts";
import { type DiskCounters, type Latencies, latencyBetween, readDisk } from "../run/disk.ts";
import type { Traffic } from "../host/messages.ts";
import type { Manifest } from "../manifest/mod.ts";
import type { Disk, Driver } from "./schema.ts";
import type { ClaimStatus } from "./supervisor.ts";

/** What is measured. */
export type Measured = Pick<
  Driver,
  "link" | "rx" | "tx" | "disk" | "interruptsPerSecond" | "packetsPerWakeup" | "totals"
>;

/** Kinds of port. */
export type PortKind = NonNullable<Manifest["grant"]["port"]>["kind"];

interface Reading {
  at: number;
  counters: InterfaceCounters;
  disk: DiskCounters;
  latencies: Latencies;
  irqs: number;
  wakeups: number;
  portCalls: number;
}

const NOTHING: InterfaceCounters = {
  rxPackets: 0,
  rxBytes: 0,
  rxDropped: 0,
  txPackets: 0,
  txBytes: 0,
  txDropped: 0,
};

const NO_REQUESTS: DiskCounters = {
  reads: 0,
  readBytes: 0,
  writes: 0,
  writtenBytes: 0,
  discards: 0,
  flushes: 0,
  requestMs: 0,
};

/** Before the first reading. */
export const UNMEASURED: Measured = {
  link: { up: false, speed: 0 },
  rx: { packets: 0, bytes: 0 },
  tx: { packets: 0, bytes: 0 },
  disk: null,
  interruptsPerSecond: 0,
  packetsPerWakeup: 0,
  totals: { ...NOTHING, interrupts: 0, waits: 0, wakeups: 0, portCalls: 0 },
};

/** A disk of which nothing is known yet. */
const UNMEASURED_DISK: Disk = {
  name: null,
  size: 0,
  read: { requests: 0, bytes: 0 },
  write: { requests: 0, bytes: 0 },
  depth: 0,
  latency: { mean: 0, p50: 0, p99: 0 },
  requestsPerWakeup: 0,
  portCallsPerRequest: 0,
  totals: { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, discards: 0, flushes: 0 },
};

/** Turns counters into rates: over the time between two readings. */
export class Meter {
  readonly #kind: PortKind | undefined;
  #last?: Reading;
  #measured: Measured;

  /** @param kind Of the port, if there is one. */
  constructor(kind: PortKind | undefined) {
    this.#kind = kind;
    this.#measured = kind === "block" ? { ...UNMEASURED, disk: UNMEASURED_DISK } : UNMEASURED;
  }

  /** The latest reading. */
  get measured(): Measured {
    return this.#measured;
  }

  /**
   * Reads.
   * @param options `name`: of the network interface or the disk, once there is one; `traffic`: what the process
   * says of a raw port, if it has said anything.
   */
  read(status: ClaimStatus, { name, traffic }: { name: string | undefined; traffic?: Traffic }): void {
    const net = this.#kind === "net" ? name : undefined;
    const counters = (net === undefined ? traffic?.counters : readCounters(net)) ?? NOTHING;
    const disk = this.#kind === "block" && name !== undefined ? readDisk(name) : undefined;
    const now: Reading = {
      at: performance.now(),
      counters,
      disk: disk?.counters ?? NO_REQUESTS,
      latencies: disk?.latencies ?? [],
      irqs: Number(status.irqs_total),
      wakeups: Number(status.wakeups_total),
      portCalls: Number(status.pio_total),
    };
    const before = this.#last ?? now;
    this.#last = now;
    const seconds = Math.max((now.at - before.at) / 1000, 0.001);
    // An interface that has gone and come again counts from zero.
    const rate = (key: keyof InterfaceCounters) =>
      Math.max(0, now.counters[key] - before.counters[key]) / seconds;
    const wakeups = (now.wakeups - before.wakeups) / seconds;
    const rx = { packets: rate("rxPackets"), bytes: rate("rxBytes") };
    const tx = { packets: rate("txPackets"), bytes: rate("txBytes") };
    this.#measured = {
      link: net === undefined ? traffic?.link ?? { up: false, speed: 0 } : readLink(net),
      rx,
      tx,
      disk: this.#kind === "block"
        ? { name: name ?? null, size: disk?.size ?? 0, ...diskRates({ before, now, seconds, wakeups }) }
        : null,
      interruptsPerSecond: (now.irqs - before.irqs) / seconds,
      packetsPerWakeup: wakeups > 0 ? (rx.packets + tx.packets) / wakeups : 0,
      totals: {
        ...counters,
        interrupts: now.irqs,
        waits: Number(status.waits_total),
        portCalls: now.portCalls,
        wakeups: now.wakeups,
      },
    };
  }
}

/** What a disk has done between two readings. */
function diskRates(
  { before, now, seconds, wakeups }: { before: Reading; now: Reading; seconds: number; wakeups: number },
): Omit<Disk, "name" | "size"> {
  const rate = (key: keyof DiskCounters) => Math.max(0, now.disk[key] - before.disk[key]) / seconds;
  const read = { requests: rate("reads"), bytes: rate("readBytes") };
  const write = { requests: rate("writes"), bytes: rate("writtenBytes") };
  const all = read.requests + write.requests + rate("discards") + rate("flushes");
  const busy = rate("requestMs");
  const { requestMs: _, ...totals } = now.disk;
  return {
    read,
    write,
    depth: busy / 1000,
    latency: {
      mean: all > 0 ? busy / all : 0,
      p50: latencyBetween(before.latencies, now.latencies, 0.5),
      p99: latencyBetween(before.latencies, now.latencies, 0.99),
    },
    requestsPerWakeup: wakeups > 0 ? all / wakeups : 0,
    portCallsPerRequest: all > 0 ? (now.portCalls - before.portCalls) / seconds / all : 0,
    totals,
  };
}

/** Memory that only this process holds, bytes; null if it cannot be told. */
export async function privateMemory(pid: number): Promise<number | null> {
  try {
    // The kernel walks all its pages for this, which nothing else is to wait for.
    return parseMemory(await Deno.readTextFile(`${PROC}/${pid}/smaps_rollup`)).private;
  } catch {
    return null;
  }
}
