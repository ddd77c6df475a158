/** The device is no longer there: everything reads all ones, and nothing written arrives. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  read(read) {
    if (!trigger.hit(`the device is gone, ${read} reads all ones`)) return undefined;
    return (_, bits) => 2 ** bits - 1;
  },
  write(written, value, store) {
    if (!trigger.hit(`the device is gone, ${written} is not written`)) store(value);
  },
});
