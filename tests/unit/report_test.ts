import { assertEquals } from "@std/assert";
import { failedTests, parseReport } from "../report.ts";

Deno.test("what deno test reports is read: tests, their steps, and which of them failed", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/a_test.ts`,
      `Deno.test('a "quoted" <name> & more', async (t) => {
        await t.step("inner", () => { throw new Error("<testcase name=\\"no\\" classname=\\"no\\">") });
        await t.step("held", () => {});
      });
      Deno.test("fine", () => {});
      Deno.test.ignore("left out", () => {});`,
    );
    await new Deno.Command(Deno.execPath(), {
      args: ["test", "--no-config", "--quiet", "--junit-path=report.xml", "a_test.ts"],
      cwd: folder,
      stdout: "null",
      stderr: "null",
    }).output();
    const reported = parseReport(await Deno.readTextFile(`${folder}/report.xml`));
    const file = "./a_test.ts";
    const name = 'a "quoted" <name> & more';
    assertEquals(reported, [
      { file, name, outcome: "failed" },
      { file, name: "fine", outcome: "passed" },
      { file, name: "left out", outcome: "skipped" },
      { file, name: `${name} > inner`, outcome: "failed" },
      { file, name: `${name} > held`, outcome: "passed" },
    ]);
    assertEquals(failedTests(reported), [{ file, name, outcome: "failed" }]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
