/** The ways in which tests run a driver in a lab. */
import type { Lab } from "../../src/lab/mod.ts";
import type { Event } from "../../src/supervisor/schema.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";

/** Starts a driver and waits until its interface has an address. */
export async function up(lab: Lab, args: readonly string[] = ["e1000"]): Promise<DriverRun> {
  const run = DriverRun.start(lab, args);
  await run.next("address");
  return run;
}

/** Starts a driver where nobody gives addresses, and waits until it carries traffic. */
export async function ready(lab: Lab, args: readonly string[]): Promise<DriverRun> {
  const run = DriverRun.start(lab, [...args, "--no-dhcp"]);
  await run.next("ready");
  await run.next("interface");
  return run;
}

/** Starts a driver that is expected to fail: its exit status, what it said on standard error, and what happened. */
export async function fails(
  lab: Lab,
  args: readonly string[],
): Promise<{ code: number; stderr: string; events: Event[] }> {
  const run = DriverRun.start(lab, args);
  return { ...await run.ended(), events: run.events };
}
