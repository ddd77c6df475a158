/** A blocked event loop. */
import { z } from "zod";
import { wrappedModel } from "./model.ts";

export const codeBlock = wrappedModel({
  name: "code.block",
  about: "The driver does nothing else for a while, and then goes on as if nothing had been.",
  times: 1,
  shape: {
    ms: z.int().min(1).optional().describe("How long, milliseconds; default: the seed draws 50 to 5000."),
  },
  draw: ({ ms }, words) => ({ ms: ms ?? 50 + words.next() % 4951 }),
});
