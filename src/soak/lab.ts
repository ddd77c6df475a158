/** What every soak does in its lab. */
import { UserError } from "../error.ts";
import { type Lab, nicNetwork } from "../lab/mod.ts";
import { LOAD_MODULE } from "../run/lab.ts";
import type { DriverRun } from "./driver_run.ts";

/** The other side of the first card's network, which answers pings and carries the streams of checks. */
export const FAR = nicNetwork(0).host;

/** Runs a shell line in the lab. @throws {UserError} if it fails, with what it said. */
export async function sh(lab: Lab, line: string): Promise<string> {
  const { code, stdout, stderr } = await lab.exec(["dash", "-ec", line]);
  if (code === 0) return stdout;
  throw new UserError(`Cannot run "${line}" in the lab: ${(stderr || stdout).trim() || `status ${code}`}`);
}

/** Loads the module, and gives it devices, by their PCI addresses, without a supervisor. */
export async function giveToModule(lab: Lab, devices: readonly string[]): Promise<void> {
  await sh(lab, LOAD_MODULE);
  for (const device of devices) await giveDevice(lab, device, "ring3");
}

/** Gives a device to a driver of the kernel's that is loaded; without a name to the one that matches it. */
export async function giveDevice(lab: Lab, device: string, driver = ""): Promise<void> {
  const path = `/sys/bus/pci/devices/${device}`;
  await sh(
    lab,
    `echo ${driver} > ${path}/driver_override
     if [ -e ${path}/driver ]; then echo ${device} > ${path}/driver/unbind; fi
     echo ${device} > /sys/bus/pci/drivers_probe; test -d ${path}/driver`,
  );
}

/** Stops what was run. A line if that failed, and one for each counter of the module that is not zero then. */
export async function stopRun(run: DriverRun, lab: Lab, { name = "driver" } = {}): Promise<string[]> {
  return await stopRuns([run], lab, { name });
}

/** The same of all that run, which are stopped at once. */
export async function stopRuns(
  runs: readonly DriverRun[],
  lab: Lab,
  { name = "driver" } = {},
): Promise<string[]> {
  const ends = await Promise.all(runs.map((run) => run.stop()));
  const failed = ends.filter(({ code }) => code !== 0).map(({ code, stderr }) =>
    `${name}: its run ended with status ${code}: ${stderr.trim()}`
  );
  return [...failed, ...await leftInModule(lab)];
}

/** What the module still holds, once nothing runs any more: a line for each counter that is not zero. */
export async function leftInModule(lab: Lab): Promise<string[]> {
  const { code, stdout, stderr } = await lab.exec(["ring3", "status", "--json"]);
  if (code !== 0) throw new UserError(`Cannot ask the lab for its status: ${stderr.trim()}`);
  const { module } = JSON.parse(stdout) as { module: Record<string, number> | null };
  if (!module) throw new UserError("Cannot read the counters of ring3.ko: it is not loaded");
  return Object.entries(module).filter(([, count]) => count !== 0)
    .map(([name, count]) => `module: ${count} ${name.replaceAll("_", " ")} left`);
}

/** Unloads the module, whose exit warns of whatever it still holds. What kept it loaded, a line, or nothing. */
export async function unloadModule(lab: Lab): Promise<string[]> {
  const { code, stderr } = await lab.exec(["rmmod", "ring3"]);
  return code === 0 ? [] : [`module: it does not unload: ${stderr.trim()}`];
}

/** What the lab's kernel complained of: the first line of each complaint. */
export function kernelComplaints(lab: Lab): string[] {
  return lab.kernelProblems().map((problem) => `kernel: ${problem.split("\n")[0]}`);
}
