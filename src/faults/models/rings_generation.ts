/** The sequence number in a token. */
import { z } from "zod";
import { channelShape, wrappedModel } from "./model.ts";

export const ringsGeneration = wrappedModel({
  name: "rings.generation",
  about:
    "A completion is of an earlier use of its index, as one that was held back would be. The generation of " +
    "the grant itself is not in memory that a driver reaches.",
  times: 1,
  shape: {
    ...channelShape,
    by: z.int().min(1).max(0xffff).optional().describe("How many uses ago; default: the seed draws 1 to 4."),
  },
  draw: ({ by }, words) => ({ by: by ?? 1 + words.next() % 4 }),
});
