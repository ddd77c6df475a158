/** What a driver process says, checked: it is not trusted. */
import { z } from "zod";
import { type HostMessage, MAX_TEXT } from "../host/messages.ts";

const text = z.string().max(MAX_TEXT);

const schema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("ready") }),
  z.strictObject({ type: z.literal("log"), text }),
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

/** Longest line taken, in UTF-16 units: three texts, each character escaped, and what is around them. */
const MAX_LINE = 3 * 6 * MAX_TEXT + 1024;

/** Lines of a stream of bytes; what is longer than any message comes in pieces, so that nothing piles up. */
export async function* lines(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) {
    const pieces = (rest + part).split("\n");
    rest = pieces.pop()!;
    yield* pieces;
    if (rest.length > MAX_LINE) {
      yield rest;
      rest = "";
    }
  }
  if (rest) yield rest;
}
