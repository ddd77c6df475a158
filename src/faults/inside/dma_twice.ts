/** The device says twice that it is done: what it wrote into one descriptor is found in the next as well. */
import { doneAgain } from "./done_again.ts";
import type { Make } from "./hooks.ts";
import { only } from "./memory.ts";

export const make: Make<{ memory?: number; words: number }> = ({ memory: chosen, words }, { trigger }) => ({
  memory: only(chosen, (memory, index) => {
    return doneAgain(memory, {
      words,
      trigger,
      what: `of memory ${index} repeats the one that was done before it`,
      claim: (changes) => new Map([...changes].map(([place, { after }]) => [place, after])),
    });
  }),
});
