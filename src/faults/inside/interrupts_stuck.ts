/** The line stays up: the driver never asks the device why, so the device never lets go. It still polls. */
import type { Make } from "./hooks.ts";

export const make: Make<object> = (_, { trigger }) => ({
  interrupt(vectors, call) {
    if (!trigger.hit("interrupts are not answered")) call(vectors);
  },
});
