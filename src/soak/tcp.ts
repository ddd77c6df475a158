/** TCP streams through a driver that is ended every second, beside the same streams undisturbed. */
import type { Direction } from "../check/mod.ts";
import { megabits, tcpProblem, type TcpResult } from "../check/result.ts";
import type { Lab } from "../lab/mod.ts";
import { UserError } from "../error.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { formatSize, grouped } from "../size.ts";
import type { Finding } from "../verdict.ts";
import { within } from "../within.ts";
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
import { kernelComplaints, stopRun, unloadModule } from "./lab.ts";
import { writeManifest } from "./manifest.ts";
import { formatLabResult, type LabResult, labResult } from "./result.ts";
import { mean } from "../statistics.ts";
import { DEVICE, FarEnd, keepQuiet, layWire, WIRE } from "./wire.ts";

/** Time that each driver has, from being ready to its end, milliseconds. */
const EVERY_MS = 1000;

/** `limits.stall` of the manifest, milliseconds: short, so that a stall costs little more than a kill. */
const STALL_MS = 300;

/**
 * Seconds in which nothing moves after which a stream is given up. TCP waits twice as long after each segment
 * that is lost, and on an emulated machine most of the time nobody carries them.
 */
const STANDSTILL_S = 180;

/** Times an undisturbed transfer, and milliseconds besides, that a disturbed one may take. */
const BOUND = { times: 20, ms: 60_000 };

/** MINIX 3 with a network driver killed every second: loss in percent, and its mean recovery, milliseconds. */
export const MINIX = { loss: 25, recovery: 360 };

/** One direction, both ways of going through it. */
export interface TcpSoakDirection {
  direction: Direction;
  undisturbed: TcpResult;
  disturbed: TcpResult;
  /** Throughput, Mb/s of payload. */
  mbps: { undisturbed: number; disturbed: number };
  /** Of the undisturbed throughput, percent. */
  loss: number;
}

/** What the soak saw. */
export interface TcpSoak extends LabResult {
  soak: "tcp";
  bytes: number;
  /** Milliseconds of the manifest's stall limit. */
  stallLimit: number;
  directions: TcpSoakDirection[];
  faults: FaultSummary[];
}

/** How to soak. */
export interface TcpSoakOptions extends LabOptions {
  /** To transfer each way, twice. */
  bytes: number;
}

/**
 * Boots a lab and transfers each way, first undisturbed, then with the driver ended every second.
 * @throws {UserError} if the lab or the driver does not come up, a stream or a recovery does not end in time,
 * or a transfer could not be carried out.
 */
