/**
 * What an IOMMU costs: the benchmarks of datagrams and of a disk without one, and with one that is made to forget
 * mappings lazily or strictly; a boot for each.
 */
import type { Hardware } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import type { LabOptions } from "../src/run/lab.ts";
import { type Comparison, type DriverName, OWNERS, roundsText } from "./compare.ts";
import { benchDisk, type DiskBench } from "./disk.ts";
import type { DiskName } from "./drive.ts";
import { peakRatio } from "./loads.ts";
import { formatTable, type Spread } from "../src/table.ts";
import { benchUdp, type UdpBench } from "./udp.ts";

/** What the IOMMU does. */
export const MODES = {
  off: { iommu: false },
  lazy: { iommu: true, iommuMode: "lazy" },
  strict: { iommu: true, iommuMode: "strict" },
} as const satisfies Record<string, Pick<Hardware, "iommu" | "iommuMode">>;

/** One of them. */
export type Mode = keyof typeof MODES;

/** How much of the kernel's peak rate ring3's driver is to have. */
const GOALS: Readonly<Record<Mode, number>> = { off: 1, lazy: 1.3, strict: 1.3 };

/** What was measured with one of them. */
export interface ModeResult {
  mode: Mode;
  udp: UdpBench;
  disk: DiskBench;
}

/** What was measured. */
export interface IommuBench extends Pick<Comparison, "ok" | "problems" | "rounds"> {
  bench: "iommu";
  modes: ModeResult[];
}

/** How to measure; what is not named is as in the benchmark of that name. */
export interface IommuBenchOptions extends LabOptions {
  modes: readonly Mode[];
  /** Times that both drivers take their turn in each boot. */
  rounds: number;
  udp: { size: number; loads: readonly number[]; measured: number; warm: number };
  disk: { disk: DiskName; sizes: readonly number[]; range: number; longest: number; warm: number };
}

/** Measures with each of the modes. @throws {UserError} as the benchmarks do. */
export async function benchIommu(options: IommuBenchOptions): Promise<IommuBench> {
  const modes: ModeResult[] = [];
  for (const mode of options.modes) {
    const { rounds, yes, signal } = options;
    const progress = (line: string) => options.progress(`IOMMU ${mode}: ${line}`);
    const lab = { hardware: { ...options.hardware, ...MODES[mode] }, rounds, yes, progress, signal };
    modes.push({
      mode,
      udp: await benchUdp({ ...lab, ...options.udp }),
      disk: await benchDisk({ ...lab, ...options.disk, random: { depths: [], measured: 0 } }),
    });
  }
  const problems = modes.flatMap(({ mode, udp, disk }) =>
    [udp, disk].flatMap(({ bench, problems }) => problems.map((problem) => `${mode}, ${bench}: ${problem}`))
  );
  return { bench: "iommu", ok: problems.length === 0, problems, rounds: options.rounds, modes };
}

function ratioOf(ring3: Spread, kernel: Spread): string {
  return (ring3.median / kernel.median).toFixed(2);
}

/** The figures as tables of Markdown: medians of each boot, and ring3's share of the kernel's in the same boot. */
export function formatIommuBench(result: IommuBench): string {
  const { modes, problems } = result;
  const [{ udp: { kernel, accelerator, processors, size }, disk: { disk } }] = modes;
  const whole = ({ median }: Spread) => median.toFixed(0);
  const micro = (value: Spread, factor = 1) => (value.median * factor).toFixed(1);
  const both = ["kernel", "ring3", "ratio", "kernel µs CPU", "ring3 µs CPU", "ratio"];
  return [
    `Without an IOMMU, and with one that forgets mappings lazily or strictly, on Linux ${kernel} (${accelerator}, ` +
    `${processors} processors): ${roundsText(result)} in one boot for each`,
    "",
    ...modes.map(({ mode, udp }) => {
      const ratio = peakRatio(udp.points, ["ring3", "kernel"]);
      return `${mode}: ring3's peak is ${(100 * ratio).toFixed(0)} % of the kernel's, ` +
        `${ratio >= GOALS[mode] ? "within" : "below"} the goal of ${100 * GOALS[mode]} %.`;
    }),
    "",
    `Datagrams of ${size} bytes that came back a second, and processor time of each`,
    "",
    formatTable(
      ["IOMMU", "offered/s", ...both],
      modes.flatMap(({ mode, udp }) =>
        udp.points.map(({ offered, sides: { kernel, ring3 } }) => [
          mode,
          `${offered}`,
          whole(kernel.rate),
          whole(ring3.rate),
          ratioOf(ring3.rate, kernel.rate),
          micro(kernel.cost),
          micro(ring3.cost),
          ratioOf(ring3.cost, kernel.cost),
        ])
      ),
    ),
    "",
    `Sequential reads of the ${disk} disk, one after the other: MiB/s, and processor time of each`,
    "",
    formatTable(
      ["IOMMU", "sectors", ...both],
      modes.flatMap(({ mode, disk }) =>
        disk.points.map(({ sectors, kernel, ring3 }) => [
          mode,
          `${sectors}`,
          micro(kernel.throughput, 2 ** -20),
          micro(ring3.throughput, 2 ** -20),
          ratioOf(ring3.throughput, kernel.throughput),
          micro(kernel.cost, 1e6),
          micro(ring3.cost, 1e6),
          ratioOf(ring3.cost, kernel.cost),
        ])
      ),
    ),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** What came back over what was offered, of both in the first mode and the last. */
export function plotIommuBench(result: IommuBench): string {
  const series = ({ mode, udp }: ModeResult, driver: DriverName) => ({
    name: `${OWNERS[driver]}, ${mode}`,
    points: udp.points.map(({ sides }) => sides[driver])
      .map(({ offered, rate }) => [offered.median / 1000, rate.median / 1000] as const)
      .toSorted(([a], [b]) => a - b),
  });
  const ends = [result.modes[0], result.modes.at(-1)!];
  return drawChart({
    title: `UDP echo, ${ends[0].udp.size} bytes`,
    subtitle: `Linux ${ends[0].udp.kernel}, ${ends[0].udp.accelerator}; ${roundsText(result)}`,
    x: { label: "offered, thousand datagrams/s", domain: [0, 0] },
    y: { label: "came back, thousand datagrams/s", domain: [0, 0] },
    series: ends.flatMap((mode) => [series(mode, "kernel"), series(mode, "ring3")]),
  });
}
