/** Drivers that hang, and drivers that have nothing to do: the one is seen in time, the other costs nothing. */
import type { Lab } from "../lab/mod.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { grouped } from "../size.ts";
import type { Driver } from "../supervisor/schema.ts";
import type { Finding } from "../verdict.ts";
import { DriverRun } from "./driver_run.ts";
import { pause } from "../pause.ts";
import { type Fault, fault, faultProblems, followFault } from "./fault.ts";
import { kernelComplaints, sh, stopRun, unloadModule } from "./lab.ts";
import { writeManifest } from "./manifest.ts";
import { failedIn, formatLabResult, type LabResult, labResult, lastFindings } from "./result.ts";
import { parseSwitches, type Switches, switchesBetween } from "./process.ts";
import { type Distribution, distribution } from "../statistics.ts";
import { DEVICE, keepQuiet, layWire, OURS, PEER, WIRE } from "./wire.ts";

/** `limits.stall` of the manifest, milliseconds: that of users. */
const LIMIT_MS = 1000;

/** How much later than the limit a stall may be seen, milliseconds. */
const LATE_MS = 100;

/** Most time from the last recovery to the next stall, milliseconds. */
const PHASE_MS = 1500;

/** How long the driver is left alone before it counts as idle, milliseconds: all timers of activity have passed. */
const SETTLE_MS = 10_000;

/** When a driver hung: with frames on their way, or with nothing to do until one came. */
export type Phase = "traffic" | "idle";

/** One stall. */
export interface Stall {
  phase: Phase;
  /** How long work had waited when the kernel ended the driver, milliseconds. */
  waited: number;
}

/** Counts that rise with every wake-up of a driver: the kernel's of its grant. */
export type WakeCounts = Pick<Driver["totals"], "interrupts" | "waits" | "wakeups">;

/** What an idle driver did. */
export interface Idle {
  /** How long it was watched, seconds. */
  seconds: number;
  /** How much the kernel's counts rose. */
  counts: WakeCounts;
  /** Voluntary context switches by thread that had any, of the driver's process and of its spare's. */
  driver: Switches;
  spare: Switches;
}

/** What the soak saw. */
export interface StallSoak extends LabResult {
  soak: "stall";
  /** Milliseconds of the manifest. */
  limit: number;
  stalls: Stall[];
  idle: Idle;
}

/** How to soak. */
export interface StallSoakOptions extends LabOptions {
  stalls: number;
  /** How long an idle driver is watched, seconds. */
  idle: number;
}

/**
 * Boots a lab of two cards on one wire, has the driver of one hang in different phases, then leaves it alone.
 * @throws {UserError} if the lab or the driver does not come up, or a stall is not seen at all.
 */
export async function soakStall(options: StallSoakOptions): Promise<StallSoak> {
  const { progress } = options;
  const start = performance.now();
  await using lab = await startLab({ ...options, hardware: { ...options.hardware, ...WIRE } });
  await keepQuiet(lab);
  const manifest = await writeManifest(lab, "e1000", { spare: true, stall: LIMIT_MS });
  const run = DriverRun.start(lab, [manifest, "--device", DEVICE, "--no-dhcp"]);
  await using _ = run;
  await run.next("ready");
  await run.next("interface");
  await layWire(lab);

  const problems: string[] = [];
  const faults: Fault[] = [];
  const stalls: Stall[] = [];
  for (let n = 0; n < options.stalls; n++) {
    const phase: Phase = n % 2 === 0 ? "traffic" : "idle";
    await run.next("spare", { after: faults.at(-1)?.from, where: ({ state }) => state === "ready" });
    // Evenly over the time after a recovery.
    const wait = PHASE_MS * (n + 1) / options.stalls;
    const one = phase === "traffic"
      ? await stallUnderTraffic(run, lab, wait)
      : await stallWhileIdle(run, lab);
    faults.push(one);
    if (one.waited === undefined) {
      problems.push(`stall ${n + 1} (${phase}): the kernel did not say how long it took`);
    } else {
      stalls.push({ phase, waited: one.waited });
      if (one.waited < LIMIT_MS || one.waited > LIMIT_MS + LATE_MS) {
        problems.push(`stall ${n + 1} (${phase}): seen after ${one.waited.toFixed(0)} ms of ${LIMIT_MS}`);
      }
    }
    progress(`stall ${n + 1} of ${options.stalls} (${phase}): seen after ${one.waited?.toFixed(0)} ms`);
  }
  problems.push(...faultProblems(run, faults));

  await run.next("spare", { after: faults.at(-1)?.from, where: ({ state }) => state === "ready" });
  const idle = await watchIdle(run, lab, options);
  problems.push(...idleProblems(idle));
  problems.push(...await stopRun(run, lab), ...await unloadModule(lab), ...kernelComplaints(lab));
  return {
    soak: "stall",
    ...labResult(lab, { problems, start }),
    limit: LIMIT_MS,
    stalls,
    idle,
  };
}

