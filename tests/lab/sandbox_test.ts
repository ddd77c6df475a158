/** A driver's sandbox as its manifest has it: an interpreting V8, and a machine that lacks a part of it. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { FAR, sh } from "../../src/soak/lab.ts";
import { fails, up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const SHIPPED = new URL("../../manifests/e1000.json", import.meta.url);

/** Puts the e1000's manifest with some changes into the lab. */
async function variant(lab: Lab, changes: Record<string, unknown>): Promise<string> {
  const manifest = JSON.parse(await Deno.readTextFile(SHIPPED));
  const driver = "../../ring3/drivers/e1000/driver.ts";
  const file = "/tmp/manifests/e1000.json";
  await sh(lab, "mkdir -p /tmp/manifests");
  await lab.exec(["tee", file], { stdin: JSON.stringify({ ...manifest, driver, ...changes }) });
  return file;
}

Deno.test("a sandbox is what the manifest says, and what the machine has", async (t) => {
  await using lab = await boot({}, { progress: silent });

  await t.step("without compiled code and without memory that can become code, frames pass", async () => {
    await using run = await up(lab, [await variant(lab, { jit: false, limits: { stall: "10s" } })]);
    await sh(lab, `ping -q -c 20 -i 0.05 -w 20 ${FAR}`);
    const { walls } = await run.status(({ state }) => state === "running", { what: "status" });
    assertEquals(walls, { namespaces: "stands", landlock: "stands", seccomp: "stands", cgroup: "stands" });
    assertEquals(run.events.filter(({ type }) => type === "ended"), []);
    assertEquals(await run.stop(), { code: 0, stderr: "" });
  });

  await sh(lab, "umount /sys/fs/cgroup");
  await t.step("on a machine without cgroups it does not start, and one line says so", async () => {
    const { code, stderr } = await fails(lab, [await variant(lab, {})]);
    assertEquals(code, 1);
    assertStringIncludes(
      stderr,
      'this system has no cgroup for drivers; "walls": { "cgroup": "preferred" } in the manifest goes on without',
    );
  });

  await t.step("unless its manifest says that it may, and its status tells", async () => {
    await using run = await up(lab, [await variant(lab, { walls: { cgroup: "preferred" } })]);
    await sh(lab, `ping -q -c 5 -i 0.05 -w 20 ${FAR}`);
    const { walls } = await run.status(({ state }) => state === "running", { what: "status" });
    assertEquals(walls, { namespaces: "stands", landlock: "stands", seccomp: "stands", cgroup: "missing" });
    assertEquals(await run.stop(), { code: 0, stderr: "" });
  });

  await assertNothingLeft(lab);
  assertHealthy(lab);
});
