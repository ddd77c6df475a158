/** Files that pages load: the style sheet and the scripts, served as they are. */
import type { Context } from "hono";
import { Problem } from "./problem.ts";

const FOLDER = new URL("./assets/", import.meta.url);

const TYPES: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  svg: "image/svg+xml",
};

/** Every file there is; no other is looked for. */
const FILES = ["charts.js", "dashboard.js", "icon.svg", "style.css", "words.js"] as const;

interface Asset {
  content: Uint8Array<ArrayBuffer>;
  type: string;
  etag: string;
}

const loaded = new Map<string, Promise<Asset>>();

/** Answers a request for a file by its name, with 304 if the client has it. */
export async function asset(c: Context, name: string): Promise<Response> {
  if (!FILES.some((file) => file === name)) throw new Problem(404, "There is no such file");
  if (!loaded.has(name)) loaded.set(name, load(name));
  const { content, type, etag } = await loaded.get(name)!;
  const headers = { ETag: etag, "Cache-Control": "no-cache" };
  if (c.req.header("If-None-Match")?.split(/\s*,\s*/).includes(etag)) {
    return new Response(null, { status: 304, headers });
  }
  return new Response(content, { headers: { ...headers, "Content-Type": type } });
}

async function load(name: string): Promise<Asset> {
  const content = await Deno.readFile(new URL(name, FOLDER));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return { content, type: TYPES[name.split(".").at(-1)!], etag: `"${digest.toHex().slice(0, 32)}"` };
}
