/** The traffic check: its outside here, its inside wherever the caller can run a command. */
import { type CheckResult, formatCheck } from "./result.ts";
import { startOutside } from "./outside.ts";
import type { Direction } from "./stream.ts";

export { type CheckResult, type Direction, formatCheck, startOutside };

/** Runs `src/check/inside.ts` with these arguments, where the interface is. */
export type RunInside = (args: string[]) => Promise<{ code: number; stdout: string }>;

/**
 * Checks an interface with ping, datagrams and streams. `host` is this machine's address as seen through
 * the interface; what is left out has the defaults of `inside.ts`.
 * @throws {Error} if the inside ended without a result.
 */
export async function check(
  runInside: RunInside,
  options: {
    interface: string;
    host: string;
    pings?: number;
    datagrams?: number;
    bytes?: number;
    direction?: Direction;
    stall?: number;
    outside?: Parameters<typeof startOutside>[0];
  },
): Promise<CheckResult> {
  await using outside = await startOutside(options.outside);
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
