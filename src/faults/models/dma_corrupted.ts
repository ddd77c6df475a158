/** A descriptor that is not what the driver wrote. */
import { z } from "zod";
import { memoryShape, wrappedModel } from "./model.ts";

export const dmaCorrupted = wrappedModel({
  name: "dma.corrupted",
  about: "A word that the driver writes into a descriptor has one bit flipped.",
  published: "MINIX 3: garble a pointer; Nooks: pointer faults",
  needs: ["dma"],
  times: 1,
  shape: {
    ...memoryShape,
    bit: z.int().min(0).max(31).optional().describe("Which bit; default: the seed draws."),
  },
  draw: ({ bit }, words) => ({ bit: bit ?? words.next() % 32 }),
});
