/** What a driver process says, checked: it is not trusted. */
import { z } from "zod";
import { type HostMessage, MAX_TEXT } from "../host/messages.ts";

const text = z.string().max(MAX_TEXT);
const count = z.int().min(0);

const schema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("waiting") }),
  z.strictObject({ type: z.literal("ready") }),
  z.strictObject({ type: z.literal("log"), text }),
  z.strictObject({
    type: z.literal("traffic"),
    link: z.strictObject({ up: z.boolean(), speed: count }),
    counters: z.strictObject({
      rxPackets: count,
      rxBytes: count,
      rxDropped: count,
      txPackets: count,
      txBytes: count,
      txDropped: count,
    }),
  }),
  z.strictObject({ type: z.literal("failed"), error: text, message: text, stack: text }),
]);

/** The message on a line, or undefined if it is none. */
export function parseHostMessage(line: string): HostMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  return schema.safeParse(value).data;
}
