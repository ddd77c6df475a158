// What a kernel says when something is wrong with it.

const PROBLEM = new RegExp(
  [
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops:",
    "general protection",
    "Kernel panic",
    "KASAN:",
    "UBSAN:",
    "INFO: task .* blocked",
    "INFO: rcu",
    "rcu: INFO:",
    "RCU stall",
    "possible (recursive|circular|irq) lock",
    "inconsistent lock state",
    "suspicious RCU usage",
    "unreferenced object",
    "kmemleak: \\d+ new suspected",
    "soft lockup",
    "hard LOCKUP",
    "refcount_t:",
    "DMAR: \\[.*fault",
    "scheduling while atomic",
    "sleeping function called from invalid context",
  ].join("|"),
);

const CONTEXT = 30;

/**
 * The problems a console log tells of, each with the lines that follow it, up to the end of its trace.
 * Only lines of the kernel count: they begin with their time.
 */
export function kernelProblems(log: string): string[] {
  const lines = log.split("\n").map((line) => line.replace(/\r$/, ""));
  const problems: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!/^\[ *\d+\.\d+\]/.test(lines[at]) || !PROBLEM.test(lines[at])) continue;
    const end = lines.findIndex((line, i) => i > at && /---\[ end (trace|Kernel panic)|<\/TASK>/.test(line));
    const last = end < 0 ? at + CONTEXT : Math.min(end + 1, at + 3 * CONTEXT);
    problems.push(lines.slice(at, last).join("\n").trimEnd());
    at = last - 1;
  }
  return problems;
}
