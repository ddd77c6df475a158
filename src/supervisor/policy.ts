/** Whether and when another process takes over from one that has ended. */
import { writtenDuration } from "../duration.ts";
import type { RestartPolicy } from "../manifest/mod.ts";
import type { Reason } from "./schema.ts";

/** What comes after an end. */
export type Next =
  | { next: "restart"; delay: number }
  | { next: "stop" }
  /** `why` is to be said with the reason. */
  | { next: "give-up"; why: string };

/** An end as the policy sees it. */
export interface PolicyEnd {
  reason: Reason;
  /** Exit status, if the process ended by itself. */
  status: number | null;
  /** It had carried traffic. */
  wasReady: boolean;
  /** It was the first process of this run. */
  first: boolean;
  /** When, milliseconds on any clock that only goes forward. */
  now: number;
  /** When its predecessor ended on the same clock, or when the run began. */
  since: number;
}

/** Keeps account of restarts. Those that somebody asked for are not told to it. */
export class RestartBudget {
  policy: RestartPolicy;
  readonly #random: () => number;
  #restarts: number[] = [];
  #inRow = 0;

  /** @param random Numbers in [0, 1), for the jitter. */
  constructor(policy: RestartPolicy, random: () => number = Math.random) {
    this.policy = policy;
    this.#random = random;
  }

  /** Restarts that count at that time. */
  used(now: number): number {
    this.#restarts = this.#restarts.filter((at) => now - at < this.policy.window);
    return this.#restarts.length;
  }

  /** Forgets everything, as when somebody starts the driver by hand. */
  reset(): void {
    this.#restarts = [];
    this.#inRow = 0;
  }

  /** True if an end at that time is answered by a restart at once, unless its reason forbids it. Counts nothing. */
  allowsAtOnce({ now, since }: Pick<PolicyEnd, "now" | "since">): boolean {
    const { on, budget, quiet, backoff } = this.policy;
    if (on === "never") return false;
    if (now - since >= quiet) return budget > 0;
    return this.used(now) < budget && this.#step(backoff) === 0;
  }

  /** Decides, and counts the restart if it is one. */
  decide({ reason, status, wasReady, first, now, since }: PolicyEnd): Next {
    const { on, budget, window, quiet, backoff } = this.policy;
    if (reason.kind === "device-lost") return { next: "give-up", why: "" };
    const finished = reason.kind === "exit" && status === 0;
    if (finished && on !== "always") return { next: "stop" };
    if (on === "never") return { next: "give-up", why: "its manifest says to restart it never" };
    // What a driver says against its first start is for its author to mend, not for a restart.
    if (first && !wasReady && reason.kind === "exception") {
      return { next: "give-up", why: "at its first start" };
    }
    if (now - since >= quiet) this.reset();
    const used = this.used(now);
    if (used >= budget) {
      const why = budget === 0
        ? "its manifest allows no restart"
        : `restarted ${budget} ${budget === 1 ? "time" : "times"} within ${writtenDuration(window)}`;
      return { next: "give-up", why };
    }
    this.#restarts.push(now);
    return { next: "restart", delay: this.#delay(backoff) };
  }

  /** The next wait, without its jitter. */
  #step({ from, to }: RestartPolicy["backoff"]): number {
    if (this.#inRow === 0) return 0;
    // Doubling for ever would leave the range of numbers.
    return Math.min(to, from * 2 ** Math.min(this.#inRow - 1, 30));
  }

  #delay(backoff: RestartPolicy["backoff"]): number {
    const step = this.#step(backoff);
    this.#inRow++;
    return step * (0.75 + this.#random() / 2);
  }
}
