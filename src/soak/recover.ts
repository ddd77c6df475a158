/** A driver killed a thousand times, with a spare and without: how long each recovery takes, and what is left. */
import type { Lab } from "../lab/mod.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { type Memory, parseMemory } from "../memory.ts";
import { drawChart, empirical } from "../plot/mod.ts";
import { grouped } from "../size.ts";
import type { Finding } from "../verdict.ts";
import type { DriverRun } from "./driver_run.ts";
import { EXPECTED, recoveryText } from "./fault.ts";
import { KilledDriver } from "./killed_driver.ts";
import { FAR, kernelComplaints, sh, unloadModule } from "./lab.ts";
import { failedIn, formatLabResult, type LabResult, labResult, lastFindings } from "./result.ts";
import { type Distribution, distribution, leastSquares } from "../statistics.ts";

/** The median with a spare may be at most this part of the median without. */
const MOST_RATIO = 0.25;

/** Memory counts as flat if it grows less than either of these over the last half of the cycles. */
const FLAT = { bytes: 4 * 2 ** 20, share: 0.05 };

/** Samples of memory in the last half below which nothing is said of its growth. */
const FEWEST_SAMPLES = 3;

/** Memory of the supervisor after so many cycles. */
export interface MemorySample extends Memory {
  cycle: number;
}

/** How the private memory of the supervisor changed over the last half of the cycles. */
export interface MemoryGrowth {
  /** By the line of least squares, bytes. */
  bytes: number;
  /** Of what it was in the middle. */
  share: number;
  flat: boolean;
}

/** Cycles of one kind: with or without a spare. */
export interface Cycles {
  asked: number;
  /** Recovery times in order: kernel's word of death to first frame, milliseconds. */
  times: number[];
  distribution: Distribution | null;
}

/** What the soak saw. */
export interface RecoverSoak extends LabResult {
  soak: "recover";
  spare: Cycles;
  alone: Cycles;
  /** Median with a spare to median without. */
  ratio: number;
  memory: { samples: MemorySample[]; growth: MemoryGrowth | null };
}

/** How to soak. */
export interface RecoverSoakOptions extends LabOptions {
  /** Kills with a spare. */
  cycles: number;
  /** Kills without one. */
  alone: number;
  /** Cycles from one sample of memory to the next. */
  sampleEvery: number;
}

/**
 * Boots a lab and kills the driver again and again under light load.
 * @throws {UserError} if the lab or the driver does not come up, or does not recover.
 */
export async function soakRecover(options: RecoverSoakOptions): Promise<RecoverSoak> {
  const { cycles, alone, sampleEvery, progress } = options;
  const start = performance.now();
  await using lab = await startLab(options);
  const problems: string[] = [];
  const samples: MemorySample[] = [];
  const withSpare = await killLoop(lab, {
    spare: true,
    cycles,
    problems,
    progress,
    each: async (cycle, run) => {
      if (cycle % sampleEvery !== 0) return;
      const text = await sh(lab, `cat /proc/${await run.supervisor()}/smaps_rollup`);
      samples.push({ cycle, ...parseMemory(text) });
    },
  });
  const without = await killLoop(lab, {
    spare: false,
    cycles: alone,
    problems,
    progress,
    each: async () => {},
  });
  problems.push(...await unloadModule(lab), ...kernelComplaints(lab));

  const spare = cyclesOf(cycles, withSpare);
  const none = cyclesOf(alone, without);
  for (const [name, { asked, times }] of [["with a spare", spare], ["without a spare", none]] as const) {
    if (times.length < asked) {
      problems.push(
        `${name}: after ${asked - times.length} of ${asked} kills no frame went through in a second`,
      );
    }
  }
  const ratio = spare.distribution && none.distribution
    ? spare.distribution.p50 / none.distribution.p50
    : NaN;
  if (!(ratio <= MOST_RATIO)) {
    problems.push(
      `spare: the median with one is ${ratio.toFixed(2)} of that without, not ${MOST_RATIO} or less`,
    );
  }
  const growth = memoryGrowth(samples);
  if (growth && !growth.flat) {
    problems.push(
      `memory: the supervisor grew by ${mebibytes(growth.bytes)} (${
        percent(growth.share)
      }) over the last half`,
    );
  }
  return {
    soak: "recover",
    ...labResult(lab, { problems, start }),
    spare,
    alone: none,
    ratio,
    memory: { samples, growth },
  };
}

