/** The end of everything below a mounted file system: who uses it gets errors, waits for nobody, and loses no more. */
import { assert, assertEquals } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";
import { sh } from "../../src/soak/lab.ts";
import { within } from "../../src/within.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** Longest time that anything may take that no longer has a driver to wait for, milliseconds. */
const SOON_MS = 20_000;

/** Writes and syncs one file after the other until that fails; then says how many it has. */
const WRITE = `
i=0
while head -c 100000 /dev/zero > /mnt/$i && sync /mnt/$i; do i=$((i + 1)); done 2> /dev/null
echo $i`;

/** Starts the driver, and gives the disk's name. */
async function start(lab: Lab): Promise<{ run: DriverRun; disk: string }> {
  const run = DriverRun.start(lab, ["nvme"]);
  await run.next("ready");
  const { disk } = await run.next("disk");
  return { run, disk };
}

/** Makes a file system and has a program write to it while its disk comes to an end; sees that nobody waits. */
async function endWhileWritten(
  lab: Lab,
  { disk, end }: { disk: string; end: () => Promise<unknown> },
): Promise<void> {
  await sh(lab, `mkfs.ext4 -q /dev/${disk}; mount /dev/${disk} /mnt`);
  const writer = lab.exec(["dash", "-c", WRITE]);
  await sh(lab, "while [ ! -e /mnt/5 ]; do sleep 0.1; done");
  await end();
  const { stdout } = await within(writer, SOON_MS, { message: "a writer waits" });
  assert(Number(stdout) > 4, stdout);
  const leave = sh(lab, "cat /mnt/0 > /dev/null || true; sync; umount /mnt");
  await within(leave, SOON_MS, { message: "a file system cannot be left" });
  assertEquals((await lab.exec(["test", "-e", `/dev/${disk}`])).code, 1, "the disk has gone");
}

Deno.test("a supervisor that is killed leaves nobody waiting for its disk, and a file system that is sound", async () => {
  await using lab = await boot({ nic: [], disk: ["nvme"] }, { progress: silent });
  {
    const { run, disk } = await start(lab);
    const pid = await run.supervisor();
    await endWhileWritten(lab, { disk, end: () => lab.exec(["kill", "-KILL", `${pid}`]) });
    await run.ended();
  }
  const { run, disk } = await start(lab);
  await using _ = run;
  await sh(lab, `mount /dev/${disk} /mnt; test $(stat -c %s /mnt/4) = 100000; umount /mnt`);
  await sh(lab, `fsck.ext4 -fn /dev/${disk}`);
  assertEquals((await run.stop()).code, 0);
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("a disk that is unplugged below a file system leaves nobody waiting, and nothing behind", async () => {
  await using lab = await boot({ nic: [], disk: ["nvme"] }, { progress: silent });
  const { run, disk } = await start(lab);
  await endWhileWritten(lab, { disk, end: () => lab.qmp("device_del", { id: "disk0" }) });
  assertEquals((await run.next("ended")).reason.kind, "device-lost");
  assertEquals((await run.ended()).code, 1);
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
