/** A line that stays up. */
import { wrappedModel } from "./model.ts";

export const interruptsStuck = wrappedModel({
  name: "interrupts.stuck",
  about: "The driver never asks the device why it interrupts, so that a level-triggered line stays up.",
  times: "always",
  shape: {},
});
