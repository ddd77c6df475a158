/** An interrupt too many. */
import { wrappedModel } from "./model.ts";

export const interruptsDuplicated = wrappedModel({
  name: "interrupts.duplicated",
  about: "The driver is told twice of one interrupt.",
  times: 1,
  shape: {},
});
