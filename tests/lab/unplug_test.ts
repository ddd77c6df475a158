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

Deno.test("a card that comes back is driven again when somebody starts its driver", async () => {
  await using lab = await boot({}, { progress: silent });
  // A supervisor of all drivers goes on when one of them ends.
  const run = await up(lab, ["--all"]);
  const unplugged = run.lastId;
  await lab.qmp("device_del", { id: "nic0" });
  assertEquals((await run.next("ended", { after: unplugged })).reason.kind, "device-lost");
  assertEquals((await lab.exec(["ring3", "start", "e1000"])).code, 1, "there is no card yet");

  await lab.qmp("device_add", { driver: "e1000-82545em", netdev: "net0", bus: "nicport0", id: "nic0" });
  const back = run.lastId;
  for (let tries = 0; (await lab.exec(["ring3", "start", "e1000"])).code !== 0; tries++) {
    if (tries === 10) throw new Error("the driver does not start");
  }
  await run.next("address", { after: back });
  assertEquals((await lab.exec(["ping", "-c", "3", "-w", "10", "10.3.0.2"])).code, 0);
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
