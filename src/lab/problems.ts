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

/** Lines at most; a trace with its registers is some fifty. */
const CONTEXT = 80;

/** The last line of a trace, which still belongs to it. */
const TRACE_END = /---\[ end |<\/TASK>/;

/**
 * The problems a console log tells of, each with the lines that follow it: to the end of its trace, to the
 * next problem, or a screenful. Only lines of the kernel count: they begin with their time.
 */
export function kernelProblems(log: string): string[] {
  const lines = log.split("\n").map((line) => line.replace(/\r$/, ""));
  const begins = (line: string) => /^\[ *\d+\.\d+\]/.test(line) && PROBLEM.test(line);
  const problems: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!begins(lines[at])) continue;
    let end = at + 1;
    while (end < lines.length && end < at + CONTEXT && !begins(lines[end])) {
      if (TRACE_END.test(lines[end++])) break;
    }
    problems.push(lines.slice(at, end).join("\n").trimEnd());
    at = end - 1;
  }
  return problems;
}
