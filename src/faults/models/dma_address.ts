/** An address that leads elsewhere. */
import { z } from "zod";
import { wrappedModel, writtenShape } from "./model.ts";

export const dmaAddress = wrappedModel({
  name: "dma.address",
  about:
    "The address that the driver writes into a descriptor is of memory that is not the device's. An IOMMU stops it.",
  needs: ["dma"],
  times: 1,
  shape: {
    ...writtenShape,
    word: z.int().min(0).describe(
      "Which of them holds the low half of the address: 0 for the 8254x and IDE, 6 for NVMe.",
    ),
    address: z.int().min(0).max(0xffffffff).optional().describe(
      "What is written; default: the seed draws a page at the end of what 32 bits reach.",
    ),
  },
  draw: ({ address }, words) => ({ address: address ?? 0xfff00000 + 4096 * (words.next() % 256) }),
});
