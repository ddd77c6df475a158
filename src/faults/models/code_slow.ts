/** A driver that has become slow. */
import { z } from "zod";
import { wrappedModel } from "./model.ts";

export const codeSlow = wrappedModel({
  name: "code.slow",
  about: "Each poll takes longer.",
  times: "always",
  shape: {
    ms: z.int().min(1).optional().describe("How much, milliseconds; default: the seed draws 1 to 50."),
  },
  draw: ({ ms }, words) => ({ ms: ms ?? 1 + words.next() % 50 }),
});