export async function soakTcp(options: TcpSoakOptions): Promise<TcpSoak> {
  const { bytes, progress } = options;
  const start = performance.now();
  await using lab = await startLab({ ...options, hardware: { ...options.hardware, ...WIRE } });
  await keepQuiet(lab);
  const manifest = await writeManifest(lab, "e1000", { spare: true, stall: STALL_MS });
  progress("starting the driver");
  const run = DriverRun.start(lab, [manifest, "--device", DEVICE, "--no-dhcp"]);
  await using _ = run;
  await run.next("interface");
  await layWire(lab);
  const far = await FarEnd.start(lab);
  await using __ = far;
  await run.next("spare", { where: ({ state }) => state === "ready" });

  const problems: string[] = [];
  const faults: Fault[] = [];
  const directions: TcpSoakDirection[] = [];
  const undisturbed: TcpResult[] = [];
  for (const direction of ["out", "in"] as const) {
    progress(`TCP ${direction}, ${formatSize(bytes)}, undisturbed`);
    undisturbed.push(await transfer(lab, far, { direction, bytes, problems }));
  }
  for (const [index, direction] of (["out", "in"] as const).entries()) {
    progress(`TCP ${direction}, ${formatSize(bytes)}, the driver ended every second`);
    const moving = Promise.withResolvers<void>();
    const over = new AbortController();
    const faulting = moving.promise.then(() =>
      faultLoop(run, { ways: WAYS, every: EVERY_MS, over: over.signal })
    );
    const bound = BOUND.ms + BOUND.times * undisturbed[index].seconds * 1000;
    let reported = performance.now();
    const moved = (done: number) => {
      moving.resolve();
      if (performance.now() - reported < 10_000) return;
      reported = performance.now();
      progress(`TCP ${direction}: ${grouped(done)} of ${grouped(bytes)} bytes`);
    };
    const streaming = within(transfer(lab, far, { direction, bytes, problems, moved }), bound, {
      message: `TCP ${direction} did not end within ${(bound / 1000).toFixed(0)} s`,
    });
    // A recovery that fails is why the stream stands still: it must not wait for that.
    const disturbed = await Promise.race([streaming, faulting.then(() => streaming)]);
    over.abort();
    faults.push(...await faulting);
    const mbps = { undisturbed: megabits(undisturbed[index]), disturbed: megabits(disturbed) };
    const loss = 100 * (1 - mbps.disturbed / mbps.undisturbed);
    directions.push({ direction, undisturbed: undisturbed[index], disturbed, mbps, loss });
  }

  problems.push(...faultProblems(run, faults));
  problems.push(...untriedWays(faults, "the transfers were over too soon; transfer more"));
  const summaries = summarise(run, faults);
  problems.push(...await stopRun(run, lab), ...await unloadModule(lab), ...kernelComplaints(lab));
  return {
    soak: "tcp",
    ...labResult(lab, { problems, start }),
    bytes,
    stallLimit: STALL_MS,
    directions,
    faults: summaries,
  };
}

/** One transfer through the interface; what is wrong with it goes to `problems`. */
export async function transfer(
  lab: Lab,
  far: FarEnd,
  options: { direction: Direction; bytes: number; problems: string[]; moved?: (bytes: number) => void },
): Promise<TcpResult> {
  const { direction, bytes, problems, moved } = options;
  const only = { pings: 0, datagrams: 0, bytes, direction };
  const found = await far.check(lab, { ...only, stall: STANDSTILL_S, moved });
  problems.push(...found.problems);
  const result = direction === "out" ? found.tcpOut : found.tcpIn;
  if (!result) throw new UserError(found.problems.join("; ") || `TCP ${direction} was not done`);
  return result;
}

/** The soak as a table. */
export function formatTcpSoak(result: TcpSoak): string {
  const { directions, faults, bytes } = result;
  const row = (name: string, one: TcpResult, more: string): Finding => ({
    name,
    found: `${one.seconds.toFixed(1)} s, ${megabits(one).toFixed(1)} Mb/s, ` +
      `SHA-256 ${one.received.sha256.slice(0, 12)}…${more}`,
    ok: tcpProblem(name, one, bytes) === undefined,
  });
  const count = faults.reduce((sum, one) => sum + one.count, 0);
  const spares = faults.reduce((sum, one) => sum + one.spares, 0);
  const recoveries = faults.flatMap((one) => one.recoveries);
  const findings: Finding[] = [
    ...directions.flatMap(({ direction, undisturbed, disturbed, loss }) => [
      row(`TCP ${direction}`, undisturbed, ""),
      row(`TCP ${direction}, ended every second`, disturbed, `, loss ${loss.toFixed(0)} %`),
    ]),
    ...faultFindings(faults),
    {
      name: "spare",
      found: `ready at ${spares} of ${count} ends (${(100 * spares / count).toFixed(0)} %)`,
    },
    {
      name: "MINIX 3",
      found: `loss ${MINIX.loss} % when killed every second, mean recovery ${MINIX.recovery} ms; here ` +
        `${mean(directions.map(({ loss }) => loss)).toFixed(0)} %, ${mean(recoveries).toFixed(0)} ms`,
    },
  ];
  return formatLabResult(result, { title: `Soak of TCP, ${formatSize(bytes)} each way,`, findings });
}
