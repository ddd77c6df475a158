/** An exception. */
import { wrappedModel } from "./model.ts";

export const codeThrow = wrappedModel({
  name: "code.throw",
  about: "The driver throws in the middle of what it does.",
  times: 1,
  shape: {},
});
