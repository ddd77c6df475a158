/** Debian's Chromium, driven from tests. */
// What deno.json names is fetched by everybody, and nobody else needs this.
// deno-lint-ignore no-import-prefix
import { type Browser, chromium } from "npm:playwright-core@1.65.1";

export type { Browser, BrowserContextOptions, Page } from "npm:playwright-core@1.65.1";

/** Nothing that the browser does by itself leaves this machine. */
const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Milliseconds that a page has to come to what is awaited. */
export const PATIENCE = 10_000;

/** Milliseconds that a browser has to start, also on a machine that does something else. */
const START = 120_000;

/** Starts a browser. @param flags More of them. */
export function launch(flags: readonly string[] = []): Promise<Browser> {
  const args = [...FLAGS, ...flags];
  return chromium.launch({ executablePath: "/usr/bin/chromium", args, timeout: START });
}
