/** A word that the driver writes for the device has a bit flipped. */
import type { Make } from "./hooks.ts";
import { watched } from "./memory.ts";

export const make: Make<{ memory?: number; bit: number }> = ({ memory: chosen, bit }, { trigger }) => ({
  memory(memory, index) {
    if (chosen !== undefined && chosen !== index) return memory;
    const write = (at: number, value: number) => {
      const hit = trigger.hit(`bit ${bit} of word ${at} of memory ${index} is flipped`);
      return hit ? (value ^ (1 << bit)) >>> 0 : value;
    };
    const words = watched(memory.words, { read: (_, found) => found, write, filled() {} });
    return { ...memory, words };
  },
});
