/** A register read too early. */
import { registerShape, wrappedModel } from "./model.ts";

export const registersStale = wrappedModel({
  name: "registers.stale",
  about: "A register reads as it did the time before.",
  needs: ["bar", "ports"],
  times: 1,
  shape: registerShape,
});
