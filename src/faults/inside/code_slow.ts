/** Every round of the driver takes longer. */
import { busy } from "./busy.ts";
import type { Make } from "./hooks.ts";

export const make: Make<{ ms: number }> = ({ ms }, { trigger }) => ({
  poll(call) {
    if (trigger.hit(`each poll takes ${ms} ms longer`)) busy(ms);
    return call();
  },
});
