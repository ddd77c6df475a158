/** What people use on disks, used on ours: partitions, lsblk, hdparm, blkdiscard. */
import { assert, assertEquals } from "@std/assert";
import { boot, type Disk } from "../../src/lab/mod.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";
import { sh } from "../../src/soak/lab.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** What a disk's driver says of itself, as tools show it. */
const DISKS: Record<Disk, { model: string; discards: boolean }> = {
  nvme: { model: "QEMU NVMe Ctrl", discards: true },
  ide: { model: "QEMU HARDDISK", discards: false },
};

const MIB = 2 ** 20;

/** The first partition ends in the middle of the disk; the second is the rest. */
const TABLE = "label: gpt\nsize=64MiB, name=first\nname=second\n";

interface Listed {
  name: string;
  type: string;
  size: number;
  mountpoints: (string | null)[];
  children?: Listed[];
}

for (const disk of Object.keys(DISKS) as Disk[]) {
  const { model, discards } = DISKS[disk];
  Deno.test(`tools find a disk of ${disk} as they find any other, and its partitions outlive its driver`, async () => {
    await using lab = await boot({ nic: [], disk: [disk] }, { progress: silent });
    const run = DriverRun.start(lab, [disk]);
    await using _ = run;
    await run.next("ready");
    const { disk: name } = await run.next("disk");
    const list = async (): Promise<Listed> => {
      const json = await sh(
        lab,
        `lsblk --bytes --json -o NAME,TYPE,SIZE,MOUNTPOINTS /dev/${name}`,
      );
      return JSON.parse(json).blockdevices[0];
    };

    await sh(lab, `printf '${TABLE}' | sfdisk --quiet /dev/${name}`);
    await sh(lab, `mkfs.ext4 -q /dev/${name}p2; mount /dev/${name}p2 /mnt; echo kept > /mnt/file; sync`);
    const listed = await list();
    assertEquals([listed.name, listed.type], [name, "disk"]);
    assertEquals((await sh(lab, `cat /sys/block/${name}/model`)).trim(), model);
    const [first, second] = listed.children!;
    assertEquals([first.name, first.type, first.size], [`${name}p1`, "part", 64 * MIB]);
    assertEquals([second.name, second.type, second.mountpoints], [`${name}p2`, "part", ["/mnt"]]);
    assert(first.size + second.size < listed.size && listed.size < first.size + second.size + 4 * MIB);

    const { id, pid } = run.last("starting")!;
    await sh(lab, `kill -KILL ${pid}`);
    assertEquals((await run.next("ended", { after: id })).reason.kind, "signal");
    await run.next("ready", { after: id });
    await sh(lab, `echo 3 > /proc/sys/vm/drop_caches; test $(cat /mnt/file) = kept; umount /mnt`);
    assertEquals((await list()).children!.map(({ size }) => size), [first.size, second.size]);

    const timed = await sh(lab, `hdparm -t /dev/${name}`);
    assert(/Timing buffered disk reads: .* MB in .* seconds/.test(timed), timed);
    const { code, stderr } = await lab.exec(["blkdiscard", `/dev/${name}p1`]);
    assertEquals(code === 0, discards, stderr);
    await sh(lab, `printf 'label: dos\\nsize=1MiB\\n' | sfdisk --quiet --force /dev/${name}`);
    assertEquals((await list()).children!.map(({ name, size }) => [name, size]), [[`${name}p1`, MIB]]);

    assertEquals(await run.stop(), { code: 0, stderr: "" });
    await assertNothingLeft(lab);
    assertHealthy(lab);
  });
}
