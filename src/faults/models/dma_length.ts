/** A wrong length. */
import { z } from "zod";
import { wrappedModel, writtenShape } from "./model.ts";

export const dmaLength = wrappedModel({
  name: "dma.length",
  about: "The length that the driver writes into a descriptor is another.",
  needs: ["dma"],
  times: 1,
  shape: {
    ...writtenShape,
    word: z.int().min(0).describe(
      "Which of them holds the length in its low 16 bits: 2 for the 8254x, 1 for IDE, 12 for NVMe.",
    ),
    by: z.int().optional().describe("How much is added; default: the seed draws from -512 to 4096, not 0."),
  },
  draw: ({ by }, words) => ({ by: by ?? ([-512, -1, 1, 64, 512, 4096][words.next() % 6]) }),
});
