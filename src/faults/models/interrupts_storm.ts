/** Interrupts without end. */
import { z } from "zod";
import { wrappedModel } from "./model.ts";

export const interruptsStorm = wrappedModel({
  name: "interrupts.storm",
  about:
    "The device interrupts again as soon as it is looked after: the driver has it do so at each poll, by a " +
    "register that causes an interrupt. Calling the driver's verb over and over would be no storm.",
  needs: ["bar"],
  times: "always",
  shape: {
    bar: z.int().min(0).max(5).default(0).describe("BAR of the register."),
    offset: z.int().min(0).multipleOf(4).describe("Where in it, as 0xc8 for ICS of the 8254x."),
    value: z.int().min(0).max(0xffffffff).describe("What is written, as 0x80 for RXT0 there."),
  },
});
