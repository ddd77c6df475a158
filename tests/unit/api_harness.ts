/** A server of the API on loopback with a fake fleet behind it, and time that a test moves. */
import { serveApi } from "../../src/api/mod.ts";
import { readToken } from "../../src/api/token.ts";
import type { Timing } from "../../src/api/stream.ts";
import { fakeDriver, FakeFleet } from "../fakes/fleet.ts";

/** Time that stands still until told. */
export class FakeTiming implements Timing {
  #now = 0;
  readonly #timers = new Set<{ ms: number; next: number; run: () => void }>();

  now(): number {
    return this.#now;
  }

  every(ms: number, run: () => void): () => void {
    const timer = { ms, next: this.#now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Timers that run. */
  get timers(): number {
    return this.#timers.size;
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [first] = [...this.#timers].sort((a, b) => a.next - b.next);
      if (!first || first.next > end) break;
      this.#now = first.next;
      first.next += first.ms;
      first.run();
    }
    this.#now = end;
  }
}

/** A running server. */
export interface Harness extends AsyncDisposable {
  fleet: FakeFleet;
  timing: FakeTiming;
  state: string;
  token: string;
  /** `127.0.0.1:PORT`. */
  host: string;
  url: string;
  enterUrl(): string;
  /** Requests a path; `as` is who asks: the holder of the token unless said. */
  ask(path: string, init?: RequestInit & { as?: "token" | "nobody" }): Promise<Response>;
}

/** Starts a server with one driver, e1000, unless a fleet is given. */
export async function harness(
  fleet: FakeFleet = new FakeFleet(fakeDriver()),
  options: { hosts?: string[] } = {},
): Promise<Harness> {
  const state = await Deno.makeTempDir({ prefix: "ring3-api-" });
  const timing = new FakeTiming();
  const server = await serveApi(fleet, { port: 0, state, timing, ...options });
  const token = await readToken(state);
  return {
    fleet,
    timing,
    state,
    token,
    host: new URL(server.url).host,
    url: server.url,
    enterUrl: () => server.enterUrl(),
    ask(path, { as = "token", headers, ...init } = {}) {
      const all = new Headers(headers);
      if (as === "token" && !all.has("Authorization")) all.set("Authorization", `Bearer ${token}`);
      return fetch(new URL(path, server.url), { redirect: "manual", ...init, headers: all });
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await Deno.remove(state, { recursive: true });
    },
  };
}

/** Sends a request as it stands over a connection of its own, as no client would, and gives the whole answer. */
export async function raw(host: string, request: string): Promise<string> {
  const [hostname, port] = host.split(":");
  using connection = await Deno.connect({ hostname, port: Number(port) });
  await connection.write(new TextEncoder().encode(request));
  return await new Response(connection.readable).text();
}

/** Reads server-sent events one by one, comments too. */
export class EventReader {
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(response: Response) {
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next one; undefined at the end. */
  async next(): Promise<
    { event?: string; id?: string; data?: string; retry?: string; comment?: boolean } | undefined
  > {
    while (!this.#text.includes("\n\n")) {
      const { done, value } = await this.#reader.read();
      if (done) return undefined;
      this.#text += value;
    }
    const end = this.#text.indexOf("\n\n");
    const lines = this.#text.slice(0, end).split("\n");
    this.#text = this.#text.slice(end + 2);
    if (lines.every((line) => line.startsWith(":"))) return { comment: true };
    return Object.fromEntries(lines.map((line) => [line.split(":")[0], line.replace(/^\w+: ?/, "")]));
  }

  /** The next of a kind, past all others. */
  async find(event: string): Promise<{ event?: string; id?: string; data?: string }> {
    for (;;) {
      const found = await this.next();
      if (!found) throw new Error(`The stream ended before "${event}"`);
      if (found.event === event) return found;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reader.cancel();
  }
}

/** Waits until something holds, two seconds at most. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let left = 200; left > 0; left--) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Not within two seconds: ${what}`);
}
