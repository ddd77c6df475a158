/** `deno task test`: the gate, the unit tests, and the tests in the lab. Installs and builds what they need. */
import { unescape } from "@std/html";
import { defineCommand, flag } from "../src/cli/args.ts";
import { exitStatus } from "../src/cli/exit.ts";
import { prepare } from "../src/lab/mod.ts";
import { progressOnStderr } from "../src/progress.ts";
import { need } from "../src/setup.ts";
import { runGate, STEPS } from "./gate.ts";

const ROOT = new URL("../", import.meta.url);

/** Kernels that tests boot. */
const KERNELS = ["6.1", "6.12"];

/**
 * Files of tests in the lab that are run a second time, at most, when they failed. A machine that is emulated on a
 * host which others use stops or is late now and then; what fails twice in a row, or more than this, fails.
 */
const SECOND_LOOKS = 3;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

function add(counts: Counts, more: Counts): void {
  for (const key of Object.keys(counts) as (keyof Counts)[]) counts[key] += more[key];
}

/** What Deno's report in JUnit's form says of tests that failed: their names and why, in full. */
function failuresIn(report: string): string[] {
  const failed = /<testcase name="([^"]*)"[^>]*>\s*<(?:failure|error)\b[^>]*>([^<]*)</g;
  return [...report.matchAll(failed)].map(([, name, why]) =>
    unescape(`${name}\n${why.replace(/^/gm, "  ")}`)
  );
}

/** Runs test files with their output passed through, and counts. */
async function denoTest(paths: readonly string[]): Promise<Counts & { failures: string[] }> {
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
    return { passed: total("tests") - bad - skipped, failed, skipped, failures: failuresIn(xml) };
  } finally {
    await Deno.remove(report);
  }
}

/** Runs files of tests in the lab, each by itself, so that one which failed can be run again as a whole. */
async function labTests(files: readonly string[]): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, skipped: 0 };
  const again: { file: string; failures: string[] }[] = [];
  for (const file of files) {
    let one = await denoTest([file]);
    if (one.failed > 0 && again.length < SECOND_LOOKS) {
      console.log(`\nagain: ${file}`);
      again.push({ file, failures: one.failures });
      one = await denoTest([file]);
    }
    add(counts, one);
  }
  for (const { file, failures } of again) {
    console.log(`\nrun a second time, having failed: ${file}`);
    for (const failure of failures) console.log(failure.replace(/^/gm, "  "));
  }
  return counts;
}

/** The files of tests in a folder, by name. */
function testFiles(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].map(({ name }) => `${folder}/${name}`)
    .filter((path) => path.endsWith("_test.ts")).sort();
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
    const inLab = (path: string) => /(^|\/)tests\/lab\//.test(path);
    const here = file ? [file].filter((path) => !inLab(path)) : ["tests/unit", "tests/browser"];
    if (here.length > 0) add(counts, await denoTest(here));
    add(counts, await labTests(file ? [file].filter(inLab) : unit ? [] : testFiles("tests/lab")));
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : "";
    console.log(`\n${counts.passed} passed, ${counts.failed} failed${skipped}`);
    return counts.failed > 0 ? 1 : 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => command.run(Deno.args)));
