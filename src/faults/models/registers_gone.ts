/** A device that is gone. */
import { wrappedModel } from "./model.ts";

export const registersGone = wrappedModel({
  name: "registers.gone",
  about: "All registers read all ones and take no writes, as those of a device that was pulled.",
  needs: ["bar", "ports"],
  times: "always",
  shape: {},
});
