/** What a driver carries and costs, by the kernel's counters, which no driver can forge. */
import { PROC } from "../machine.ts";
import { parseMemory } from "../memory.ts";
import { type InterfaceCounters, readCounters, readLink } from "../run/interface.ts";
import type { Driver } from "./schema.ts";
import type { ClaimStatus } from "./supervisor.ts";

/** What is measured. */
export type Measured = Pick<
  Driver,
  "link" | "rx" | "tx" | "interruptsPerSecond" | "packetsPerWakeup" | "totals"
>;

interface Reading {
  at: number;
  counters: InterfaceCounters;
  irqs: number;
  wakeups: number;
}

const NOTHING: InterfaceCounters = {
  rxPackets: 0,
  rxBytes: 0,
  rxDropped: 0,
  txPackets: 0,
  txBytes: 0,
  txDropped: 0,
};

/** Before the first reading. */
export const UNMEASURED: Measured = {
  link: { up: false, speed: 0 },
  rx: { packets: 0, bytes: 0 },
  tx: { packets: 0, bytes: 0 },
  interruptsPerSecond: 0,
  packetsPerWakeup: 0,
  totals: { ...NOTHING, interrupts: 0, waits: 0, wakeups: 0 },
};

/** Turns counters into rates: over the time between two readings. */
export class Meter {
  #last?: Reading;
  #measured = UNMEASURED;

  /** The latest reading. */
  get measured(): Measured {
    return this.#measured;
  }

  /** Reads. @param name The network interface, once there is one. */
  async read(status: ClaimStatus, name: string | undefined): Promise<void> {
    const counters = (name === undefined ? undefined : await readCounters(name)) ?? NOTHING;
    const now: Reading = {
      at: performance.now(),
      counters,
      irqs: Number(status.irqs_total),
      wakeups: Number(status.wakeups_total),
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
      link: name === undefined ? { up: false, speed: 0 } : await readLink(name),
      rx,
      tx,
      interruptsPerSecond: (now.irqs - before.irqs) / seconds,
      packetsPerWakeup: wakeups > 0 ? (rx.packets + tx.packets) / wakeups : 0,
      totals: {
        ...counters,
        interrupts: now.irqs,
        waits: Number(status.waits_total),
        wakeups: now.wakeups,
      },
    };
  }
}

/** Memory that only this process holds, bytes; null if it cannot be told. */
export async function privateMemory(pid: number): Promise<number | null> {
  try {
    return parseMemory(await Deno.readTextFile(`${PROC}/${pid}/smaps_rollup`)).private;
  } catch {
    return null;
  }
}
