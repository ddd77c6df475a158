/** Versions of a driver that take over from one another, under a TCP stream. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import type { DriverRun } from "../../src/soak/driver_run.ts";
import { sh } from "../../src/soak/lab.ts";
import { writeManifest } from "../../src/soak/manifest.ts";
import { transfer } from "../../src/soak/tcp.ts";
import { DEVICE, FarEnd, keepQuiet, layWire, WIRE } from "../../src/soak/wire.ts";
import type { Driver } from "../../src/supervisor/schema.ts";
import { within } from "../../src/within.ts";
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

/** Longest time for an upgrade to get under way, and for one to end; milliseconds. */
const UPGRADE_MS = 60_000;

/** A hand-over is short: how often another is tried, if what was asked for came after it. */
const ATTEMPTS = 10;

/**
 * Asks for something while the driver hands over to the version in `folder`: it is halted, so that it does not
 * leave by itself. What `ring3 upgrade` said of it, and the id of the event by which the old process ended.
 */
async function duringHandOver(
  lab: Lab,
  run: DriverRun,
  { folder, action }: { folder: string; action: "stop" | "restart" },
): Promise<{ code: number; said: string; ended: number }> {
  const client = await run.client();
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { pid, version } = await client.get<Driver>("drivers/e1000");
    await sh(lab, `kill -STOP ${pid}`);
    const upgrading = upgrade(lab, folder);
    const deadline = performance.now() + UPGRADE_MS;
    while ((await client.get<Driver>("drivers/e1000")).version.id === version.id) {
      if (performance.now() > deadline) throw new Error("The upgrade did not get under way");
    }
    await client.act("e1000", action);
    const { id, reason } = await run.next("ended", { where: (event) => event.pid === pid });
    const told = await within(upgrading, UPGRADE_MS, { message: "The upgrade did not end" });
    if (reason.kind === "operator") return { ...told, ended: id };
    if (action === "stop") await client.act("e1000", "start");
  }
  throw new Error(`What was asked for came too late ${ATTEMPTS} times`);
}

Deno.test("what is asked for while a driver hands over to another version is done", async (t) => {
  await using lab = await boot({}, { progress: silent });
  // A driver that is halted is to be left alone.
  const manifest = await writeManifest(lab, "e1000", { spare: false, stall: 0 });
  await using run = await ready(lab, [manifest]);
  const first = run.last("starting")!.version;
  const folder = await version(lab, "second", "1i // another version");

  await t.step("a stop ends both versions, and the old one stays", async () => {
    const { code, said, ended } = await duringHandOver(lab, run, { folder, action: "stop" });
    assertEquals(code, 1, said);
    assertStringIncludes(said, `e1000 is back at version ${first}: stopped on request`);
    // One that was killed may take a moment.
    await sh(lab, "for i in $(seq 50); do pgrep -f '[s]rc/host/main.ts' || exit 0; sleep 0.1; done; exit 1");
    const { state, version } = await (await run.client()).act<Driver>("e1000", "start");
    assertEquals([state, version.id], ["running", first]);
    const starting = await run.next("starting", { after: ended });
    assertEquals(starting.version, first, "no other was started in between");
  });

  await t.step("a restart is to the new version", async () => {
    const { code, said, ended } = await duringHandOver(lab, run, { folder, action: "restart" });
    assertEquals(code, 0, said);
    const { version, spare } = await run.next("starting", { after: ended });
    assertEquals(said, `e1000: version ${first} has become ${version}\n`);
    assertEquals(spare, true, "it is the process that had been waiting");
  });

  await t.step("a stop stands, whatever comes before its end", async () => {
    const client = await run.client();
    const { pid } = await client.get<Driver>("drivers/e1000");
    await sh(lab, `kill -STOP ${pid}`);
    const both = Promise.allSettled((["stop", "restart"] as const).map((one) => client.act("e1000", one)));
    const [stopped, restarted] = await within(both, UPGRADE_MS, { message: "The stop did not end" });
    assertEquals([stopped.status, restarted.status], ["fulfilled", "rejected"]);
    assertEquals((await client.get<Driver>("drivers/e1000")).state, "stopped");
  });

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

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
