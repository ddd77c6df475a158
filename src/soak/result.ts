/** What all that is tried in a lab says of itself at its end, and how that is told. */
import type { Lab } from "../lab/mod.ts";
import { type Finding, formatVerdict, verdictOf } from "../verdict.ts";

/** What it says of itself. */
export interface LabResult {
  ok: boolean;
  /** What did not hold, a line each. */
  problems: string[];
  /** Release of the lab's. */
  kernel: string;
  accelerator: string;
  /** How long it took. */
  seconds: number;
}

/** That, at its end. @param options `start`: what `performance.now()` said when it began. */
export function labResult(
  { kernel, accelerator }: Pick<Lab, "kernel" | "accelerator">,
  { problems, start }: { problems: string[]; start: number },
): LabResult {
  return {
    ok: problems.length === 0,
    problems,
    kernel: kernel.release,
    accelerator,
    seconds: (performance.now() - start) / 1000,
  };
}

/** Whether any problem begins with a word. */
export function failedIn(problems: readonly string[]): (word: string) => boolean {
  return (word) => problems.some((problem) => problem.startsWith(word));
}

/** The last findings: whether the module has given everything back, and the kernel has not complained. */
export function lastFindings(problems: readonly string[]): Finding[] {
  const failed = failedIn(problems);
  return [
    {
      name: "module",
      found: failed("module:") ? "something is left" : "all counters zero, and unloaded",
      ok: !failed("module:"),
    },
    { name: "kernel", found: failed("kernel:") ? "it complained" : "no complaint", ok: !failed("kernel:") },
  ];
}

/** It as a table. @param options `title`: what was done, to which its result is added. */
export function formatLabResult(
  { kernel, accelerator, problems, seconds }: LabResult,
  { title, findings }: { title: string; findings: readonly Finding[] },
): string {
  const where = `on Linux ${kernel} (${accelerator})`;
  return formatVerdict(
    `${title} ${where}: ${verdictOf(problems)}, in ${seconds.toFixed(0)} s`,
    findings,
    problems,
  );
}
