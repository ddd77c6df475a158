/** How commands that check something tell what they found: a table with a verdict on each line. */

/** One line of the table. */
export interface Finding {
  /** What was looked at, in a word or two. */
  name: string;
  /** What was seen there. */
  found: string;
  /** Whether it holds; undefined where there is nothing that could fail. */
  ok?: boolean;
}

/** A title, the findings in columns, and below them what did not hold, a line each. */
export function formatVerdict(
  title: string,
  findings: readonly Finding[],
  problems: readonly string[],
): string {
  const name = Math.max(...findings.map((finding) => finding.name.length), 0);
  const found = Math.max(...findings.map((finding) => finding.found.length), 0);
  return [
    title,
    ...findings.map(({ name: left, found: middle, ok }) =>
      `  ${left.padEnd(name)}  ${middle.padEnd(found)}  ${ok === undefined ? "" : ok ? "ok" : "FAILED"}`
        .trimEnd()
    ),
    ...problems.map((problem) => `  ${problem}`),
  ].join("\n");
}

/** `all of it held`, or how much did not. */
export function verdictOf(problems: readonly string[]): string {
  return problems.length === 0 ? "all of it held" : `${problems.length} did not hold`;
}
