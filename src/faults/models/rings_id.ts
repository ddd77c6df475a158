/** The index in a token. */
import { z } from "zod";
import { channelShape, wrappedModel } from "./model.ts";

export const ringsId = wrappedModel({
  name: "rings.id",
  about: "A completion names another frame, buffer or request than the one that is done.",
  times: 1,
  shape: {
    ...channelShape,
    by: z.int().min(1).max(0xffff).optional().describe(
      "What is added to the index in the token; default: the seed draws.",
    ),
  },
  draw: ({ by }, words) => ({ by: by ?? [1, 2, 255, 0x7fff][words.next() % 4] }),
});
