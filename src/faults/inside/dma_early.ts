/** A descriptor says that the device is done with it before the device is. */
import { doneAgain } from "./done_again.ts";
import type { Make } from "./hooks.ts";
import { only } from "./memory.ts";

export const make: Make<{ memory?: number; words: number }> = ({ memory: chosen, words }, { trigger }) => ({
  memory: only(chosen, (memory, index) => {
    return doneAgain(memory, {
      words,
      trigger,
      what: `of memory ${index} says too early that it is done`,
      // Only the word that says so changes, and in it what changed before: the rest is as the driver left it.
      claim(changes, place, found) {
        const { before, after } = changes.get(place)!;
        return new Map([[place, found ^ before ^ after]]);
      },
    });
  }),
});
