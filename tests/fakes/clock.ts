/** Time that a test moves. */

import { LoopClock } from "../../src/driver/clock.ts";

/** Turns of the microtask queue after which everything that can go on without time has gone on. */
const TURNS = 500;

/** A clock that stands still until told. */
export class FakeClock extends LoopClock {
  readonly #time: { ms: number };

  constructor() {
    const time = { ms: 0 };
    super(() => time.ms);
    this.#time = time;
  }

  /** Moves time without running anything: the process was not scheduled. */
  skip(ms: number): void {
    this.#time.ms += ms;
  }

  /** Moves time by `ms`, running what comes due on the way. */
  async advance(ms: number): Promise<void> {
    const end = this.now() + ms;
    await turn();
    while (this.now() + this.nextDueMs() <= end) {
      this.#time.ms += this.nextDueMs();
      this.runDue();
      await turn();
    }
    this.#time.ms = end;
  }

  /** Moves time until `promise` settles; gives its value or throws its reason. */
  async settle<T>(promise: Promise<T> | T): Promise<T> {
    let settled = false;
    const noted = Promise.resolve(promise).finally(() => settled = true);
    noted.catch(() => undefined); // it is awaited below, perhaps only after time has moved
    for (await turn(); !settled; await turn()) {
      if (this.nextDueMs() === Infinity) throw new Error("The promise waits for nothing that time brings");
      this.#time.ms += this.nextDueMs();
      this.runDue();
    }
    return await noted;
  }
}

async function turn(): Promise<void> {
  for (let i = 0; i < TURNS; i++) await null;
}
