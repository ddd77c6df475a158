/** A disk in the lab, in the hands of the kernel's driver or of ring3's. */
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { DriverRun } from "../src/soak/driver_run.ts";
import { sh } from "../src/soak/lab.ts";
import { type DriverName, endRun, type Taken } from "./compare.ts";

/** Disks that can be measured: ring3's driver by its name, the kernel's own by its modules. */
export const DISKS = {
  ide: { modules: ["ata_piix", "sd_mod"], vendor: "0x8086", device: "0x7111" },
  nvme: { modules: ["nvme"], vendor: "0x1b36", device: "0x0010" },
} as const;

/** Name of a disk that can be measured. */
export type DiskName = keyof typeof DISKS;

/** A disk with a driver. */
export interface Drive {
  /** In `/dev`. */
  name: string;
  /** ring3's driver, if that is it. */
  run?: DriverRun;
}

/**
 * Finds the disk and writes its first bytes: one that was never written has nothing that would have to be read.
 * Its PCI address.
 */
export async function prepareDrive(lab: Lab, disk: DiskName, range: number): Promise<string> {
  const { modules, vendor, device } = DISKS[disk];
  await sh(lab, modules.map((name) => `modprobe ${name}`).join("; "));
  const found = await sh(
    lab,
    `cd /sys/bus/pci/devices; grep -l ${device} */device | while read f; do grep -q ${vendor} "\${f%/*}/vendor" && echo "\${f%/*}"; done`,
  );
  const address = found.trim();
  await sh(lab, `head -c ${range} /dev/urandom > /dev/${await nameOf(lab, address)}; sync`);
  return address;
}

/**
 * Has a driver serve a disk while `use` runs.
 * @throws {UserError} if it does not come up.
 */
export async function takeDrive<T>(
  lab: Lab,
  driver: DriverName,
  { disk, address, use }: { disk: DiskName; address: string; use: (drive: Drive) => Promise<T> },
): Promise<Taken<T>> {
  if (driver === "kernel") {
    return { result: await use({ name: await nameOf(lab, address) }), problems: [] };
  }
  const run = DriverRun.start(lab, [disk, "--device", address, "--take"]);
  await using _ = run;
  const { disk: name } = await run.next("disk");
  // A process that starts takes time from the one that serves.
  await run.next("spare", { where: ({ state }) => state === "ready" });
  return { result: await use({ name, run }), problems: await endRun(lab, run) };
}

/** Name of the disk behind a PCI device, once the kernel's driver has made it. */
async function nameOf(lab: Lab, address: string): Promise<string> {
  const { code, stdout } = await lab.exec([
    "timeout",
    "60",
    "dash",
    "-c",
    `while :; do for d in /sys/block/*; do case $(readlink -f $d) in */${address}/*) basename $d; exit;; esac; done; sleep 0.1; done`,
  ]);
  if (code !== 0) throw new UserError(`The kernel's driver has made no disk of ${address} after a minute`);
  return stdout.trim();
}
