/** The ring protocol's model, `tests/model/ring.pml`: it holds, and each thing it says is needed is needed. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

const MODEL = new URL("../model/ring.pml", import.meta.url).pathname;

/** Macros of the model that take something away, and the assertion that then fails. */
const TAKEN_AWAY: Record<string, string> = {
  NO_SECOND_LOOK: "(completed==3)",
  NO_WAKE_BARRIER: "(completed==3)",
  NO_RELEASE: "entry[(taken%2)]==(taken+1)",
  ARM_LAST: "(completed==3)",
  NO_QUEUE_BARRIER: "(2-(queued-released))>0",
  NO_MISSED: "(completed==3)",
};

/** Programs that the search needs and that are not installed. */
async function missing(): Promise<string[]> {
  const absent: string[] = [];
  for (const [program, version] of [["spin", "-V"], ["gcc", "--version"]]) {
    try {
      await new Deno.Command(program, { args: [version] }).output();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      absent.push(program);
    }
  }
  return absent;
}

async function output(program: string, args: string[], cwd: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  // pan ends with 0 also when an assertion fails: its report tells.
  if (!success) throw new Error(`${program} ${args.join(" ")} failed:\n${text}`);
  return text;
}

/** Looks at every state of the model, with `macro` defined if given; what the search reports. */
async function search(macro?: string): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "ring3-model-" });
  try {
    await output("spin", ["-a", ...(macro ? [`-D${macro}`] : []), MODEL], directory);
    // Without partial-order reduction, which does not know what `timeout` depends on.
    await output("gcc", ["-O1", "-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"], directory);
    return await output(`${directory}/pan`, ["-m100000"], directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const absent = await missing();
const ignore = absent.length > 0;
const reason = ignore ? ` (skipped: there is no ${absent.join(", ")}; apt-get install spin gcc)` : "";

Deno.test({
  name: `model: nobody sleeps over work on a channel${reason}`,
  ignore,
  async fn() {
    const report = await search();
    assertStringIncludes(report, "errors: 0");
    // The search was whole, and there was something to search.
    assertEquals(/max search depth too small|out of memory/.test(report), false, report);
    assertMatch(report, /\s\d{6,} states, stored/);
    const unreached = report.split("\n").filter((line) => /, state \d+, /.test(line));
    assertEquals(unreached.filter((line) => !line.endsWith('"-end-"')), []);
  },
});

for (const [macro, assertion] of Object.entries(TAKEN_AWAY)) {
  Deno.test({
    name: `model: it fails with ${macro}${reason}`,
    ignore,
    async fn() {
      const report = await search(macro);
      assertStringIncludes(report, "errors: 1");
      assertMatch(report, /assertion violated/);
      assertStringIncludes(report, assertion);
    },
  });
}
