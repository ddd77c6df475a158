/** A write that is lost. */
import { registerShape, wrappedModel } from "./model.ts";

export const registersDropped = wrappedModel({
  name: "registers.dropped",
  about: "A write to a register does not arrive.",
  needs: ["bar", "ports"],
  times: 1,
  shape: registerShape,
});