/** Runs the driver and kills it `cycles` times; what does not hold goes to `problems`. The recovery times. */
async function killLoop(
  lab: Lab,
  options: {
    spare: boolean;
    cycles: number;
    problems: string[];
    progress: (line: string) => void;
    each: (cycle: number, run: DriverRun) => Promise<void>;
  },
): Promise<number[]> {
  const { spare, cycles, problems, progress, each } = options;
  const what = spare ? "with a spare" : "without a spare";
  await using driver = await KilledDriver.start(lab, { spare });
  const { run } = driver;
  await run.next("address");
  // So that there is a frame to be the first; few, for the processor is to be the driver's.
  const load = lab.spawn(["ping", "-q", "-i", "0.02", FAR], { stdout: "null", stderr: "null" });
  const times: number[] = [];
  await each(0, run);
  for (let cycle = 1; cycle <= cycles; cycle++) {
    const { ms } = await driver.kill();
    if (ms !== null) times.push(ms);
    await each(cycle, run);
    if (cycle % Math.ceil(cycles / 20) === 0) {
      progress(`${what}: ${grouped(cycle)} of ${grouped(cycles)} kills, ${recoveryText(times)}`);
    }
  }
  await sh(lab, "pkill -x ping");
  await load.status;
  problems.push(...await driver.stop({ name: `driver ${what}` }));
  return times;
}

function cyclesOf(asked: number, times: number[]): Cycles {
  return { asked, times, distribution: distribution(times) };
}

/** Growth over the last half, by least squares; null with too few samples to tell. */
export function memoryGrowth(samples: readonly MemorySample[]): MemoryGrowth | null {
  const last = samples.at(-1)?.cycle ?? 0;
  const half = samples.filter(({ cycle }) => cycle >= last / 2);
  const line = leastSquares(half.map((sample) => [sample.cycle, sample.private]));
  if (!line || half.length < FEWEST_SAMPLES) return null;
  const bytes = line.slope * (last - half[0].cycle);
  const share = bytes / (line.intercept + line.slope * half[0].cycle);
  return { bytes, share, flat: bytes < FLAT.bytes || share < FLAT.share };
}

/** The soak as a table. */
export function formatRecoverSoak(result: RecoverSoak): string {
  const { problems, spare, alone, ratio, memory } = result;
  const failed = failedIn(problems);
  const row = (name: string, { asked, times, distribution }: Cycles): Finding => ({
    name,
    found: `${grouped(times.length)} of ${grouped(asked)} kills recovered` +
      (distribution ? `; ${distributionText(distribution)}` : ""),
    ok: times.length === asked,
  });
  const { samples, growth } = memory;
  const first = samples[0];
  const last = samples[samples.length - 1];
  const findings: Finding[] = [
    row("with a spare", spare),
    row("without", alone),
    {
      name: "spare",
      found: `median ${percent(ratio)} of that without; at most ${percent(MOST_RATIO)}`,
      ok: !failed("spare:"),
    },
    {
      name: "reasons",
      found: `every kill reported as "${EXPECTED.kill}", and no other end`,
      ok: !failed("faults:"),
    },
    {
      name: "supervisor",
      found: !first
        ? "memory not sampled"
        : `private memory ${mebibytes(first.private)} at first, ${mebibytes(last.private)} at the end; ` +
          (growth
            ? `over the last half ${mebibytes(growth.bytes)} (${percent(growth.share)}), flat below ` +
              `${mebibytes(FLAT.bytes)} or ${percent(FLAT.share)}`
            : "too few samples for its growth"),
      ok: growth ? growth.flat : undefined,
    },
    ...lastFindings(problems),
  ];
  return formatLabResult(result, { title: "Soak of recovery", findings });
}

/** The recovery times as a chart: SVG. */
export function plotRecoverSoak(result: RecoverSoak): string {
  const kinds = [{ name: "with a spare", cycles: result.spare }, {
    name: "without a spare",
    cycles: result.alone,
  }];
  return drawChart({
    title: "Time from a driver's death to the first frame through the next",
    subtitle:
      `Linux ${result.kernel}, ${result.accelerator}, killed under light load; measured by the kernel`,
    x: { label: "recovery time, ms", scale: "log" },
    y: { label: "kills recovered by then", domain: [0, 100], format: (value) => `${value} %` },
    series: kinds.map(({ name, cycles }) => ({
      name: `${name} (${grouped(cycles.times.length)} kills)`,
      points: empirical(cycles.times),
      draw: "step",
    })),
    marks: kinds.flatMap(({ cycles: { distribution } }, series) =>
      distribution ? [{ x: distribution.p50, label: `median ${distribution.p50.toFixed(0)} ms`, series }] : []
    ),
  });
}

function distributionText({ min, p50, p90, p99, max, mean }: Distribution): string {
  const parts = Object.entries({ min, p50, p90, p99, max, mean });
  return parts.map(([name, value]) => `${name} ${value.toFixed(0)}`).join(", ") + " ms";
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
