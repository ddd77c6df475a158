/** Ways in which drivers end: what is told of each, what is left of it, and what comes after it. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { EXPECTED, fault } from "../../src/soak/fault.ts";
import { sh } from "../../src/soak/lab.ts";
import { soakManifest } from "../../src/soak/manifest.ts";
import { KILL_WAYS } from "../../src/supervisor/contract.ts";
import { type Report, reportSchema } from "../../src/supervisor/schema.ts";
import { fails, up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const CARD = "0000:01:00.0";
/** The driver, from where manifests are written. */
const DRIVER = "../ring3/drivers/e1000/driver.ts";
const SHIPPED = new URL("../../manifests/e1000.json", import.meta.url);

/** Writes a manifest into the lab; its path. */
async function write(lab: Lab, manifest: Record<string, unknown>): Promise<string> {
  const file = "/tmp/manifest.json";
  await lab.exec(["tee", file], { stdin: JSON.stringify(manifest) });
  return file;
}

/** The manifest that users have, from where the lab reads it, with changes. */
async function shipped(changes: Record<string, unknown>): Promise<Record<string, unknown>> {
  return { ...JSON.parse(await Deno.readTextFile(SHIPPED)), driver: DRIVER, ...changes };
}

async function reportOf(lab: Lab, id: string): Promise<Report> {
  return reportSchema.parse(JSON.parse(await sh(lab, `ring3 report ${id} --json`)));
}

async function carrier(lab: Lab): Promise<string> {
  return (await sh(lab, "cat /sys/class/net/r3n0/carrier")).trim();
}

Deno.test("each way to end is told for what it is and leaves a report, and another takes over", async (t) => {
  await using lab = await boot({}, { progress: silent });
  const policy = JSON.parse(soakManifest(await Deno.readTextFile(SHIPPED), {
    // Filling a heap takes its time on an emulated machine, and is no stall.
    ...{ spare: true, stall: 5000 },
    from: "/ring3/manifests",
    to: "/tmp",
  }));
  await using run = await up(lab, [await write(lab, { ...policy, recordRegisters: true })]);
  for (const how of KILL_WAYS) {
    await t.step(how, async () => {
      const { reason, to } = await fault(run, how);
      assertEquals(reason.kind, EXPECTED[how], reason.text);
      await run.next("recovered", { after: to });
      const ended = run.last("ended")!;
      const report = await reportOf(lab, ended.report!);
      assertEquals([report.reason, report.pid, report.driver], [reason, ended.pid, "e1000"]);
      assert(report.registers.length > 0, "its register accesses");
      assertEquals(report.channels.map(({ kind, size }) => [kind, size]), [["transmit", 256], [
        "receive",
        256,
      ]]);
      assertEquals(report.counters.rx_buffers > 0, true);
      assert(report.events.some(({ type }) => type === "ready"), "what came before");
      if (how === "exception") assertStringIncludes(reason.stack!, "/ring3/src/host/fault.ts:");
      if (how === "stall") assert(ended.waited! >= 5000, `it had waited ${ended.waited} ms`);
    });
  }

  await t.step(
    "stopped on request its link is down, and started it is up again, with a full budget",
    async () => {
      await sh(lab, "ring3 stop e1000");
      assertEquals((await run.next("ended", { after: run.lastId - 2 })).reason.kind, "operator");
      assertEquals(await carrier(lab), "0");
      await sh(lab, "ring3 start e1000");
      await run.status(({ state, restarts, link }) => state === "running" && restarts.used === 0 && link.up, {
        what: "the driver to run again",
      });
      await sh(lab, "ping -c 3 -w 20 10.3.0.2");
    },
  );

  await t.step("where no spare can be started it runs on without, until one can", async () => {
    // What the supervisor sees of the file system is its own.
    const inside = `nsenter --mount --target ${await run.supervisor()}`;
    const launcher = "/ring3/build/ffi/ring3-launch";
    await sh(lab, `${inside} mount --bind /dev/null ${launcher}`);
    const { to } = await fault(run, "kill");
    await run.next("log", { after: to, where: ({ text }) => text.startsWith("no spare: ") });
    await run.status(({ state, spare }) => state === "running" && spare.state === "none", {
      what: "the driver to run without a spare",
    });
    await sh(lab, `${inside} umount ${launcher}`);
    await run.next("spare", { after: to, where: ({ state }) => state === "ready" });
  });

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("a driver that throws again and again is restarted as its budget allows, then given up", async () => {
  await using lab = await boot({}, { progress: silent });
  // Beside its manifest, where the supervisor may read it.
  const folder = "/tmp/drivers/thrower";
  await sh(lab, `mkdir -p ${folder}; cp tests/lab/drivers/thrower/driver.ts ${folder}`);
  await sh(lab, `sed -i 's|../../../../src/|../../../ring3/src/|' ${folder}/driver.ts`);
  const manifest = await shipped({
    name: "thrower",
    driver: "drivers/thrower/driver.ts",
    spare: false,
    restart: { budget: 2, backoff: { from: "400ms", to: "1s" } },
  });
  const { code, stderr, events } = await fails(lab, [
    await write(lab, manifest),
    "--no-dhcp",
  ]);
  const ends = events.filter((event) => event.type === "ended");
  assertEquals(ends.map(({ next }) => next), ["restart", "restart", "give-up"]);
  assertEquals(ends[0].delay, 0, "the first restart comes at once");
  assert(ends[1].delay >= 300 && ends[1].delay <= 500, `the second after ${ends[1].delay} ms`);
  for (const { reason } of ends) {
    assertEquals(reason.kind, "exception");
    assertMatch(reason.text, /^TypeError: a defect of this driver/);
    assertMatch(reason.stack!, /at fail \(\/tmp\/drivers\/thrower\/driver\.ts:16:9\)/);
  }
  assertEquals([code, stderr], [
    1,
    "ring3: thrower was given up: TypeError: a defect of this driver; given up: restarted 2 times within 30 min\n",
  ]);
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("a driver that is given up leaves its device to the kernel's own, if the manifest says so", async () => {
  await using lab = await boot({}, { progress: silent });
  await sh(lab, "modprobe e1000; basename $(readlink /sys/bus/pci/devices/0000:01:00.0/driver)");
  const manifest = await shipped({ restart: { on: "never", fallback: "kernel" } });
  const run = await up(lab, [await write(lab, manifest), "--device", CARD, "--take"]);
  await sh(lab, `kill -KILL ${run.last("starting")!.pid}`);
  const { code, stderr } = await run.ended();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "killed by SIGKILL; given up: its manifest says to restart it never");
  assertEquals(await sh(lab, `basename $(readlink /sys/bus/pci/devices/${CARD}/driver)`), "e1000\n");
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
