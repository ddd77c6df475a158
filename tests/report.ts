/** What `deno test` reports of the tests that it ran, as JUnit's XML. */

/** A test, or a step of one, whose name then begins with that of its test and " > ". */
export interface Reported {
  /** As `deno test` takes it. */
  file: string;
  name: string;
  outcome: "passed" | "failed" | "skipped";
}

const ENTITIES: Record<string, string> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function unescape(text: string): string {
  return text.replace(
    /&(?:#(\d+)|(\w+));/g,
    (all, code, name) => code ? String.fromCodePoint(Number(code)) : ENTITIES[name] ?? all,
  );
}

/** Reads a report of `deno test --junit-path`. */
export function parseReport(xml: string): Reported[] {
  const cases = xml.matchAll(
    /<testcase name="([^"]*)" classname="([^"]*)"[^>]*>\s*<(failure|error|skipped|\/testcase)/g,
  );
  return [...cases].map(([, name, file, first]) => ({
    file: unescape(file),
    name: unescape(name),
    outcome: first === "skipped" ? "skipped" : first === "/testcase" ? "passed" : "failed",
  }));
}

/** The tests that failed, each without its steps. */
export function failedTests(reported: readonly Reported[]): Reported[] {
  const failed = reported.filter(({ outcome }) => outcome === "failed");
  const isStepOf = ({ file, name }: Reported, test: Reported) =>
    test.file === file && name.startsWith(`${test.name} > `);
  return failed.filter((one) => !failed.some((test) => isStepOf(one, test)));
}
