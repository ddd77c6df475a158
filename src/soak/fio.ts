/** Random reads and writes by fio, all of it verified, on a disk whose driver is ended every two seconds. */
import type { Disk, Lab } from "../lab/mod.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { pause } from "../pause.ts";
import { grouped } from "../size.ts";
import type { Finding } from "../verdict.ts";
import { within } from "../within.ts";
import { type BlockTrace, endBlockTrace, failureProblems, startBlockTrace } from "./block_trace.ts";
import { diskComplaints, diskHardware, diskOfRun } from "./disk.ts";
import { DriverRun } from "./driver_run.ts";
import {
  type Fault,
  faultFindings,
  faultLoop,
  faultProblems,
  type FaultSummary,
  summarise,
  untriedWays,
  WAYS,
} from "./fault.ts";
import { fioCommand, type FioRun, parseFio, REQUEST_BYTES } from "./fio_job.ts";
import { kernelComplaints, sh, stopRun, unloadModule } from "./lab.ts";
import { type SoakPolicy, writeManifest } from "./manifest.ts";
import { failedIn, formatLabResult, type LabResult, labResult, lastFindings } from "./result.ts";

/** Time that each driver has, from being ready to its end, milliseconds; there may be a spare by then, or not. */
const EVERY_MS = 2000;

/** `limits.stall` of the manifest, milliseconds: that of users. */
const STALL_MS = 1000;

/** Requests under way at a time; the time is for each of them in equal parts. */
const DEPTHS = [1, 8, 32];

/** Where requests are to fail or to wait, there are to be many. */
const DEEP = 32;

/** The part of the time that each of the other two policies has beside, and the least, milliseconds. */
const ASIDE = { share: 1 / 20, least: 5000 };

/** Requests of the first run of each depth, which nothing disturbs: it tells how many take how long. */
const UNDISTURBED = 400;

/**
 * A disturbed run is as long as would take this part of the time undisturbed, and at most so many milliseconds;
 * it is repeated until the time is over.
 */
const RUN = { share: 0.8, most: 20_000 };

/** Requests of one run, at least and at most: on a whole disk no place is written twice in one. */
const REQUESTS = { least: 200, most: 32_768 };

/** Times an undisturbed run, and milliseconds besides, that a disturbed one may take. */
const BOUND = { times: 30, ms: 60_000 };

/**
 * What becomes of requests under way at a death: they go to the next driver; they fail; they go to a next driver
 * that comes late, but within the time that they may wait.
 */
export type FioPolicy = "reissue" | "fail" | "hold";

/** How the manifests differ. The first driver to take over does so at once whatever the back-off. */
const POLICIES: Record<FioPolicy, Pick<SoakPolicy, "port" | "backoff">> = {
  reissue: { port: { onDeath: "reissue" } },
  fail: { port: { onDeath: "fail" } },
  hold: { port: { onDeath: "reissue", hold: "20s" }, backoff: 2000 },
};

/** Ends at each depth, at least: the time goes on until then. */
const ENDS: Record<FioPolicy, number> = { reissue: 1, fail: 1, hold: 2 };

/** Where requests are to fail it goes on until some have, but not longer than for so many ends. */
const FAILING_ENDS = 10;

/** A driver that its back-off has kept waiting so long was late, milliseconds. */
const LATE_MS = 1000;

/** What was done and seen under one policy at one depth. */
export interface FioPart {
  policy: FioPolicy;
  depth: number;
  /** Runs of fio with the driver ended. */
  runs: number;
  /** Requests of these, those that verified included, and their bytes. */
  requests: number;
  bytes: number;
  /** Writes that were verified, unless they failed. */
  writes: number;
  seconds: number;
  /** Requests a second, in these and in one that nothing disturbed. */
  iops: { undisturbed: number; disturbed: number };
  /** Blocks that were not as they had been written, and requests that failed. */
  errors: { verify: number; io: number };
  faults: number;
}

