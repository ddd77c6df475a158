/** An interrupt from nowhere. */
import { z } from "zod";
import { wrappedModel } from "./model.ts";

export const interruptsSpurious = wrappedModel({
  name: "interrupts.spurious",
  about: "The driver is told of an interrupt that there was not.",
  times: 1,
  shape: { vector: z.int().min(0).max(31).default(0).describe("Of which vector.") },
});
