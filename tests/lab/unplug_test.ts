/** A device that is pulled out while its driver works. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { boot } from "../../src/lab/mod.ts";
import { up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

Deno.test("unplugging the card under load ends the driver with that reason, and nothing leaks", async () => {
  await using lab = await boot({}, { progress: silent });
  const run = await up(lab);
  const load = lab.spawn(["ping", "-f", "-q", "-s", "1400", "10.3.0.2"], { stdout: "null", stderr: "null" });
  await lab.qmp("device_del", { id: "nic0" });
  const { reason, next } = await run.next("ended");
  assertEquals([reason.kind, next], ["device-lost", "give-up"]);
  const { code, stderr } = await run.ended();
  assertEquals(code, 1);
  assertStringIncludes(stderr, "ring3: e1000 was given up: the device was removed");
  await lab.exec(["pkill", "ping"]);
  await load.status;
  assertEquals((await lab.exec(["ls", "/sys/bus/pci/devices/0000:01:00.0"])).code, 2, "the device is gone");
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
