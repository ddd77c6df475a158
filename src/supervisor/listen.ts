/** Where the API is to listen, as it is written on a command line. */
import { USAGE, UserError } from "../error.ts";

/**
 * `HOST:PORT`, or `none`: null; undefined stays undefined.
 * @throws {UserError} if it is neither.
 */
export function parseListen(text: string | undefined): { hostname: string; port: number } | null | undefined {
  if (text === undefined) return undefined;
  if (text === "none") return null;
  const parts = /^(\[[0-9a-f:.]+\]|[\w.-]+):(\d{1,5})$/i.exec(text);
  const port = Number(parts?.[2]);
  if (!parts || port < 1 || port > 65535) {
    throw new UserError(`--listen takes HOST:PORT, like 127.0.0.1:7333, or none; not "${text}"`, {
      code: USAGE,
    });
  }
  return { hostname: parts[1].replace(/^\[|\]$/g, ""), port };
}
