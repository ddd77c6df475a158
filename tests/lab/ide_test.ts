/** The emulated IDE controller: what its driver writes is read, on both kernels, and whatever becomes of the driver. */
import { assert, assertEquals } from "@std/assert";
import { boot, DEFAULT_HARDWARE, type Hardware } from "../../src/lab/mod.ts";
import { checkDiskInLab } from "../../src/run/lab.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";
import { writeManifest } from "../../src/soak/manifest.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const MACHINES: Record<string, Partial<Hardware>> = {
  "Linux 6.1, IOMMU": {},
  // More memory than 32 bits of address reach: what lies beyond is bounced.
  "Linux 6.12, no IOMMU, one processor": { kernel: "6.12", iommu: false, smp: 1, memory: 5120 },
};

for (const [name, hardware] of Object.entries(MACHINES)) {
  Deno.test(`a disk gives back what it was given, and holds a file system: ${name}`, async () => {
    const { disk } = await checkDiskInLab(["ide"], {
      hardware: { ...DEFAULT_HARDWARE, nic: [], disk: ["ide"], ...hardware },
      yes: true,
      progress: silent,
      signal: new AbortController().signal,
    });
    assertEquals(disk.problems, []);
    assert(disk.ok);
  });
}

const KILLS = 10;

/** Flags of a task, include/linux/sched.h: PF_MEMALLOC_NOIO, PF_LOCAL_THROTTLE. */
const NOIO = 0x0008_0000 | 0x0010_0000;

/** Writes a disk and compares it until told to stop; the status says whether all of it was right. */
const LOAD = `
head -c 64M /dev/urandom > /tmp/data
while [ ! -e /tmp/stop ]; do
  dd if=/tmp/data of=/dev/$1 bs=1M oflag=direct conv=fsync status=none || exit 1
  dd if=/dev/$1 bs=1M count=64 iflag=direct status=none | cmp - /tmp/data || exit 2
done`;

Deno.test("a disk that is written and read loses nothing when its driver is killed", async () => {
  await using lab = await boot({ nic: [], disk: ["ide"] }, { progress: silent });
  const run = DriverRun.start(lab, [await writeManifest(lab, "ide", { spare: true, stall: 1000 })]);
  await using _ = run;
  await run.next("ready");
  const { disk } = await run.next("disk");
  const { stdout } = await lab.exec(["cat", `/proc/${run.last("starting")!.pid}/stat`]);
  assertEquals(Number(stdout.split(" ")[8]) & NOIO, NOIO, "it waits for no disk to get memory");
  const load = lab.exec(["dash", "-c", LOAD, "load", disk]);
  let after = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { id, pid } = await run.next("starting", { after });
    await run.next("ready", { after: id });
    await new Promise((resolve) => setTimeout(resolve, 100 + 350 * kill));
    await lab.exec(["kill", "-KILL", `${pid}`]);
    const { reason, next } = await run.next("ended", { after: id });
    assertEquals([reason.kind, next], ["signal", "restart"], `after ${kill + 1} kills`);
    after = id;
  }
  await lab.exec(["touch", "/tmp/stop"]);
  assertEquals((await load).code, 0, "nothing failed, and what was read is what was written");
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
