/** A write that is repeated. */
import { z } from "zod";
import { registerShape, wrappedModel } from "./model.ts";

export const registersRepeated = wrappedModel({
  name: "registers.repeated",
  about: "A write to a register arrives more than once.",
  needs: ["bar", "ports"],
  times: 1,
  shape: {
    ...registerShape,
    writes: z.int().min(2).optional().describe("How often in all; default: the seed draws 2 to 5."),
  },
  draw: ({ writes }, words) => ({ writes: writes ?? 2 + words.next() % 4 }),
});
