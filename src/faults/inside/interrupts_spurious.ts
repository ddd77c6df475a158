/** An interrupt comes that the device has not asked for. */
import type { Make } from "./hooks.ts";

export const make: Make<{ vector: number }> = ({ vector }, scene) => ({
  event(what) {
    if (
      (what === "polls" || what === "ms") &&
      scene.trigger.hit(`an interrupt of vector ${vector} from nowhere`)
    ) {
      scene.interrupt(1 << vector);
    }
  },
});
