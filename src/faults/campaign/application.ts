/** The application whose driver faults are injected into, as it is seen from outside. */
import { UserError } from "../../error.ts";
import { within } from "../../within.ts";
import type { Word, Workload } from "../workloads/mod.ts";

/** Longest time that a workload may say nothing, milliseconds. */
const SILENCE_MS = 20_000;

/** An application, and what it has said since somebody last forgot. */
export class Application implements AsyncDisposable {
  words: Word[] = [];
  readonly #workload: Workload;
  readonly #reading: Promise<void>;
  #doneAt = performance.now();
  /** Why it says nothing any more, once it does not. */
  #end?: Error;
  #wake = Promise.withResolvers<void>();

  constructor(workload: Workload) {
    this.#workload = workload;
    this.#reading = this.#read().catch((error) => {
      this.#end = error;
    }).finally(() => this.#wake.resolve());
  }

  /** Waits until it has spoken of all up to a moment. @throws what it ended with, or {UserError} if it does not speak. */
  async until(at: number): Promise<void> {
    const ms = Math.max(0, at - (this.words.at(-1)?.at ?? at)) + SILENCE_MS;
    await this.#wait((word) => word.at >= at, ms, "say anything");
  }

  /** How long nothing has been done, as far as it has said, milliseconds. */
  get idle(): number {
    const last = this.words.at(-1);
    const done = this.words.findLast((word) => word.done > 0);
    return last && done ? last.at - done.at : 0;
  }

  /** The same by this machine's clock: it goes on if nobody speaks any more. */
  get idleHere(): number {
    return performance.now() - this.#doneAt;
  }

  /** Waits until something is done after a moment. @throws {UserError} if that takes longer than `ms`. */
  async goesOn(after: number, ms: number): Promise<void> {
    await this.#wait(({ at, done }) => at > after && done > 0, ms, "go on");
  }

  /** Drops what was said before a moment. */
  forget(before: number): void {
    const first = this.words.findIndex(({ at }) => at >= before);
    this.words = first < 0 ? [] : this.words.slice(first);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workload[Symbol.asyncDispose]();
    await this.#reading;
  }

  async #wait(fits: (word: Word) => boolean, ms: number, what: string): Promise<void> {
    await within(this.#spoke(fits), ms, {
      message: `The application did not ${what} within ${(ms / 1000).toFixed(0)} s`,
    });
  }

  async #spoke(fits: (word: Word) => boolean): Promise<void> {
    while (!this.words.some(fits)) {
      if (this.#end) throw this.#end;
      await this.#wake.promise;
    }
  }

  async #read(): Promise<void> {
    for await (const word of this.#workload.words) {
      this.words.push(word);
      if (word.done > 0) this.#doneAt = performance.now();
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    }
    this.#end = new UserError("The application has ended");
  }
}
