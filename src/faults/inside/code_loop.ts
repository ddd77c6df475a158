/** The driver never comes back. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  event(what) {
    if (trigger.hit(`loops for ever, at one of its ${what}`)) { for (;;); }
  },
});
