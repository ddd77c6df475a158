/** Reads what a request brings: bounded, and checked against a schema. */
import type { HonoRequest } from "hono";
import type { z } from "zod";
import { invalid, Problem } from "./problem.ts";

/** Bytes that a body may have. */
export const MAX_BODY = 64 * 1024;

/**
 * The query as a schema wants it.
 * @throws {Problem} 400 with everything that is wrong.
 */
export function readQuery(request: HonoRequest, schema: z.ZodType): unknown {
  const result = schema.safeParse(request.query());
  if (!result.success) throw invalid("query", result.error);
  return result.data;
}

/**
 * The JSON body as a schema wants it; no body is an empty object.
 * @throws {Problem} 400, 413, 415.
 */
export async function readBody(request: HonoRequest, schema: z.ZodType): Promise<unknown> {
  const text = await bodyText(request.raw);
  let value: unknown = {};
  if (text !== "") {
    if (!/^application\/json\s*(;|$)/i.test(request.header("Content-Type") ?? "")) {
      throw new Problem(415, "A body is JSON: send it with Content-Type: application/json");
    }
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new Problem(400, "The body is not JSON", { cause: error });
    }
  }
  const result = schema.safeParse(value);
  if (!result.success) throw invalid("body", result.error);
  return result.data;
}

async function bodyText({ body, headers }: Request): Promise<string> {
  const tooLarge = () =>
    new Problem(413, `A body has at most ${MAX_BODY} bytes`, { headers: { Connection: "close" } });
  if (Number(headers.get("Content-Length") ?? 0) > MAX_BODY) throw tooLarge();
  if (!body) return "";
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_BODY) throw tooLarge();
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
