/** ICMP echo, through the system's `ping`. */
import type { PingResult } from "./result.ts";

/**
 * Sends echo requests out of one interface.
 * @throws {Error} if there is no `ping`, or it could not send at all.
 */
export async function checkPing(
  host: string,
  options: { count: number; interface: string },
): Promise<PingResult> {
  const { count } = options;
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("ping", {
      // -W bounds the wait for each answer; the shortest interval that needs no privileges is 0.2 s.
      args: ["-c", `${count}`, "-i", "0.2", "-W", "5", "-I", options.interface, host],
      env: { LC_ALL: "C" },
    }).output();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error("there is no ping command here; install iputils-ping", { cause: error });
  }
  const decoder = new TextDecoder();
  const result = parsePing(decoder.decode(output.stdout));
  if (!result) throw new Error(decoder.decode(output.stderr).trim().split("\n").pop() || "ping said nothing");
  return result;
}

/** What `ping` of iputils or busybox prints at its end, or undefined if it did not get that far. */
export function parsePing(output: string): PingResult | undefined {
  const counts = /(\d+) packets transmitted, (\d+) (?:packets )?received/.exec(output);
  if (!counts) return undefined;
  const times = /min\/avg\/max(?:\/mdev)? = ([\d.]+)\/([\d.]+)\/([\d.]+)/.exec(output);
  return {
    sent: Number(counts[1]),
    received: Number(counts[2]),
    ...(times && {
      milliseconds: { least: Number(times[1]), mean: Number(times[2]), most: Number(times[3]) },
    }),
  };
}
