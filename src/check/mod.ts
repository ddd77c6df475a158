/** The traffic check: its outside here, its inside wherever the caller can run a command. */
import { type CheckResult, formatCheck } from "./result.ts";
import { type Outside, startOutside } from "./outside.ts";
import type { Direction } from "./stream.ts";

export { type CheckResult, type Direction, formatCheck, startOutside };

/** Runs `src/check/inside.ts` with these arguments, where the interface is. */
export type RunInside = (args: string[]) => Promise<{ code: number; stdout: string }>;

/** What to check; what is left out has the defaults of `inside.ts`. */
export interface CheckOptions {
  interface: string;
  /** The outside's address as seen through the interface. */
  host: string;
  pings?: number;
  datagrams?: number;
  bytes?: number;
  direction?: Direction;
  /** Seconds without progress that end a part. */
  stall?: number;
}

/**
 * Checks an interface with ping, datagrams and streams against servers of this machine.
 * @throws {Error} if the inside ended without a result.
 */
export async function check(
  runInside: RunInside,
  options: CheckOptions & { outside?: Parameters<typeof startOutside>[0] },
): Promise<CheckResult> {
  await using outside = await startOutside(options.outside);
  return await checkAgainst(outside, runInside, options);
}

/**
 * Checks an interface against servers that run already, wherever that is.
 * @throws {Error} if the inside ended without a result.
 */
export async function checkAgainst(
  outside: Pick<Outside, "udp" | "tcp" | "errors">,
  runInside: RunInside,
  options: CheckOptions,
): Promise<CheckResult> {
  const args = [
    ["host", options.host],
    ["interface", options.interface],
    ["udp", outside.udp],
    ["tcp", outside.tcp],
    ["pings", options.pings],
    ["datagrams", options.datagrams],
    ["bytes", options.bytes],
    ["direction", options.direction],
    ["stall", options.stall],
  ];
  const given = args.flatMap(([name, value]) => value === undefined ? [] : [`--${name}`, `${value}`]);
  const { code, stdout } = await runInside(given);
  const result = parseResult(stdout);
  if (!result) {
    throw new Error(`Check of ${options.interface}: it ended with status ${code} and without a result`);
  }
  // What the servers met counts only if nothing failed inside: there it has been seen already.
  if (result.ok && outside.errors.length > 0) {
    return { ...result, ok: false, problems: outside.errors.map((error) => `outside: ${error}`) };
  }
  return result;
}

/** The result in the inside's output: its last line. */
function parseResult(stdout: string): CheckResult | undefined {
  const line = stdout.trim().split("\n").pop() ?? "";
  if (!line.startsWith("{")) return undefined;
  const result = JSON.parse(line) as Partial<CheckResult>;
  return typeof result.ok === "boolean" && Array.isArray(result.problems) ? result as CheckResult : undefined;
}
