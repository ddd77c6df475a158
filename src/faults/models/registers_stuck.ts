/** A register that does not change. */
import { z } from "zod";
import { registerShape, wrappedModel } from "./model.ts";

export const registersStuck = wrappedModel({
  name: "registers.stuck",
  about: "A register reads from then on as it did at first, or as a given value.",
  needs: ["bar", "ports"],
  times: "always",
  shape: { ...registerShape, value: z.int().min(0).max(0xffffffff).optional().describe("What it reads as.") },
});