/** What the soak saw. */
export interface FioSoak extends LabResult {
  soak: "fio";
  disk: Disk;
  /** Milliseconds under `reissue`. */
  time: number;
  parts: FioPart[];
  /** Requests that failed at each death under `fail`. */
  failedAtDeaths: number[];
  /** Under `reissue` and `fail`: those under `hold` are late on purpose. */
  faults: FaultSummary[];
}

/** How to soak. */
export interface FioSoakOptions extends LabOptions {
  disk: Disk;
  /** Milliseconds under `reissue`, over all depths. */
  time: number;
}

/**
 * Boots a lab with one disk and has fio use it while its driver is ended again and again.
 * @throws {UserError} if the lab or the driver does not come up, fio cannot be run, or it or a recovery does not
 * end in time.
 */
export async function soakFio(options: FioSoakOptions): Promise<FioSoak> {
  const { disk, time } = options;
  const start = performance.now();
  await using lab = await startLab({ ...options, hardware: { ...options.hardware, ...diskHardware(disk) } });
  const aside = Math.max(ASIDE.least, time * ASIDE.share);
  const problems: string[] = [];
  let seeds = 0;
  const common = { ...options, problems, pace: new Map<number, number>(), seed: () => ++seeds };
  const reissue = await soakPolicy(lab, {
    ...common,
    policy: "reissue",
    depths: DEPTHS,
    ms: time / DEPTHS.length,
  });
  // Under the next policy it says so of each request that fails.
  problems.push(...diskComplaints(lab.console(), reissue.name));
  const rest = { ...common, depths: [DEEP], ms: aside };
  const fail = await soakPolicy(lab, { ...rest, policy: "fail" });
  const hold = await soakPolicy(lab, { ...rest, policy: "hold" });

  problems.push(
    ...untriedWays([...reissue.faults, ...fail.faults], "the time was over too soon; take more"),
  );
  problems.push(...await unloadModule(lab), ...kernelComplaints(lab));
  return {
    soak: "fio",
    ...labResult(lab, { problems, start }),
    disk,
    time,
    parts: [reissue, fail, hold].flatMap(({ parts }) => parts),
    failedAtDeaths: fail.failedAtDeaths,
    faults: mergeSummaries([...reissue.summaries, ...fail.summaries]),
  };
}

/** Requests a second without disturbance, by depth. */
type Pace = Map<number, number>;

/** What was seen under one policy. */
interface PolicyResult {
  /** The disk's name. */
  name: string;
  parts: FioPart[];
  faults: Fault[];
  summaries: FaultSummary[];
  failedAtDeaths: number[];
}

/** Runs the driver under a policy and fio on its disk; what does not hold goes to `problems`. */
async function soakPolicy(
  lab: Lab,
  options: FioSoakOptions & {
    policy: FioPolicy;
    depths: readonly number[];
    /** For each depth. */
    ms: number;
    problems: string[];
    /** As far as it is known; the rest is added to it. */
    pace: Pace;
    /** Another one each time, so that no two runs write the same. */
    seed: () => number;
  },
): Promise<PolicyResult> {
  const { policy, disk, depths, ms, problems, pace, seed, progress } = options;
  const manifest = await writeManifest(lab, disk, { spare: true, stall: STALL_MS, ...POLICIES[policy] });
  progress(`starting the driver under "${policy}"`);
  const run = DriverRun.start(lab, [manifest]);
  await using _ = run;
  const name = await diskOfRun(run);
  if (policy === "fail") await startBlockTrace(lab);
  const result: PolicyResult = { name, parts: [], faults: [], summaries: [], failedAtDeaths: [] };
  for (const depth of depths) {
    const { part, faults, runs } = await soakDepth(lab, run, {
      policy,
      depth,
      ms,
      name,
      ended: result.faults.length,
      pace,
      seed,
      progress,
    });
    result.parts.push(part);
    result.faults.push(...faults);
    const wrong = runs.flatMap((one) => one.wrong);
    if (wrong.length > 0) {
      problems.push(
        `verify: ${wrong.length} blocks wrong under "${policy}", depth ${depth}, the first: ${wrong[0]}`,
      );
    }
    const failed = runs.flatMap((one) => one.failed);
    if (policy !== "fail") {
      if (failed.length > 0) {
        problems.push(`errors: ${failed.length} requests failed under "${policy}", depth ${depth}`);
      }
      continue;
    }
    const trace = await endBlockTrace(lab, name);
    problems.push(...failureProblems(trace, { failed, depth }));
    result.failedAtDeaths = failuresByGap(trace);
    if (failed.length === 0) problems.push(`errors: no request failed under "fail": no death was seen`);
  }
  const late = run.events.some((event) => event.type === "ended" && event.delay >= LATE_MS);
  if (policy === "hold" && !late) problems.push('faults: under "hold" no driver was late');
  problems.push(...faultProblems(run, result.faults));
  result.summaries = summarise(run, result.faults);
  problems.push(...await stopRun(run, lab, { name: `driver under "${policy}"` }));
  return result;
}

