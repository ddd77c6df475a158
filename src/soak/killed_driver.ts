/** A driver that is killed one time after the other, with a spare to take over or without. */
import type { Lab } from "../lab/mod.ts";
import { DriverRun, type EventOf } from "./driver_run.ts";
import { type Fault, fault, faultProblems } from "./fault.ts";
import { stopRun } from "./lab.ts";
import { writeManifest } from "./manifest.ts";

/** `limits.stall` of the manifest, milliseconds: that of users. */
const STALL_MS = 1000;

/** Longest time until a recovery, or a spare, is given up, milliseconds. */
const CYCLE_MS = 60_000;

/** Where the time of a recovery went, milliseconds each; they add up to it. */
export interface RecoveryParts {
  /** From the kernel's word of the death until the next process is given the device. */
  handedOver: number;
  /** From then until that process is ready. */
  broughtUp: number;
  /** From being ready to the first frame. */
  rest: number;
}

/** What came of a kill. */
export interface Recovery {
  /** Kernel's word of death to first frame, milliseconds; null if none went through in a second. */
  ms: number | null;
  parts: RecoveryParts;
}

/** An e1000 driver under its users' manifest, started again at once however often it ends. Dispose of it to stop it. */
export class KilledDriver implements AsyncDisposable {
  readonly run: DriverRun;
  readonly #lab: Lab;
  readonly #spare: boolean;
  readonly #faults: Fault[] = [];

  private constructor(lab: Lab, run: DriverRun, spare: boolean) {
    this.#lab = lab;
    this.run = run;
    this.#spare = spare;
  }

  /** Starts it. @param options `args`: of the supervisor, beside the manifest. */
  static async start(
    lab: Lab,
    { spare, args = [] }: { spare: boolean; args?: readonly string[] },
  ): Promise<KilledDriver> {
    const manifest = await writeManifest(lab, "e1000", { spare, stall: STALL_MS });
    return new KilledDriver(lab, DriverRun.start(lab, [manifest, ...args]), spare);
  }

  /** Waits until the next process is ready to take over, if it is to be a spare. @throws {UserError} if it does not come. */
  async prepared(): Promise<void> {
    if (!this.#spare) return;
    const after = this.#faults.at(-1)?.from;
    await this.run.next("spare", { after, ms: CYCLE_MS, where: ({ state }) => state === "ready" });
  }

  /** Kills it, once that is so, and waits until a frame has gone through the next process, or a second is over. */
  async kill(): Promise<Recovery> {
    await this.prepared();
    const one = await fault(this.run, "kill");
    this.#faults.push(one);
    const recovered = await this.run.next("recovered", { after: one.from, ms: CYCLE_MS });
    const ended = await this.run.next("ended", { after: one.from });
    const ready = await this.run.next("ready", { after: ended.id });
    return recoveryOf({ ready, recovered });
  }

  /** Ends it. A line for each thing that did not hold, here or before. */
  async stop({ name = "driver" } = {}): Promise<string[]> {
    const unready = this.#spare ? this.#faults.filter(({ spare }) => !spare).length : 0;
    return [
      ...(unready === 0
        ? []
        : [`spare: ${unready} of ${this.#faults.length} kills were not answered by the waiting spare`]),
      ...faultProblems(this.run, this.#faults),
      ...await stopRun(this.run, this.#lab, { name }),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run[Symbol.asyncDispose]();
  }
}

/** What came of a kill, by the events of the next driver. */
export function recoveryOf(
  { ready, recovered }: {
    ready: Pick<EventOf<"ready">, "ms">;
    recovered: Pick<EventOf<"recovered">, "ms" | "handed" | "frame">;
  },
): Recovery {
  const { ms, handed, frame } = recovered;
  return {
    // Without a frame it says how long attaching took, which is less than a recovery.
    ms: frame ? ms : null,
    parts: { handedOver: handed, broughtUp: ready.ms, rest: ms - handed - ready.ms },
  };
}
