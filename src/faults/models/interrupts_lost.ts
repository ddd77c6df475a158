/** An interrupt that is lost. */
import { wrappedModel } from "./model.ts";

export const interruptsLost = wrappedModel({
  name: "interrupts.lost",
  about: "An interrupt, and the look that would follow it, do not take place.",
  times: 1,
  shape: {},
});
