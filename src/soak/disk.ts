/** What soaks of disks have in common. */
import type { Disk, Hardware } from "../lab/mod.ts";
import type { DriverRun } from "./driver_run.ts";

/** What a lab of a disk is booted with. */
export function diskHardware(disk: Disk): Pick<Hardware, "nic" | "disk"> {
  return { nic: [], disk: [disk] };
}

/** Name of the disk of a run that has been started, once it and a spare are there. */
export async function diskOfRun(run: DriverRun): Promise<string> {
  const { disk } = await run.next("disk");
  await run.next("spare", { where: ({ state }) => state === "ready" });
  return disk;
}

const COMPLAINT = /I\/O error|aborting journal|(EXT4-fs|JBD2).*(error(?!s=)|abort)/i;

/** What the lab's kernel said of failed requests and of damaged file systems on a disk: a line each. */
export function diskComplaints(console: string, disk: string): string[] {
  const lines = console.split("\n").filter((line) => line.includes(disk) && COMPLAINT.test(line));
  return lines.map((line) => `disk: ${line.trim()}`);
}
