/** With a fault around it that never comes, a driver passes all that is asked of it without: its own tests. */
import { assert, assertMatch } from "@std/assert";
import { type DriverFault, faulty } from "../../src/faults/mod.ts";
import { type DriverName, folderOf, newFolder } from "../fakes/faulty_rig.ts";

const ROOT = new URL("../../", import.meta.url);

/** Faults that stand at every place where one can stand, and between them hook into all there is. */
const FAULTS: readonly [DriverName, DriverFault["model"]][] = [
  ["e1000", "registers.stale"],
  ["e1000", "dma.early"],
  ["ide", "registers.delayed"],
  ["nvme", "dma.twice"],
];

/** The tree's import map, with a driver in another's place. */
async function importMap(driver: DriverName, file: string): Promise<string> {
  const { imports } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const found = Object.entries(imports as Record<string, string>)
    .map(([name, to]) => [name, to.startsWith("./") ? new URL(to, ROOT).href : to]);
  const map = { ...Object.fromEntries(found), [`file://${folderOf(driver)}/driver.ts`]: `file://${file}` };
  return `data:application/json,${encodeURIComponent(JSON.stringify({ imports: map }))}`;
}

/** Runs a driver's own tests on a version of it. */
async function runTests(driver: DriverName, fault: DriverFault): Promise<{ passed: boolean; says: string }> {
  await using to = newFolder();
  const { file } = await faulty(folderOf(driver), fault, { seed: 1, to: to.path });
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "test",
      "-A",
      "--no-check",
      "--quiet",
      `--import-map=${await importMap(driver, file)}`,
      `tests/unit/${driver}_test.ts`,
    ],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const decoder = new TextDecoder();
  return { passed: success, says: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("a driver with a fault that does not come passes its own tests", async () => {
  for (const [driver, model] of FAULTS) {
    const fault = { model, when: { after: 1e9, of: "polls" } } as DriverFault;
    const { passed, says } = await runTests(driver, fault);
    assert(passed, `${driver} with ${model}:\n${says}`);
    assertMatch(says, /\d{2} passed/);
  }
});

Deno.test("and with one that comes it does not: these tests can fail", async () => {
  const fault = { model: "registers.dropped", times: "always", when: { after: 0, of: "accesses" } } as const;
  const { passed, says } = await runTests("e1000", fault);
  assert(!passed);
  assertMatch(says, /[1-9]\d* passed \| [1-9]\d* failed/);
});