/** How many requests failed in each time without a driver. */
function failuresByGap({ failures, gaps }: BlockTrace): number[] {
  return gaps.map(({ from, to }) => failures.filter(({ at }) => at >= from && at < to).length);
}

/** Runs fio at one depth, once undisturbed if it is not known how fast that goes, then while the driver is ended. */
async function soakDepth(
  lab: Lab,
  run: DriverRun,
  options: {
    policy: FioPolicy;
    depth: number;
    ms: number;
    /** Of the disk. */
    name: string;
    /** Drivers ended so far: the next way is the one after. */
    ended: number;
    pace: Pace;
    seed: () => number;
    progress: (line: string) => void;
  },
): Promise<{ part: FioPart; faults: Fault[]; runs: FioRun[] }> {
  const { policy, depth, ms, name, ended, pace, seed, progress } = options;
  const what = `${policy}, depth ${depth}`;
  const path = `/dev/${name}`;
  const runs: FioRun[] = [];
  const undisturbed: FioRun[] = [];
  if (!pace.has(depth)) {
    progress(`${what}: undisturbed`);
    const one = await runFio(
      lab,
      { path, depth, requests: UNDISTURBED, seed: seed(), mayFail: false },
      BOUND.ms,
    );
    undisturbed.push(one);
    pace.set(depth, one.requests / Math.max(one.seconds, 0.001));
  }
  const speed = pace.get(depth)!;
  const wanted = speed / 1000 * Math.min(RUN.share * ms, RUN.most);
  const requests = Math.round(Math.min(REQUESTS.most, Math.max(REQUESTS.least, wanted)));
  const mayFail = policy === "fail";
  const bound = BOUND.ms + BOUND.times * requests / speed * 1000;

  progress(`${what}: the driver ended every two seconds`);
  const over = new AbortController();
  let faulted = 0;
  const faulting = faultLoop(run, {
    ways: WAYS.map((_, i) => WAYS[(ended + i) % WAYS.length]),
    every: EVERY_MS,
    over: over.signal,
    spare: false,
    busy: () => requestsUnderWay(lab, { name, over: over.signal }),
    onFault: () => faulted++,
  });
  // A death may fall between two runs of fio, or two parts of one, after all.
  const failing = () =>
    policy === "fail" && faulted < FAILING_ENDS && !runs.some(({ failed }) => failed.length > 0);
  const using = async () => {
    const end = performance.now() + ms;
    for (let said = performance.now(); performance.now() < end || faulted < ENDS[policy] || failing();) {
      runs.push(await runFio(lab, { path, depth, requests, seed: seed(), mayFail }, bound));
      if (performance.now() - said < 10_000) continue;
      said = performance.now();
      progress(`${what}: ${grouped(sum(runs, (one) => one.requests))} requests, ${faulted} ends`);
    }
  };
  const work = using();
  try {
    // A recovery that fails is why fio stands still: it must not wait for that.
    await Promise.race([work, faulting.then(() => work)]);
  } finally {
    over.abort();
  }
  const faults = await faulting;
  const seconds = sum(runs, (one) => one.seconds);
  const done = sum(runs, (one) => one.requests);
  const part: FioPart = {
    policy,
    depth,
    runs: runs.length,
    requests: done,
    bytes: sum(runs, (one) => one.bytes),
    writes: sum(runs, (one) => one.writes),
    seconds,
    iops: { undisturbed: speed, disturbed: done / seconds },
    errors: {
      verify: sum([...undisturbed, ...runs], ({ wrong }) => wrong.length),
      io: sum([...undisturbed, ...runs], ({ failed }) => failed.length),
    },
    faults: faults.length,
  };
  return { part, faults, runs: [...undisturbed, ...runs] };
}

