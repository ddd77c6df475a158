/** The driver throws, in the middle of whatever it does. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  event(what) {
    if (trigger.hit(`throws, at one of its ${what}`)) throw new Error("this exception was asked for");
  },
});
