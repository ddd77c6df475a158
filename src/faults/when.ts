/** When a fault is committed, and how often: what every fault may say. */
import { z } from "zod";
import type { Words } from "../check/content.ts";

/** What can be counted until a fault comes. */
export const COUNTED = ["accesses", "interrupts", "polls", "frames", "requests", "ms"] as const;

/** When a fault comes. */
export const whenSchema = z.strictObject({
  after: z.int().min(0).describe("So many pass, and the one after them is the first that the fault may hit."),
  of: z.enum(COUNTED).describe(
    "What is counted: accesses of registers or ports, interrupts, polls, frames or requests that the driver " +
      "completes, or milliseconds.",
  ),
  since: z.enum(["ready", "start"]).default("ready").describe(
    "From where on: the driver's first poll, or the beginning of bring-up.",
  ),
});

/** When a fault comes, all said. */
export type When = z.output<typeof whenSchema>;

/** How often it is committed. */
export const timesSchema = z.union([z.int().min(1), z.literal("always")], {
  error: 'expected how often, 1 or more, or "always"',
}).describe("How often it is committed, once it may be; what is not said is the model's own.");

/** How often. */
export type Times = z.output<typeof timesSchema>;

/** Longest until a fault whose time is drawn, milliseconds, and most polls. */
const MOST_MS = 2000;
const MOST_POLLS = 500;

/** Draws when: by time or by polls, as both pass in a driver that does nothing too. */
export function drawWhen(words: Words): When {
  const byTime = words.next() % 2 === 0;
  const after = words.next() % (byTime ? MOST_MS : MOST_POLLS);
  return { after, of: byTime ? "ms" : "polls", since: "ready" };
}

/** As in "after 20 polls, once". */
export function whenText({ after, of, since }: When, times: Times): string {
  const often = times === "always" ? "from then on" : times === 1 ? "once" : `${times} times`;
  return `after ${after} ${of}${since === "start" ? " since bring-up began" : ""}, ${often}`;
}