/** Waits until a disk has something to do, or it is over: what ends a driver that has not shows nothing. */
async function requestsUnderWay(
  lab: Lab,
  { name, over }: { name: string; over: AbortSignal },
): Promise<void> {
  while (!over.aborted && !/[1-9]/.test(await sh(lab, `cat /sys/block/${name}/inflight`))) {
    await pause(50, over);
  }
}

async function runFio(lab: Lab, job: Parameters<typeof fioCommand>[0], bound: number): Promise<FioRun> {
  // Elsewhere than in the checkout, where nothing can be written.
  const running = lab.exec(fioCommand(job), { cwd: "/tmp" });
  return parseFio(
    await within(running, bound, { message: `fio did not end within ${(bound / 1000).toFixed(0)} s` }),
  );
}

function sum<T>(of: readonly T[], value: (one: T) => number): number {
  return of.reduce((so, one) => so + value(one), 0);
}

/** Summaries of several runs as one of each way. */
export function mergeSummaries(summaries: readonly FaultSummary[]): FaultSummary[] {
  const ways = [...new Set(summaries.map(({ how }) => how))];
  return ways.map((how) => {
    const own = summaries.filter((one) => one.how === how);
    return {
      how,
      count: sum(own, ({ count }) => count),
      right: sum(own, ({ right }) => right),
      spares: sum(own, ({ spares }) => spares),
      recoveries: own.flatMap(({ recoveries }) => recoveries),
    };
  });
}

/** The soak as a table. */
export function formatFioSoak(result: FioSoak): string {
  const { parts, faults, problems, disk, failedAtDeaths } = result;
  const failed = failedIn(problems);
  const count = sum(faults, (one) => one.count);
  const findings: Finding[] = [
    ...parts.map(({ policy, depth, requests, bytes, seconds, iops, errors, faults }): Finding => ({
      name: `${policy}, depth ${depth}`,
      found: `${grouped(requests)} requests in ${seconds.toFixed(0)} s with ${faults} ends: ` +
        `${grouped(iops.disturbed)} IOPS, ${(bytes / 2 ** 20 / seconds).toFixed(1)} MiB/s ` +
        `(undisturbed ${grouped(iops.undisturbed)} IOPS); verify errors ${errors.verify}, ` +
        `I/O errors ${errors.io}`,
      ok: errors.verify === 0 && (policy === "fail" ? errors.io > 0 : errors.io === 0),
    })),
    {
      name: "errors",
      found: failed("errors:")
        ? "not as the policy says"
        : `only under "fail", each of a request that was under way at a death: ${
          failedAtDeaths.join(", ") || "none"
        }`,
      ok: !failed("errors:"),
    },
    ...faultFindings(faults),
    { name: "spare", found: `ready at ${sum(faults, (one) => one.spares)} of ${count} ends` },
    ...lastFindings(problems),
  ];
  const title = `Soak of ${disk} with fio, requests of ${REQUEST_BYTES / 1024} KiB,`;
  return formatLabResult(result, { title, findings });
}
