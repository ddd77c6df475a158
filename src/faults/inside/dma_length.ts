/** A length that the driver writes for the device is another. */
import type { Make } from "./hooks.ts";
import { only, watched } from "./memory.ts";

/** Bits of a word that hold the length. */
const MASK = 0xffff;

export const make: Make<{ memory?: number; words: number; word: number; by: number }> = (
  { memory: chosen, words: size, word, by },
  { trigger },
) => ({
  memory: only(chosen, (memory) => {
    const write = (at: number, value: number) => {
      if (at % size !== word || (value & MASK) === 0) return value;
      const length = (value & MASK) + by & MASK;
      const hit = trigger.hit(
        `length ${value & MASK} of descriptor ${Math.floor(at / size)} becomes ${length}`,
      );
      return hit ? ((value & ~MASK) | length) >>> 0 : value;
    };
    const words = watched(memory.words, { read: (_, found) => found, write, filled() {} });
    return { ...memory, words };
  }),
});
