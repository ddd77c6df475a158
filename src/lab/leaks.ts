// Memory of the guest's kernel that nothing points to any more, as kmemleak finds it.
import { UserError } from "../error.ts";
import type { Lab } from "./machine.ts";

const KMEMLEAK = "/sys/kernel/debug/kmemleak";

/**
 * Twice: what changed under the first scan is only looked at in the second. What is younger than five seconds
 * is in use for all that kmemleak knows, and a scan can be quicker than that.
 */
const SCAN = `sleep 5 && echo scan > ${KMEMLEAK} && echo scan > ${KMEMLEAK} && cat ${KMEMLEAK}`;

/**
 * Objects that the kernel has lost, each with where it was allocated; undefined if this kernel has no kmemleak.
 * Takes a minute and more under emulation. What is found is found again the next time.
 * @throws {UserError} if kmemleak has turned itself off, and would find nothing.
 */
export async function memoryLeaks(lab: Lab): Promise<string[] | undefined> {
  const there = await lab.exec(["test", "-e", KMEMLEAK]);
  if (there.code !== 0) return undefined;
  const { code, stdout, stderr } = await lab.exec(["dash", "-c", SCAN]);
  if (code !== 0) throw new UserError(`Cannot look for leaks: kmemleak does not scan: ${stderr.trim()}`);
  return parseLeaks(stdout);
}

/** The objects in what kmemleak's file says. */
export function parseLeaks(text: string): string[] {
  return text.split(/^(?=unreferenced object )/m).map((object) => object.trimEnd()).filter((object) =>
    object
  );
}
