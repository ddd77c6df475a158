/** Load from outside the lab: `bench/outside/load.c` at the other end of a card's wire. */
import { z } from "zod";
import { UserError } from "../src/error.ts";
import type { FrameSockets } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";

/** MAC address that the program sends from. */
export const LOAD_MAC = "52:55:00:00:00:02";

const loadSchema = z.object({
  offered: z.number(),
  missed: z.number(),
  echoed: z.number(),
  wrong: z.number(),
  returned: z.number(),
  seconds: z.number().positive(),
  p50_us: z.number(),
  p99_us: z.number(),
  p999_us: z.number(),
  max_us: z.number(),
});

/** What the program says of a load; the head of `bench/outside/load.c` tells what each figure means. */
export type LoadResult = z.infer<typeof loadSchema>;

/** One load. */
export interface LoadOptions {
  /** The program. */
  program: string;
  sockets: FrameSockets;
  /** The card's MAC address. */
  mac: string;
  /** IPv4 addresses of the program and of the card. */
  from: string;
  to: string;
  /** Bytes of a datagram's payload. */
  size: number;
  /** Datagrams a second. */
  rate: number;
  /** Milliseconds of the load that are not measured, and that are. */
  warm: number;
  measured: number;
  /** Called when measuring begins and ends, and awaited. */
  begin?: () => Promise<void>;
  end?: () => Promise<void>;
}

/** Puts a load on the card. @throws {UserError} if the program fails. */
export async function putLoad(options: LoadOptions): Promise<LoadResult> {
  const { program, sockets, mac, from, to, size, rate, warm, measured } = options;
  const numbers = [size, rate, warm, measured].map((number) => `${number}`);
  const child = new Deno.Command(program, {
    args: [sockets.outside, sockets.card, mac, from, to, ...numbers],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const said = new Response(child.stderr).text();
  let result: LoadResult | undefined;
  for await (const line of lines(child.stdout)) {
    if (line === "begin") await options.begin?.();
    else if (line === "end") await options.end?.();
    else result = loadSchema.parse(JSON.parse(line));
  }
  const { code } = await child.status;
  if (code === 0 && result) return result;
  throw new UserError(`Cannot load the card: ${(await said).trim() || `status ${code}`}`);
}
