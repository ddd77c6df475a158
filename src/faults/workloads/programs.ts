/** Programs of workloads in a lab. */
import { CHECKOUT } from "../../lab/guest.ts";
import type { Lab } from "../../lab/mod.ts";
import { follow, type Program, type Workload } from "./workload.ts";

/** What `buildFaults` has built, in the guest. */
export function built(name: "udp" | "tcp" | "http" | "echo"): string {
  return `${CHECKOUT}/build/faults/${name}`;
}

/** The command line of a workload that is a Deno program, in the checkout. */
export function inside(name: "fio" | "sqlite"): string[] {
  const program = `src/faults/workloads/inside/${name}.ts`;
  return ["deno", "run", "-A", "--quiet", "--cached-only", program];
}

/**
 * Runs a command until the input ends: without a shell's help some do not look at it. The shell ends when the
 * command does, by itself or not.
 */
const UNTIL_INPUT_ENDS = `
exec 3<&0
"$@" 3<&- &
command=$!
(cat <&3; kill $command) > /dev/null 2>&1 &
exec 3<&-
wait $command
`;

/** A command that ends with its input. */
export function untilInputEnds(argv: readonly string[]): string[] {
  return ["dash", "-c", UNTIL_INPUT_ENDS, "dash", ...argv];
}

/** Starts a program in the lab. @param tells Whether its standard output has words. */
export function start(
  lab: Lab,
  argv: readonly string[],
  { name, tells }: { name: string; tells: boolean },
): Program {
  const child = lab.spawn(argv, { stdin: "piped", stdout: "piped", stderr: "piped" });
  return { name, child, tells };
}

/** Follows programs of one workload in a lab, once something has been done. @throws {UserError} as `follow` does. */
export async function followIn(lab: Lab, programs: readonly Program[]): Promise<Workload> {
  return await follow(programs, { crash: () => lab.crash("while a workload ran in it") });
}
