/** `deno task test`: the gate, the unit tests, and the tests in the lab. Installs and builds what they need. */
import { defineCommand, flag } from "../src/cli/args.ts";
import { exitStatus } from "../src/cli/exit.ts";
import { prepare } from "../src/lab/mod.ts";
import { progressOnStderr } from "../src/progress.ts";
import { need } from "../src/setup.ts";
import { runGate, STEPS } from "./gate.ts";
import { failedTests, parseReport, type Reported } from "./report.ts";

const ROOT = new URL("../", import.meta.url);

/** Kernels that tests boot. */
const KERNELS = ["6.1", "6.12"];

/**
 * Failures in the lab that are looked at a second time, at most. A machine that is emulated on a host which others
 * use stops or is late now and then; what fails twice in a row, or more than this, fails.
 */
const SECOND_LOOKS = 2;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** Runs tests with their output passed through; all that was reported, and whether all of it held. */
async function denoTest(args: readonly string[]): Promise<{ success: boolean; reported: Reported[] }> {
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    const { success } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", `--junit-path=${report}`, ...args],
      cwd: ROOT,
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    return { success, reported: parseReport(await Deno.readTextFile(report)) };
  } finally {
    await Deno.remove(report);
  }
}

/** Runs test files and counts. */
async function runTests(paths: readonly string[]): Promise<Counts> {
  const { success, reported } = await denoTest(paths);
  const count = (outcome: Reported["outcome"]) => reported.filter((one) => one.outcome === outcome).length;
  const [passed, failed, skipped] = [count("passed"), count("failed"), count("skipped")];
  // A file that does not even load fails no test, but it fails.
  if (success || failed === 0) return { passed, failed: success ? 0 : 1, skipped };
  if (!await heldAgain(failedTests(reported))) return { passed, failed, skipped };
  return { passed: passed + failed, failed: 0, skipped };
}

/** Runs failed tests again, if they are few and of the lab, and says which. Whether all held. */
async function heldAgain(failed: readonly Reported[]): Promise<boolean> {
  if (failed.length > SECOND_LOOKS || failed.some(({ file }) => !file.startsWith("./tests/lab/"))) {
    return false;
  }
  for (const { file, name } of failed) {
    console.log(`\nagain: ${name} (${file})`);
    const { success } = await denoTest([`--filter=/^${RegExp.escape(name)}$/`, file]);
    if (!success) return false;
  }
  for (const { file, name } of failed) console.log(`\nonly when it was run again: ${name} (${file})`);
  return true;
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
    const tests = await runTests(paths);
    for (const key of Object.keys(counts) as (keyof Counts)[]) counts[key] += tests[key];
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
    return counts.failed > 0 ? 1 : 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => command.run(Deno.args)));
