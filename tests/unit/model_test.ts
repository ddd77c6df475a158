/** Models of the ring protocol, `tests/model/`: they hold, and each thing they say is needed is needed. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

/** The models; for each, macros that take something away, and a part of the assertion that then fails. */
const MODELS: Record<string, Record<string, string>> = {
  transmit: {
    NO_SECOND_LOOK: "completed==3",
    ARM_LAST: "completed==3",
    NO_WAKE_BARRIER: "completed==3",
    NO_RELEASE: "entry[(taken%2)]==(taken+1)",
    NO_QUEUE_BARRIER: "(2-(queued-released))>0",
    NO_MISSED: "completed==3",
  },
  receive: {
    NO_SECOND_LOOK: "!(line)",
    ARM_LAST: "!(line)",
    NO_MISSED: "completed==10",
    NO_REFILL_WAKE: "completed==10",
  },
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

/** Looks at every state of a model, with `macro` defined if given; what the search reports. */
async function search(model: string, macro?: string): Promise<string> {
  const directory = await Deno.makeTempDir({ prefix: "ring3-model-" });
  try {
    const file = new URL(`../model/${model}.pml`, import.meta.url).pathname;
    await output("spin", ["-a", ...(macro ? [`-D${macro}`] : []), file], directory);
    // Without partial-order reduction, which does not know what `timeout` depends on.
    // The whole search is long enough to be worth optimising; one that fails ends at once.
    await output(
      "gcc",
      [macro ? "-O0" : "-O1", "-w", "-DSAFETY", "-DNOREDUCE", "-o", "pan", "pan.c"],
      directory,
    );
    return await output(`${directory}/pan`, ["-m100000"], directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

const absent = await missing();
const ignore = absent.length > 0;
const reason = ignore ? ` (skipped: there is no ${absent.join(", ")}; apt-get install spin gcc)` : "";

for (const [model, macros] of Object.entries(MODELS)) {
  Deno.test({
    name: `model ${model}: nobody sleeps over work${reason}`,
    ignore,
    async fn() {
      const report = await search(model);
      assertStringIncludes(report, "errors: 0");
      // The search was whole, and there was something to search.
      assertEquals(/max search depth too small|out of memory/.test(report), false, report);
      assertMatch(report, /\s\d{6,} states, stored/);
      const unreached = report.split("\n").filter((line) => /, state \d+, /.test(line));
      assertEquals(unreached.filter((line) => !line.endsWith('"-end-"')), []);
    },
  });

  for (const [macro, assertion] of Object.entries(macros)) {
    Deno.test({
      name: `model ${model}: fails with ${macro}${reason}`,
      ignore,
      async fn() {
        const report = await search(model, macro);
        assertStringIncludes(report, "errors: 1");
        assertStringIncludes(report, "assertion violated");
        assertStringIncludes(report.replaceAll(" ", ""), assertion);
      },
    });
  }
}
