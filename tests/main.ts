/** `deno task test`: the gate, the unit tests, and the tests in the lab. Installs and builds what they need. */
import { defineCommand, flag } from "../src/cli/args.ts";
import { exitStatus } from "../src/cli/exit.ts";
import { prepare } from "../src/lab/mod.ts";
import { progressOnStderr } from "../src/progress.ts";
import { need } from "../src/setup.ts";
import { runGate, STEPS } from "./gate.ts";

const ROOT = new URL("../", import.meta.url);

/** Kernels that tests boot. */
const KERNELS = ["6.1", "6.12"];

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs test files with their output passed through, and counts. */
async function denoTest(paths: string[]): Promise<Counts> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", `--junit-path=${report}`, ...paths],
      cwd: ROOT,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    const xml = await Deno.readTextFile(report);
    const total = (name: string) =>
      Number(new RegExp(`<testsuites[^>]* ${name}="(\\d+)"`).exec(xml)?.[1] ?? 0);
    const bad = total("failures") + total("errors");
    const skipped = (xml.match(/<skipped/g) ?? []).length;
    // A file that does not even load fails no test, but it fails.
    const failed = success ? bad : Math.max(bad, 1);
    return { passed: total("tests") - bad - skipped, failed, skipped };
  } finally {
    await Deno.remove(report);
  }
}

const command = defineCommand({
  name: "deno task test",
  summary: "Run the gate, the unit tests, and the tests in the lab",
  positionals: [{ name: "[file]", description: "only the tests of this file, without the gate" }],
  options: {
    yes: flag("install what is missing without asking"),
    unit: flag("leave out what needs the lab"),
  },
  async main({ positionals: [file], options: { yes, unit } }) {
    const progress = progressOnStderr();
    await need(unit ? ["build", "check"] : ["lab", "build", "check"], { progress, yes });
    if (!unit) {
      for (const kernel of KERNELS) await prepare(kernel, { progress, yes });
    }
    const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
    if (!file) {
      // Its unit tests are counted one by one below.
      const steps = STEPS.filter(({ name }) => name !== "unit tests");
      for (const { failure } of await runGate(steps, { print: console.log })) {
        counts[failure === undefined ? "passed" : "failed"]++;
      }
    }
    const paths = file ? [file] : ["tests/unit", "tests/browser", ...(unit ? [] : ["tests/lab"])];
    const tests = await denoTest(paths);
    for (const key of Object.keys(counts) as (keyof Counts)[]) counts[key] += tests[key];
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
    return counts.failed > 0 ? 1 : 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => command.run(Deno.args)));
