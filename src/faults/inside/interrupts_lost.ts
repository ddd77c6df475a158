/** An interrupt is lost: neither it nor the look that would follow it takes place. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => {
  let lost = false;
  return {
    interrupt(vectors, call) {
      lost = trigger.hit("an interrupt is lost");
      if (!lost) call(vectors);
    },
    poll(call) {
      if (!lost) return call();
      lost = false;
      return false;
    },
  };
};
