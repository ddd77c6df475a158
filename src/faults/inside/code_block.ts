/** The driver holds its one thread for a while, as something synchronous and long would. */
import { busy } from "./busy.ts";
import type { Make } from "./hooks.ts";

export const make: Make<{ ms: number }> = ({ ms }, { trigger }) => ({
  event(what) {
    if ((what === "polls" || what === "ms") && trigger.hit(`does nothing else for ${ms} ms`)) busy(ms);
  },
});
