/**
 * Reads of a disk, one after the other at the request sizes of Leslie et al. 2005, figure 2, and at random: the
 * kernel's own driver and ring3's in turn, in one boot, on one disk.
 */
import { buildBench } from "../src/build.ts";
import type { Lab } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import {
  cellsOf,
  compared,
  type Comparison,
  type DriverName,
  headsOf,
  machineText,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { type DiskName, type Drive, prepareDrive, takeDrive } from "./drive.ts";
import { type RandomReads, readRandomly } from "./random.ts";
import { Reader, type Reads } from "./reader.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";

const SECTOR = 512;

/** Request sizes of the paper's figure, sectors of 512 bytes. */
// deno-fmt-ignore
export const SIZES: readonly number[] = [
  ...Array.from({ length: 32 }, (_, i) => i + 1),
  40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536,
  1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
];

/** What one driver did at one size; each value is the median of the rounds, with the least and the most. */
export interface Side {
  /** Bytes a second. */
  throughput: Spread;
  /** Processors that were busy meanwhile, 1 being all of one. */
  cpu: Spread;
  /** Processor time of one request, seconds. */
  cost: Spread;
}

/** One size. */
export interface Point {
  /** Of 512 bytes. */
  sectors: number;
  kernel: Side;
  ring3: Side;
}

/** What one driver did with random reads; each value has its spread over the rounds. */
export interface RandomSide {
  /** Requests a second. */
  rate: Spread;
  /** Processors that were busy meanwhile, 1 being all of one. */
  cpu: Spread;
  /** Processor time of one request, microseconds. */
  cost: Spread;
  /** Until a request has come back, microseconds: the longest of so many percent. */
  p50: Spread;
  p99: Spread;
  p999: Spread;
}

/** Random reads at one depth. */
export interface RandomPoint {
  /** Requests under way at a time. */
  depth: number;
  kernel: RandomSide;
  ring3: RandomSide;
}

/** What was measured. */
export interface DiskBench extends Comparison {
  bench: "disk";
  disk: DiskName;
  points: Point[];
  /** Of 4 KiB. */
  random: RandomPoint[];
}

/** How to measure. */
export interface DiskBenchOptions extends LabOptions {
  disk: DiskName;
  sizes: readonly number[];
  /** Times that both drivers take their turn. */
  rounds: number;
  /** Of the disk to read at each size, bytes. */
  range: number;
  /** Longest time for one size, and how long the disk is read before them all, milliseconds. */
  longest: number;
  warm: number;
  /** Random reads: at so many at a time, each for so many milliseconds after as many that do not count. */
  random: { depths: readonly number[]; measured: number };
}

/** One turn of a driver. */
interface Turn {
  sequential: Reads[];
  random: RandomReads[];
}

/**
 * Boots a lab with one disk and has both drivers read it in turn.
 * @throws {UserError} if the lab or a driver does not come up, or the disk cannot be read.
 */
export async function benchDisk(options: DiskBenchOptions): Promise<DiskBench> {
  const { disk, sizes } = options;
  await buildBench();
  await using lab = await startLab({
    ...options,
    hardware: { ...options.hardware, nic: [], disk: [disk] },
  });
  const address = await prepareDrive(lab, disk, options.range);
  const use = ({ name }: Drive) => measure(lab, name, options);
  const { result: turns, problems } = await takeTurns(
    options,
    (driver) => takeDrive(lab, driver, { disk, address, use }),
  );
  const side = (driver: DriverName, sectors: number) =>
    sideOf(
      turns[driver].flatMap(({ sequential }) => sequential).filter((reads) => reads.sectors === sectors),
    );
  const randomSide = (driver: DriverName, depth: number) =>
    randomSideOf(turns[driver].flatMap(({ random }) => random).filter((reads) => reads.depth === depth));
  return {
    bench: "disk",
    ...compared(lab, { rounds: options.rounds, problems }),
    disk,
    points: sizes.map((sectors) => ({
      sectors,
      kernel: side("kernel", sectors),
      ring3: side("ring3", sectors),
    })),
    random: options.random.depths.map((depth) => ({
      depth,
      kernel: randomSide("kernel", depth),
      ring3: randomSide("ring3", depth),
    })),
  };
}

/** Reads for a while first: a driver is compiled while it runs, the more the more often. */
async function measure(lab: Lab, disk: string, options: DiskBenchOptions): Promise<Turn> {
  const { sizes, range, longest, warm, random: { depths, measured } } = options;
  await using reader = new Reader(lab, disk);
  const read = (sectors: number, longest: number) =>
    reader.read(sectors, { requests: Math.floor(range / (sectors * SECTOR)), longest });
  await read(8, warm);
  const sequential: Reads[] = [];
  for (const sectors of sizes) sequential.push(await read(sectors, longest));
  const random: RandomReads[] = [];
  for (const depth of depths) {
    random.push(await readRandomly(lab, disk, { depth, range, measured, warm: measured }));
  }
  return { sequential, random };
}

function sideOf(rounds: readonly Reads[]): Side {
  const spread = (value: (reads: Reads) => number) => spreadOf(rounds.map(value));
  return {
    throughput: spread(({ bytes, seconds }) => bytes / seconds),
    cpu: spread(({ busy, seconds }) => busy / seconds),
    cost: spread(({ busy, requests }) => busy / requests),
  };
}

function randomSideOf(rounds: readonly RandomReads[]): RandomSide {
  const spread = (value: (reads: RandomReads) => number) => spreadOf(rounds.map(value));
  return {
    rate: spread(({ rate }) => rate),
    cpu: spread(({ busy }) => busy),
    cost: spread(({ busy, rate }) => busy * 1e6 / rate),
    p50: spread(({ p50 }) => p50),
    p99: spread(({ p99 }) => p99),
    p999: spread(({ p999 }) => p999),
  };
}

/** The figures as tables of Markdown: medians, and ring3's share of the kernel's. */
export function formatDiskBench(result: DiskBench): string {
  const { disk, points, random, problems } = result;
  const rate = ({ median }: Spread) => (median / 2 ** 20).toFixed(1);
  const micro = ({ median }: Spread) => (median * 1e6).toFixed(0);
  const ratio = (point: Point, of: keyof Side) =>
    (point.ring3[of].median / point.kernel[of].median).toFixed(2);
  const rows = points.map((point) =>
    [
      point.sectors,
      rate(point.kernel.throughput),
      rate(point.ring3.throughput),
      ratio(point, "throughput"),
      micro(point.kernel.cost),
      micro(point.ring3.cost),
      ratio(point, "cost"),
    ].map((cell) => `${cell}`)
  );
  const head = ["sectors", "kernel MiB/s", "ring3 MiB/s", "ratio", "kernel µs CPU", "ring3 µs CPU", "ratio"];
  return [
    `Sequential reads of the ${disk} disk, one after the other, on ${machineText(result)}: ` +
    `${roundsText(result)} in one boot, processor time a request`,
    "",
    formatTable(head, rows),
    ...(random.length === 0 ? [] : [
      "",
      "Random reads of 4 KiB, at so many at a time: requests a second (least–most), processor time of each, and " +
      "how long they took",
      "",
      formatRandom(random),
    ]),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

function formatRandom(points: readonly RandomPoint[]): string {
  const cells = ({ cost, p50, p99, p999 }: RandomSide) =>
    [cost, p50, p99, p999].map(({ median }) => median.toFixed(0));
  return formatTable(
    ["depth", "kernel/s", "ring3/s", "ratio", ...headsOf(["µs CPU", "p50 µs", "p99 µs", "p99.9 µs"])],
    points.map((point) => [
      `${point.depth}`,
      rangeText(point.kernel.rate),
      rangeText(point.ring3.rate),
      (point.ring3.rate.median / point.kernel.rate.median).toFixed(2),
      ...cellsOf(point, cells),
    ]),
  );
}

/** Throughput of both over the size of a request. */
export function plotDiskBench(result: DiskBench): string {
  const series = (name: string, side: (point: Point) => Side) => ({
    name,
    points: result.points.map((point) => [point.sectors, side(point).throughput.median / 2 ** 20] as const),
  });
  return drawChart({
    title: `Sequential reads, ${result.disk}, one after the other`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
    x: { label: "request, sectors of 512 bytes", scale: "log" },
    y: { label: "throughput, MiB/s" },
    series: [series("kernel's driver", ({ kernel }) => kernel), series("ring3", ({ ring3 }) => ring3)],
  });
}
