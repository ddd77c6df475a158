/** An address that the driver writes for the device is of memory that is not the device's. */
import type { Make } from "./hooks.ts";
import { only, watched } from "./memory.ts";

export const make: Make<{ memory?: number; words: number; word: number; address: number }> = (
  { memory: chosen, words: size, word, address },
  { trigger },
) => ({
  memory: only(chosen, (memory, index) => {
    const write = (at: number, value: number) => {
      // A descriptor without an address is one that is cleared.
      if (at % size !== word || value === 0) return value;
      const hit = trigger.hit(
        `the address in descriptor ${Math.floor(at / size)} of memory ${index} becomes 0x${
          address.toString(16)
        }`,
      );
      return hit ? address : value;
    };
    const words = watched(memory.words, { read: (_, found) => found, write, filled() {} });
    return { ...memory, words };
  }),
});
