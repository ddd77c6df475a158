/** What must hold after any lab test. */
import { assertEquals } from "@std/assert";
import type { Lab } from "../../src/lab/mod.ts";

/** Progress for tests: they say nothing. */
export function silent(): void {}

/** The guest's kernel has nothing to complain about. */
export function assertHealthy(lab: Lab): void {
  assertEquals(lab.kernelProblems(), []);
}

/** All counters of the module are zero, and it unloads; its exit warns of any that is not. */
export async function assertNothingLeft(lab: Lab): Promise<void> {
  const { code, stdout, stderr } = await lab.exec(["ring3", "status", "--json"]);
  assertEquals(code, 0, stderr);
  const { module } = JSON.parse(stdout) as { module: Record<string, number> | null };
  if (!module) throw new Error("ring3.ko is not loaded");
  assertEquals(Object.entries(module).filter(([, count]) => count !== 0), []);
  const unload = await lab.exec(["rmmod", "ring3"]);
  assertEquals(unload.code, 0, unload.stderr);
}
