/** A word that the driver writes for the device has a bit flipped. */
import type { Make } from "./hooks.ts";
import { only, watched } from "./memory.ts";

export const make: Make<{ memory?: number; bit: number }> = ({ memory: chosen, bit }, { trigger }) => ({
  memory: only(chosen, (memory, index) => {
    const write = (at: number, value: number) => {
      const hit = trigger.hit(`bit ${bit} of word ${at} of memory ${index} is flipped`);
      return hit ? (value ^ (1 << bit)) >>> 0 : value;
    };
    const words = watched(memory.words, { read: (_, found) => found, write, filled() {} });
    return { ...memory, words };
  }),
});
