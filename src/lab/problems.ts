// What a kernel says when something is wrong with it, or when one of its checks has ended and sees no more.

const PROBLEM = new RegExp(
  [
    "WARNING:",
    "\\bBUG:",
    "kernel BUG at",
    "Oops:",
    "general protection",
    "Kernel panic",
    // Memory.
    "KASAN:",
    "UBSAN:",
    "BUG \\S+ \\(.*\\):", // SLUB
    "pagealloc: (memory corruption|single bit error)",
    "list_(add|del) corruption",
    "usercopy: Kernel memory",
    "detected buffer overflow",
    "unreferenced object",
    "kmemleak: \\d+ new suspected",
    "kmemleak: (Cannot|Memory pool empty|Found object by alias|Scan area larger)",
    "kmemleak: .*unknown object",
    "kmemleak: Kernel memory leak detector disabled",
    // Locks and contexts.
    "possible (recursive|circular|irq) lock",
    "inconsistent lock state",
    "suspicious RCU usage",
    "INFO: trying to register non-static key",
    "turning off the locking correctness validator",
    "scheduling while atomic",
    "sleeping function called from invalid context",
    // Stalls.
    "INFO: task .* blocked",
    "INFO: rcu",
    "rcu: INFO:",
    "RCU stall",
    "soft lockup",
    "hard LOCKUP",
    "irq \\d+: nobody cared",
    // Objects and interfaces.
    "refcount_t:",
    "ref_tracker:",
    "ODEBUG: (?!\\d+ of \\d+ active objects replaced|selftest passed)",
    "DMA-API: (?!preallocated|debugging enabled|dma_debug_entry pool grown|Mapped at)",
    "DMAR: \\[.*fault",
    "unregister_netdevice: waiting for",
    "cannot create duplicate filename",
  ].join("|"),
);

/** Words that say more of a problem whose first line stands above, and its trace still below. */
const SAYS_MORE = /WARNING: CPU|kernel BUG at|Oops:/;

/** Announces a warning or a BUG, which may begin with words of its own. */
const CUT = /-+\[ cut here \]-+$/;
const TRACE = /Call Trace:/;

/** The last line of a trace, which still belongs to it. */
const TRACE_END = /---\[ end |<\/TASK>/;

/** Reports that tell more below their first trace, up to a line of this. */
const RULED = /BUG: K[A-Z]*SAN:|UBSAN:|BUG: KFENCE:/;
const RULE = /\] =+$/;

/** Lines at most: lockdep shows each lock of a circle with where it was taken. */
const CONTEXT = 300;

/**
 * The problems a console log tells of, each with the lines that follow it: to the end of its report, to the
 * next problem, or some screenfuls. Only lines of the kernel count: they begin with their time.
 */
export function kernelProblems(log: string): string[] {
  const lines = log.split("\n").map((line) => line.replace(/\r$/, ""));
  const kernel = (line: string | undefined) => line !== undefined && /^\[ *\d+\.\d+\]/.test(line);
  const problems: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    if (!kernel(lines[at])) continue;
    if (CUT.test(lines[at])) {
      if (kernel(lines[at + 1])) at++;
    } else if (!PROBLEM.test(lines[at])) continue;
    const end = reportEnd(lines, at, (line) => kernel(line) && (PROBLEM.test(line) || CUT.test(line)));
    problems.push(lines.slice(at, end).join("\n").trimEnd());
    at = end - 1;
  }
  return problems;
}

/** Index of the line after a report that begins at `at`. */
function reportEnd(lines: readonly string[], at: number, begins: (line: string) => boolean): number {
  const ruled = RULED.test(lines[at]);
  let traced = false;
  let end = at + 1;
  for (; end < lines.length && end < at + CONTEXT; end++) {
    const line = lines[end];
    if (begins(line) && (traced || !SAYS_MORE.test(line))) break;
    traced ||= TRACE.test(line);
    if (ruled ? RULE.test(line) : TRACE_END.test(line)) return end + 1;
  }
  return end;
}

/** What a DMA fault looks like that the IOMMU has stopped: its driver's doing, and no fault of the kernel's. */
const STOPPED = /DMAR: \[/;

/** Tells the kernel's complaints, the first line of each, from accesses that the IOMMU has stopped. */
export function complaintsOf(problems: readonly string[]): { complaints: string[]; stopped: number } {
  const first = problems.map((problem) => problem.split("\n")[0]);
  return {
    complaints: first.filter((line) => !STOPPED.test(line)).map((line) => `kernel: ${line}`),
    stopped: first.filter((line) => STOPPED.test(line)).length,
  };
}
