/** What the device says when it is done never gets to the driver. */
import type { Make } from "./hooks.ts";
import { DeviceWrites, only, watched } from "./memory.ts";

export const make: Make<{ memory?: number }> = ({ memory: chosen }, { trigger }) => ({
  memory: only(chosen, (memory, index) => {
    const hidden = new Map<number, number>();
    const watch = new DeviceWrites(memory.words, {
      onRead({ index: at, known, found }) {
        if (hidden.has(at)) return hidden.get(at);
        if (found === known) return undefined;
        if (!trigger.hit(`word ${at} of memory ${index} stays as it was before the device was done`)) {
          return undefined;
        }
        hidden.set(at, known);
        return known;
      },
      onWrite: (at) => void hidden.delete(at),
    });
    return { ...memory, words: watched(memory.words, watch) };
  }),
});
