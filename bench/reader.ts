/** Reads of a disk in the lab, one after the other, by `bench/inside/read.c`. */
import { z } from "zod";
import { CHECKOUT } from "../src/lab/guest.ts";
import type { Lab } from "../src/lab/mod.ts";
import { Dialog } from "./dialog.ts";

const readsSchema = z.object({
  sectors: z.number(),
  requests: z.number(),
  bytes: z.number(),
  seconds: z.number().positive(),
  busy: z.number(),
});

/** What was read; `busy`: seconds that processors were not idle. */
export type Reads = z.infer<typeof readsSchema>;

/** Reads a disk from its start. Dispose of it to end it. */
export class Reader implements AsyncDisposable {
  readonly #program: Dialog<Reads>;

  /** @param disk Its name in `/dev`. */
  constructor(lab: Lab, disk: string) {
    this.#program = new Dialog(lab, [`${CHECKOUT}/build/bench/read`, `/dev/${disk}`], readsSchema);
  }

  /**
   * Reads in requests of so many sectors of 512 bytes.
   * @param options `requests`: how many, unless that takes longer than `longest`, milliseconds.
   * @throws {UserError} if the disk cannot be read.
   */
  async read(sectors: number, { requests, longest }: { requests: number; longest: number }): Promise<Reads> {
    return await this.#program.ask(`${sectors} ${requests} ${longest}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
  }
}
