/** A bit that is read wrong. */
import { z } from "zod";
import { registerShape, wrappedModel } from "./model.ts";

export const registersFlipped = wrappedModel({
  name: "registers.flipped",
  about: "A register reads with one bit flipped.",
  needs: ["bar", "ports"],
  times: 1,
  shape: {
    ...registerShape,
    bit: z.int().min(0).max(31).optional().describe(
      "Which bit, of a narrower port modulo its width; default: the seed draws.",
    ),
  },
  draw: ({ bit }, words) => ({ bit: bit ?? words.next() % 32 }),
});
