/** No memory left. */
import { wrappedModel } from "./model.ts";

export const codeHeap = wrappedModel({
  name: "code.heap",
  about: "The driver takes memory until there is none.",
  times: 1,
  shape: {},
});
