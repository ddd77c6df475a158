/**
 * Sequential reads of a disk at the request sizes of Leslie et al. 2005, figure 2: the kernel's own driver and
 * ring3's in turn, in one boot, on one disk.
 */
import { z } from "zod";
import { buildBench } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import type { Lab } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { DriverRun } from "../src/soak/driver_run.ts";
import { sh } from "../src/soak/lab.ts";
import {
  compared,
  type Comparison,
  type DriverName,
  endRun,
  machineText,
  roundsText,
  type Taken,
  takeTurns,
} from "./compare.ts";
import { formatTable, type Spread, spreadOf } from "./table.ts";

/** The program that reads, in the guest: `bench/inside/read.c`. */
const READ = `${CHECKOUT}/build/bench/read`;

/** Disks that can be measured: ring3's driver by its name, the kernel's own by its modules. */
export const DISKS = {
  ide: { modules: ["ata_piix", "sd_mod"], vendor: "0x8086", device: "0x7111" },
  nvme: { modules: ["nvme"], vendor: "0x1b36", device: "0x0010" },
} as const;

/** Name of a disk that can be measured. */
export type DiskName = keyof typeof DISKS;

/** Request sizes of the paper's figure, sectors of 512 bytes. */
// deno-fmt-ignore
export const SIZES: readonly number[] = [
  ...Array.from({ length: 32 }, (_, i) => i + 1),
  40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280, 1536,
  1792, 2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8192,
];

/** What `read` says of one size. */
const lineSchema = z.object({
  sectors: z.number(),
  requests: z.number(),
  bytes: z.number(),
  seconds: z.number().positive(),
  busy: z.number(),
});

type Line = z.infer<typeof lineSchema>;

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

/** What was measured. */
export interface DiskBench extends Comparison {
  bench: "disk";
  disk: DiskName;
  points: Point[];
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
  await sh(lab, DISKS[disk].modules.map((name) => `modprobe ${name}`).join("; "));
  const address = await addressOf(lab, disk);
  // A disk that was never written has nothing that would have to be read.
  await sh(lab, `head -c ${options.range} /dev/urandom > /dev/${await diskOf(lab, address)}; sync`);
  const { result: turns, problems } = await takeTurns(
    options,
    (driver) => takeDisk(lab, driver, { ...options, address }),
  );
  const side = (driver: DriverName, sectors: number) =>
    sideOf(turns[driver].flat().filter((line) => line.sectors === sectors));
  return {
    bench: "disk",
    ...compared(lab, { rounds: options.rounds, problems }),
    disk,
    points: sizes.map((sectors) => ({
      sectors,
      kernel: side("kernel", sectors),
      ring3: side("ring3", sectors),
    })),
  };
}

async function takeDisk(
  lab: Lab,
  driver: DriverName,
  options: DiskBenchOptions & { address: string },
): Promise<Taken<Line[]>> {
  const { disk, address } = options;
  if (driver === "kernel") {
    return { result: await measure(lab, await diskOf(lab, address), options), problems: [] };
  }
  const run = DriverRun.start(lab, [disk, "--device", address, "--take"]);
  await using _ = run;
  const { disk: name } = await run.next("disk");
  return { result: await measure(lab, name, options), problems: await endRun(lab, run) };
}

async function addressOf(lab: Lab, disk: DiskName): Promise<string> {
  const { vendor, device } = DISKS[disk];
  const found = await sh(
    lab,
    `cd /sys/bus/pci/devices; grep -l ${device} */device | while read f; do grep -q ${vendor} "\${f%/*}/vendor" && echo "\${f%/*}"; done`,
  );
  return found.trim();
}

/** Name of the disk behind a PCI device, once its driver has made it. */
async function diskOf(lab: Lab, address: string): Promise<string> {
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

/** Reads for a while first: a driver is compiled while it runs, the more the more often. */
async function measure(lab: Lab, disk: string, options: DiskBenchOptions): Promise<Line[]> {
  await read(lab, disk, { ...options, sizes: [8], longest: options.warm });
  return await read(lab, disk, options);
}

async function read(
  lab: Lab,
  disk: string,
  { sizes, range, longest }: Pick<DiskBenchOptions, "sizes" | "range" | "longest">,
): Promise<Line[]> {
  const text = await sh(lab, `${READ} /dev/${disk} ${range} ${longest} ${sizes.join(" ")}`);
  return text.trim().split("\n").map((line) => lineSchema.parse(JSON.parse(line)));
}

function sideOf(lines: readonly Line[]): Side {
  const spread = (value: (line: Line) => number): Spread => spreadOf(lines.map(value));
  return {
    throughput: spread(({ bytes, seconds }) => bytes / seconds),
    cpu: spread(({ busy, seconds }) => busy / seconds),
    cost: spread(({ busy, requests }) => busy / requests),
  };
}

/** The figures as a table of Markdown: medians, and ring3's share of the kernel's. */
export function formatDiskBench(result: DiskBench): string {
  const { disk, points, problems } = result;
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
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
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
