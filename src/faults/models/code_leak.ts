/** Promises that nothing settles. */
import { z } from "zod";
import { wrappedModel } from "./model.ts";

export const codeLeak = wrappedModel({
  name: "code.leak",
  about: "Each poll leaves promises behind that nothing settles, with what awaits them.",
  times: "always",
  shape: {
    each: z.int().min(1).optional().describe("How many at each poll; default: the seed draws 1 to 10000."),
  },
  draw: ({ each }, words) => ({ each: each ?? 10 ** (words.next() % 5) }),
});
