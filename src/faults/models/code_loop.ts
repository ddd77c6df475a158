/** An endless loop. */
import { wrappedModel } from "./model.ts";

export const codeLoop = wrappedModel({
  name: "code.loop",
  about: "The driver loops for ever.",
  after: "MINIX 3: infinite loops",
  times: 1,
  shape: {},
});
