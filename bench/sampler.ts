/** What the lab's kernel has counted. */
import { z } from "zod";
import { CHECKOUT } from "../src/lab/guest.ts";
import type { Lab } from "../src/lab/mod.ts";
import { Dialog } from "./dialog.ts";

/** The program: `bench/inside/sample.c`. */
const SAMPLE = `${CHECKOUT}/build/bench/sample`;

const sampleSchema = z.object({
  seconds: z.number(),
  idle: z.array(z.number()),
  interrupts: z.number(),
  receives: z.number(),
  switches: z.number(),
});

/** Since the lab's boot; `idle` is of each processor, seconds; the rest as in `bench/inside/sample.c`. */
export type Sample = z.infer<typeof sampleSchema>;

/** What happened between two samples. */
export interface Activity {
  /** Processors that were not idle, 1 being all of one. */
  busy: number;
  /** Interrupts of the line, runs of the receive softirq, and switches of context, in all. */
  interrupts: number;
  receives: number;
  switches: number;
}

/** Reads samples. Dispose of it to end it. */
export class Sampler implements AsyncDisposable {
  readonly #program: Dialog<Sample>;

  /** @param irq Line whose interrupts are counted; those of all without it. */
  constructor(lab: Lab, irq?: number) {
    this.#program = new Dialog(lab, [SAMPLE, ...irq === undefined ? [] : [`${irq}`]], sampleSchema);
  }

  /** Takes one now. @throws {UserError} if the program has ended. */
  async take(): Promise<Sample> {
    return await this.#program.ask("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}

/** The difference of two samples. */
export function activityBetween(before: Sample, after: Sample): Activity {
  const seconds = after.seconds - before.seconds;
  const idle = after.idle.reduce((sum, value, cpu) => sum + value - before.idle[cpu], 0);
  return {
    busy: Math.max(0, after.idle.length - idle / seconds),
    interrupts: after.interrupts - before.interrupts,
    receives: after.receives - before.receives,
    switches: after.switches - before.switches,
  };
}
