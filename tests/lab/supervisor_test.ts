/** The supervisor's process: with what permissions it runs, how it ends, and what comes after it was killed. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import type { DriverRun } from "../../src/soak/driver_run.ts";
import { sh } from "../../src/soak/lab.ts";
import { fails, up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const CARD = "0000:01:00.0";

/** How long an orderly end may take, and how much more the way there on a loaded machine; milliseconds. */
const END_MS = 2500;
const SLACK_MS = 2500;

/** Runs a shell line in the lab and gives what it printed. */
async function said(lab: Lab, line: string): Promise<string> {
  return (await sh(lab, line)).trim();
}

/** Driver that the card is bound to, or nothing. */
async function driverOf(lab: Lab): Promise<string> {
  return await said(lab, `basename "$(readlink /sys/bus/pci/devices/${CARD}/driver)"`);
}

/** Waits until a shell line succeeds. */
async function eventually(lab: Lab, line: string, what: string): Promise<void> {
  for (const end = performance.now() + 10_000; performance.now() < end;) {
    if ((await lab.exec(["dash", "-c", line])).code === 0) return;
  }
  throw new Error(`Waited in vain for ${what}`);
}

/** Ends a supervisor without a chance to do anything, and waits until the kernel has ended what was its own. */
async function killSupervisor(lab: Lab, run: DriverRun): Promise<void> {
  const pid = await run.supervisor();
  await lab.exec(["kill", "-KILL", `${pid}`]);
  await run.ended();
  await eventually(lab, "! pgrep -f '[s]rc/host/main.ts|[u]dhcpc'", "drivers and DHCP clients to end");
}

Deno.test("the supervisor has few permissions, reads manifests on SIGHUP, and ends in order on SIGTERM", async () => {
  await using lab = await boot({}, { progress: silent });
  const manifest = JSON.parse(
    await Deno.readTextFile(new URL("../../manifests/e1000.json", import.meta.url)),
  );
  manifest.driver = "../../ring3/drivers/e1000/driver.ts";
  const file = "/tmp/manifests/e1000.json";
  const write = (value: unknown) => lab.exec(["tee", file], { stdin: JSON.stringify(value) });
  await said(lab, "mkdir /tmp/manifests");
  await write(manifest);
  await using run = await up(lab, [file]);
  const pid = await run.supervisor();

  const flags = (await said(lab, `tr '\\0' '\\n' < /proc/${pid}/cmdline`)).split("\n");
  assert(flags.includes("--no-prompt"), flags.join(" "));
  assertEquals(flags.filter((flag) => /^(-A|--allow-all|--allow-[a-z]+)$/.test(flag)), []);
  assertEquals(
    flags.find((flag) => flag.startsWith("--allow-run=")),
    "--allow-run=/ring3/build/ffi/ring3-launch,ip,setpriv",
  );
  // What it sees of the kernel's file systems is its own: nobody else has these mounts.
  assertEquals(await said(lab, "grep -c ring3-machine /proc/mounts || true"), "0");

  const second = await fails(lab, ["e1000", "--device", CARD]);
  assertEquals(second.code, 1);
  assertStringIncludes(second.stderr, `Cannot claim ${CARD}: in use`);
  assertStringIncludes(second.stderr, `drivers are supervised by process ${pid} (http://127.0.0.1:7333/)`);

  const { id } = await run.next("address");
  await write({ ...manifest, restart: { budget: 7 } });
  await lab.exec(["kill", "-HUP", `${pid}`]);
  assertEquals((await run.next("manifest", { after: id })).text, "taken");
  await run.status(({ restarts }) => restarts.budget === 7, { what: "the new budget" });
  await write({ ...manifest, grant: [] });
  await lab.exec(["kill", "-HUP", `${pid}`]);
  const refused = await run.next("manifest", { after: run.lastId });
  assertStringIncludes(refused.text, "not taken: ");
  assertEquals(await run.supervisor(), pid);

  const begun = performance.now();
  await lab.exec(["kill", "-TERM", `${pid}`]);
  assertEquals(await run.ended(), { code: 0, stderr: "" });
  const took = performance.now() - begun;
  assert(took < END_MS + SLACK_MS, `it took ${took} ms to end`);
  assertEquals(
    await said(lab, "ls -A /run/ring3/supervisors /run/ring3/devices"),
    "/run/ring3/devices:\n\n/run/ring3/supervisors:",
  );
  assertEquals((await said(lab, "ls /sys/bus/pci/drivers/ring3")).includes(CARD), false);

  await write({ ...manifest, restart: { budget: 0 } });
  await using another = await up(lab, [file]);
  await write({ ...manifest, restart: { budget: 0 }, grant: { ...manifest.grant, dma: "4KiB" } });
  await lab.exec(["kill", "-HUP", `${await another.supervisor()}`]);
  const { code, stderr } = await another.ended();
  assertEquals(code, 1);
  assertMatch(stderr, /^ring3: e1000 was given up: .*; given up: its manifest allows no restart\n$/);
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("after the supervisor was killed nothing runs on, and the next one, or release, cleans up", async () => {
  await using lab = await boot({}, { progress: silent });
  await said(lab, "modprobe e1000");
  assertEquals(await driverOf(lab), "e1000");
  const taking = ["e1000", "--device", CARD, "--take"];
  await killSupervisor(lab, await up(lab, taking));

  assertEquals(await driverOf(lab), "ring3", "the device waits for whoever comes");
  const command = await said(lab, `od -An -tu2 -j4 -N2 /sys/bus/pci/devices/${CARD}/config`);
  assertEquals(Number(command) & 4, 0, "it cannot reach memory");
  const { drivers, module } = JSON.parse(await said(lab, "ring3 status --json"));
  assertEquals(drivers, []);
  assertEquals(Object.values(module).filter((count) => count !== 0), []);
  assertEquals((await said(lab, "ls /run/ring3/supervisors")).split("\n").length, 1, "what it left is there");

  {
    // Without --take: it is nobody's now.
    await using run = await up(lab, ["e1000"]);
    assertEquals(await said(lab, "ls /run/ring3/supervisors"), `${await run.supervisor()}`);
    const held = await lab.exec(["ring3", "release", CARD]);
    assertEquals(held.code, 1);
    assertStringIncludes(held.stderr, `ring3: ${CARD} is in use: a supervisor holds it`);
    assertEquals(await run.stop(), { code: 0, stderr: "" });
  }
  assertEquals(await driverOf(lab), "e1000", "given back where the killed one had it from");

  await killSupervisor(lab, await up(lab, taking));
  assertEquals(await said(lab, `ring3 release ${CARD}`), `${CARD} is back with e1000`);
  assertEquals(await driverOf(lab), "e1000");
  const again = await lab.exec(["ring3", "release", CARD]);
  assertEquals([again.code, again.stderr], [
    1,
    `ring3: ${CARD} is not bound to ring3; its driver is e1000\n`,
  ]);
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
