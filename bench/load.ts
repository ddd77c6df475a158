/** Load from outside the lab: `bench/outside/load.c` at the other end of a card's wire. */
import { z } from "zod";
import type { FrameSockets } from "../src/lab/mod.ts";
import { runOutside } from "./outside.ts";

/** MAC address that the program sends from. */
export const LOAD_MAC = "52:55:00:00:00:02";

const loadSchema = z.object({
  offered: z.number(),
  missed: z.number(),
  echoed: z.number(),
  wrong: z.number(),
  returned: z.number(),
  seconds: z.number().positive(),
  gap_us: z.number(),
  p50_us: z.number(),
  p99_us: z.number(),
  p999_us: z.number(),
  max_us: z.number(),
});

/** What the program says of a load; the head of `bench/outside/load.c` tells what each figure means. */
export type LoadResult = z.infer<typeof loadSchema>;

/** What comes back: a datagram as a host answers with, or the very frame with its MAC addresses exchanged. */
export type Answer = "echo" | "macswap";

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
  /** Bytes of a datagram's payload: at least 16; with 18 a frame is the shortest that there is, of 60 bytes. */
  size: number;
  /** Datagrams a second. */
  rate: number;
  /** Milliseconds of the load that are not measured, and that are. */
  warm: number;
  measured: number;
  /** What counts as come back; `echo` if not given. */
  answer?: Answer;
  /** Called when measuring begins and ends, and awaited. */
  begin?: () => Promise<void>;
  end?: () => Promise<void>;
  /** Aborted once measuring has begun, it ends that at once. */
  over?: AbortSignal;
}

/** Sockets of the wire of the card at `index`, in a folder. */
export function wireSockets(folder: string, index = 0): FrameSockets {
  return { card: `${folder}/card${index}`, outside: `${folder}/outside${index}` };
}

/** Puts a load on the card. @throws {UserError} if the program fails. */
export async function putLoad(options: LoadOptions): Promise<LoadResult> {
  const { program, sockets, mac, from, to, size, rate, warm, measured, answer = "echo", begin, end, over } =
    options;
  return await runOutside(program, {
    args: [sockets.outside, sockets.card, mac, from, to, size, rate, warm, measured, answer],
    schema: loadSchema,
    failure: "Cannot load the card",
    begin,
    end,
    over,
  });
}
