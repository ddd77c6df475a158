/** Statistics of the card, §13.7. */

import type { Register, Registers } from "../../src/driver/mod.ts";

/** What some statistics registers have counted, together, since the counter was made. */
export class Counter {
  readonly #regs: Registers;
  readonly #registers: readonly Register<"rc">[];
  /** What each register held when it was last read, if it did not clear. */
  readonly #held: number[];
  #total = 0;

  constructor(regs: Registers, registers: readonly Register<"rc">[]) {
    this.#regs = regs;
    this.#registers = registers;
    this.#held = registers.map(() => 0);
    this.read();
    this.#total = 0;
  }

  /**
   * Reads the registers and returns the total. Reading clears them on real cards; on the emulated one the
   * error counters go on. A second look tells: it finds next to nothing, or no less than the first.
   */
  read(): number {
    for (const [i, register] of this.#registers.entries()) {
      const first = this.#regs.read(register);
      const second = first === 0 ? 0 : this.#regs.read(register);
      const keeps = first !== 0 && second >= first;
      this.#total += keeps ? second - this.#held[i] : first + second;
      this.#held[i] = keeps ? second : 0;
    }
    return this.#total;
  }
}
