/** An endless loop. */
import { wrappedModel } from "./model.ts";

export const codeLoop = wrappedModel({
  name: "code.loop",
  about: "The driver loops for ever.",
  times: 1,
  shape: {},
});
