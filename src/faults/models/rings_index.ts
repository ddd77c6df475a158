/** A counter of a ring. */
import { z } from "zod";
import { channelShape, wrappedModel } from "./model.ts";

export const ringsIndex = wrappedModel({
  name: "rings.index",
  about: "A counter of a channel is off: completions that were never made are shown, or made ones are not.",
  times: 1,
  shape: {
    ...channelShape,
    counter: z.enum(["completed", "seen"]).default("completed").describe(
      "Which of those that the driver writes.",
    ),
    by: z.int().optional().describe("How far; default: the seed draws from a few to beyond the ring."),
  },
  draw: ({ by }, words) => ({ by: by ?? ([-1, 1, 7, 4096, 2 ** 31 - 1, -(2 ** 31)][words.next() % 6]) }),
});