/** Has the driver loop for ever while frames go both ways. */
async function stallUnderTraffic(run: DriverRun, lab: Lab, wait: number): Promise<Fault> {
  const load = lab.spawn(["ping", "-q", "-i", "0.01", PEER], { stdout: "null", stderr: "null" });
  await pause(wait);
  const one = await fault(run, "stall");
  await sh(lab, "pkill -x ping");
  await load.status;
  return one;
}

/**
 * Stops the driver's process while it sleeps, which is no stall: there is nothing that it should do. Then a
 * frame comes for it.
 */
async function stallWhileIdle(run: DriverRun, lab: Lab): Promise<Fault> {
  await pause(SETTLE_MS);
  const from = run.lastId;
  await sh(lab, `kill -STOP ${run.last("starting")!.pid}`);
  await pause(2 * LIMIT_MS);
  const early = run.events.find(({ id, type }) => id > from && type === "ended");
  // It is left to faultProblems() to find the end that nobody asked for.
  if (!early) await sh(lab, `ip netns exec peer ping -q -c 1 -W 1 ${OURS} > /dev/null || true`);
  return await followFault(run, "stall", from);
}

/** Leaves the driver alone, and sees what it did meanwhile. */
async function watchIdle(run: DriverRun, lab: Lab, options: StallSoakOptions): Promise<Idle> {
  const { idle, progress, signal } = options;
  await sh(lab, "ip netns exec peer ip link set eth1 down");
  progress(`leaving the driver alone for ${idle} s, its link up`);
  await pause(SETTLE_MS);
  const before = await look(run, lab);
  const start = performance.now();
  const end = start + idle * 1000;
  while (performance.now() < end && !signal.aborted) {
    await pause(Math.min(end - performance.now(), 300_000), signal);
    progress(`idle for ${grouped((performance.now() - start) / 1000)} of ${grouped(idle)} s`);
  }
  const after = await look(run, lab);
  return {
    seconds: (performance.now() - start) / 1000,
    counts: {
      interrupts: after.counts.interrupts - before.counts.interrupts,
      waits: after.counts.waits - before.counts.waits,
      wakeups: after.counts.wakeups - before.counts.wakeups,
    },
    driver: switchesBetween(before.driver, after.driver),
    spare: switchesBetween(before.spare, after.spare),
  };
}

/** The counts of this moment, and the switches of the threads of both processes. */
async function look(
  run: DriverRun,
  lab: Lab,
): Promise<{ counts: WakeCounts; driver: Switches; spare: Switches }> {
  const seen = run.driver;
  const { totals, pid, spare } = await run.status(
    (driver) => driver !== seen && driver.pid !== null && driver.spare.pid !== null && driver.link.up,
    { what: "status of a driver with a spare and a link" },
  );
  const switches = async (pid: number) => parseSwitches(await sh(lab, `cat /proc/${pid}/task/*/status`));
  return { counts: totals, driver: await switches(pid!), spare: await switches(spare.pid!) };
}

/** What an idle driver did that it should not have. */
export function idleProblems({ counts, driver, spare }: Idle): string[] {
  const rose = Object.entries(counts).filter(([, count]) => count !== 0)
    .map(([name, count]) => `idle: ${count} ${name} where there should be none`);
  const woke = Object.entries({ driver, spare }).flatMap(([what, switches]) =>
    Object.entries(switches).map(([tid, count]) =>
      `idle: thread ${tid} of the ${what} was woken ${count} times`
    )
  );
  return [...rose, ...woke];
}

/** The soak as a table. */
export function formatStallSoak(result: StallSoak): string {
  const { problems, stalls, limit, idle } = result;
  const failed = failedIn(problems);
  const row = (name: string, phase: Phase): Finding => {
    const waited = stalls.filter((stall) => stall.phase === phase).map((stall) => stall.waited);
    const times = distribution(waited);
    return {
      name,
      found: times
        ? `${waited.length}, seen after ${rangeText(times)}; limit ${limit} ms + ${LATE_MS}`
        : "none",
      ok: waited.length > 0 && waited.every((ms) => ms >= limit && ms <= limit + LATE_MS),
    };
  };
  const { interrupts, waits, wakeups } = idle.counts;
  const sum = (switches: Switches) => Object.values(switches).reduce((all, count) => all + count, 0);
  const findings: Finding[] = [
    row("stalls under traffic", "traffic"),
    row("stalls while idle, then a frame", "idle"),
    { name: "reasons", found: 'every one reported as "stall", and no other end', ok: !failed("faults:") },
    {
      name: "idle",
      found:
        `for ${grouped(idle.seconds)} s: ${interrupts} interrupts, ${waits} waits, ${wakeups} wake-ups; ` +
        `context switches: driver ${sum(idle.driver)}, spare ${sum(idle.spare)}`,
      ok: !failed("idle:"),
    },
    ...lastFindings(problems),
  ];
  return formatLabResult(result, { title: "Soak of stalls and idleness", findings });
}

function rangeText({ min, p50, max }: Distribution): string {
  return `${min.toFixed(0)} to ${max.toFixed(0)} ms, p50 ${p50.toFixed(0)}`;
}
