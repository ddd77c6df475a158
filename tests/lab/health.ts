/** What must hold after any lab test. */
import { assertEquals } from "@std/assert";
import { type Lab, memoryLeaks } from "../../src/lab/mod.ts";
import { leftInModule, unloadModule } from "../../src/soak/lab.ts";

/** Progress for tests: they say nothing. */
export function silent(): void {}

/** The guest's kernel has nothing to complain about, but for lines that are `expected`: at least one of each. */
export function assertHealthy(lab: Lab, { expected = [] }: { expected?: readonly RegExp[] } = {}): void {
  const problems = lab.kernelProblems();
  assertEquals(problems.filter((problem) => !expected.some((line) => line.test(problem.split("\n")[0]))), []);
  assertEquals(expected.filter((line) => !problems.some((problem) => line.test(problem))), []);
}

/**
 * All counters of the module are zero, and it unloads; its exit warns of any that is not. Nor has it lost
 * memory, where the kernel can tell.
 */
export async function assertNothingLeft(lab: Lab): Promise<void> {
  assertEquals([...await leftInModule(lab), ...await unloadModule(lab)], []);
  assertEquals(await memoryLeaks(lab) ?? [], []);
}
