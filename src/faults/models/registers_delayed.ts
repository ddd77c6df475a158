/** A write that is late. */
import { z } from "zod";
import { registerShape, wrappedModel } from "./model.ts";

export const registersDelayed = wrappedModel({
  name: "registers.delayed",
  about: "A write to a register arrives only after more accesses, and so after others.",
  needs: ["bar", "ports"],
  times: 1,
  shape: {
    ...registerShape,
    accesses: z.int().min(1).optional().describe("How many; default: the seed draws 1 to 16."),
  },
  draw: ({ accesses }, words) => ({ accesses: accesses ?? 1 + words.next() % 16 }),
});
