/** An interrupt comes twice. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  interrupt(vectors, call) {
    call(vectors);
    if (trigger.hit("an interrupt comes twice")) call(vectors);
  },
});
