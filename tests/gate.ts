/** `deno task ok`: everything that has to hold before a commit, one step after the other. */

/** One step of the gate. */
export interface Step {
  name: string;
  /** Undefined if it holds; else what does not, as it is to be printed. Throwing counts as not holding. */
  run(): Promise<string | undefined>;
}

/** How a step went. */
export type StepResult = { name: string; seconds: number; failure?: string };

/** A step that runs a Deno subcommand in the checkout; its output is shown only when it fails. */
function deno(name: string, ...args: string[]): Step {
  return {
    name,
    async run() {
      const { success, code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args,
        cwd: new URL("..", import.meta.url),
      }).output();
      if (success) return undefined;
      const decoder = new TextDecoder();
      return `deno ${args.join(" ")} ended with status ${code}\n${decoder.decode(stdout)}${
        decoder.decode(stderr)
      }`;
    },
  };
}

/** A published schema is written from the code: says so when it is not what the code would write. */
function schema(name: string, load: () => Promise<{ file: URL; text: string; writer: string }>): Step {
  return {
    name,
    async run() {
      const { file, text, writer } = await load();
      if (await Deno.readTextFile(file) === text) return undefined;
      const path = file.pathname.slice(new URL("..", import.meta.url).pathname.length);
      return `${path} is out of date; write it with: deno run -A ${writer}`;
    },
  };
}

// Loaded in the step, so that what does not compile is its failure and not the gate's.
const manifestSchema = schema("manifest schema", async () => {
  const { jsonSchema } = await import("../src/manifest/schema.ts");
  const { SCHEMA_FILE } = await import("../src/manifest/write_schema.ts");
  return { file: SCHEMA_FILE, text: jsonSchema(), writer: "src/manifest/write_schema.ts" };
});
const campaignSchema = schema("campaign schema", async () => {
  const { campaignJsonSchema } = await import("../src/faults/schema.ts");
  const { SCHEMA_FILE } = await import("../src/faults/write_schema.ts");
  return { file: SCHEMA_FILE, text: campaignJsonSchema(), writer: "src/faults/write_schema.ts" };
});

/** The kernels of Debian's that the module is for. */
const KERNELS = ["6.1", "6.12"];

/** The module builds for each kernel with all warnings and under sparse, and neither complains. */
const module: Step = {
  name: "module",
  async run() {
    const { buildModule } = await import("../src/build.ts");
    const { findKernel } = await import("../src/lab/mod.ts");
    const { need } = await import("../src/setup.ts");
    const { progressOnStderr } = await import("../src/progress.ts");
    const progress = progressOnStderr();
    await need(["build", "check"], { progress });
    const failures: string[] = [];
    for (const version of KERNELS) {
      try {
        await buildModule(await findKernel(version, progress), { check: true });
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    return failures.length === 0 ? undefined : failures.join("\n");
  },
};

/** The steps, quickest first. */
export const STEPS: readonly Step[] = [
  deno("fmt", "fmt", "--check"),
  deno("lint", "lint"),
  deno("types", "check", "."),
  manifestSchema,
  campaignSchema,
  module,
  deno("unit tests", "test", "-A", "--quiet", "tests/unit"),
];

/** Runs every step, also after one has failed, so that one run tells all. */
export async function runGate(
  steps: readonly Step[],
  options: { print: (line: string) => void },
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  for (const { name, run } of steps) {
    const start = performance.now();
    let failure: string | undefined;
    try {
      failure = await run();
    } catch (error) {
      failure = error instanceof Error ? error.stack ?? error.message : String(error);
    }
    const seconds = (performance.now() - start) / 1000;
    options.print(`${failure === undefined ? "ok    " : "FAILED"} ${name} (${seconds.toFixed(1)} s)`);
    if (failure !== undefined) options.print(failure.trimEnd().replace(/^/gm, "       "));
    results.push({ name, seconds, failure });
  }
  return results;
}

if (import.meta.main) {
  const results = await runGate(STEPS, { print: (line) => console.log(line) });
  const failed = results.filter(({ failure }) => failure !== undefined);
  if (failed.length > 0) console.log(`The gate is shut: ${failed.map(({ name }) => name).join(", ")}`);
  Deno.exit(failed.length > 0 ? 1 : 0);
}
