/** Versions of a driver that take over from one another, under a TCP stream. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { sh } from "../../src/soak/lab.ts";
import { transfer } from "../../src/soak/tcp.ts";
import { DEVICE, FarEnd, keepQuiet, layWire, WIRE } from "../../src/soak/wire.ts";
import { ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** Another version in the lab, made with sed; its folder. */
async function version(lab: Lab, name: string, sed: string): Promise<string> {
  const folder = `/tmp/${name}/drivers/e1000`;
  await sh(
    lab,
    `mkdir -p ${folder}; cp /ring3/drivers/e1000/* ${folder}; sed -i '${sed}' ${folder}/driver.ts`,
  );
  return folder;
}

/** `ring3 upgrade`: its exit status, and what it said. */
async function upgrade(lab: Lab, folder: string): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await lab.exec(["ring3", "upgrade", "e1000", "--to", folder]);
  return { code, said: stdout + stderr };
}

Deno.test("a TCP stream stays up while its driver is upgraded, and when an upgrade fails", async (t) => {
  await using lab = await boot(WIRE, { progress: silent });
  await keepQuiet(lab);
  await using run = await ready(lab, ["e1000", "--device", DEVICE]);
  await layWire(lab);
  await using far = await FarEnd.start(lab);
  await run.next("spare", { where: ({ state }) => state === "ready" });
  const problems: string[] = [];
  const moving = Promise.withResolvers<void>();
  const streaming = transfer(lab, far, {
    direction: "in",
    bytes: 256 * 2 ** 20,
    problems,
    moved: () => moving.resolve(),
  });
  await moving.promise;
  const first = run.last("starting")!;
  let second = "";

  await t.step("another version takes over", async () => {
    const folder = await version(lab, "second", "1i // another version");
    const { code, said } = await upgrade(lab, folder);
    assertEquals(code, 0, said);
    const starting = run.last("starting")!;
    second = starting.version;
    assertEquals(said, `e1000: version ${first.version} has become ${second}\n`);
    assertEquals(starting.spare, true, "it was started and waiting before the old one left");
    assertEquals(run.last("ended")!.reason.kind, "upgrade");
    assertEquals(
      run.events.filter(({ type }) => type === "upgrade").map((event) =>
        event.type === "upgrade" && event.state
      ),
      ["started", "done"],
    );
  });

  await t.step("one that is not TypeScript is refused, and the running one is left alone", async () => {
    const { code, said } = await upgrade(lab, await version(lab, "broken", "1i this is not a driver"));
    assertEquals(code, 1);
    assertStringIncludes(said, "Cannot load /tmp/broken/drivers/e1000/driver.ts: ");
    assertEquals(run.last("starting")!.version, second);
  });

  await t.step("one that fails in its first seconds is taken back", async () => {
    const throwing = 's/^async function bringUp.*/&\\nthrow new Error("not yet");/';
    const folder = await version(lab, "throwing", throwing);
    await sh(lab, `grep -q "not yet" ${folder}/driver.ts`);
    const { code, said } = await upgrade(lab, folder);
    assertEquals(code, 1, said);
    assertStringIncludes(said, `e1000 is back at version ${second}: Error: not yet`);
    await run.status(
      ({ state, version, restarts }) => state === "running" && version.id === second && restarts.used === 0,
      { what: "the second version to run" },
    );
  });

  await t.step("what runs is no other version than this", async () => {
    const { code, said } = await upgrade(lab, "/tmp/second/drivers/e1000");
    assertEquals(code, 1);
    assertStringIncludes(said, `runs version ${second} already: its files have not changed`);
  });

  const { received, sent } = await streaming;
  assertEquals(problems, []);
  assertEquals(received, sent);
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
