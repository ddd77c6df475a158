/**
 * UDP echo under load from idle to past saturation, after Leslie et al. 2005, figure 4: the kernel's own driver
 * and ring3's in turn, in one boot, on one card.
 */
import { buildBench, buildOutside } from "../src/build.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import { type Lab, nicNetwork } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { DEVICE, keepQuiet } from "../src/soak/wire.ts";
import { type Card, startAnswering, takeCard } from "./card.ts";
import {
  cellsOf,
  compared,
  type Comparison,
  type DriverName,
  DRIVERS,
  headsOf,
  machineText,
  OWNERS,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { LOAD_MAC, type LoadOptions, type LoadResult, putLoad } from "./load.ts";
import { type Activity, activityBetween, type Sample, Sampler } from "./sampler.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "./table.ts";

/** The program that answers, in the guest: `bench/inside/echo.c`. */
const ECHO = `${CHECKOUT}/build/bench/echo`;

/** The port at which `bench/outside/load.c` wants its answers. */
const ECHO_PORT = 7;

/** With how many datagrams a second a driver is loaded before it is measured. */
const WARM_RATE = 12_000;

/** How long a load runs before it is measured, milliseconds. */
const SETTLE_MS = 1000;

/** Loads, datagrams a second. */
export const LOADS: readonly number[] = [
  1000,
  2000,
  4000,
  6000,
  8000,
  10_000,
  12_000,
  14_000,
  16_000,
  20_000,
  26_000,
  32_000,
];

/** What one driver did at one load; each value has its spread over the rounds. */
export interface Side {
  /** Datagrams that were offered, a second: fewer than the load where this machine did not let it run. */
  offered: Spread;
  /** Datagrams that came back, a second. */
  rate: Spread;
  /** Share of the datagrams that did not come back, 0 to 1, and of those that the card had no room for. */
  loss: Spread;
  missed: Spread;
  /** Round trips, microseconds: the longest of so many percent. */
  p50: Spread;
  p99: Spread;
  p999: Spread;
  /** Processors that were busy meanwhile, 1 being all of one. */
  cpu: Spread;
  /** For each datagram that came back: processor time in microseconds, and how often these happened. */
  cost: Spread;
  interrupts: Spread;
  receives: Spread;
  switches: Spread;
  /** The same of ring3's system call, and of those of them that slept; null for the kernel's driver. */
  waits: Spread | null;
  wakeups: Spread | null;
}

/** One load. */
export interface Point {
  /** Datagrams a second. */
  offered: number;
  kernel: Side;
  ring3: Side;
}

/** What was measured. */
export interface UdpBench extends Comparison {
  bench: "udp";
  /** Bytes of a datagram's payload. */
  size: number;
  /** Processors that were busy without any load. */
  idle: Record<DriverName, Spread>;
  points: Point[];
}

/** How to measure. */
export interface UdpBenchOptions extends LabOptions {
  /** Bytes of a datagram's payload. */
  size: number;
  /** Datagrams a second, ascending. */
  loads: readonly number[];
  /** Times that both drivers take their turn. */
  rounds: number;
  /** Length of one load, and of what comes before them all, milliseconds. */
  measured: number;
  warm: number;
}

/** ring3's own counters. */
interface Totals {
  rxPackets: number;
  waits: number;
  wakeups: number;
}

/** One load in one turn. */
interface Measured {
  load: LoadResult;
  activity: Activity;
  /** What ring3's counters moved by, in as much of that time as its status told of. */
  totals: Totals | null;
}

/** One turn of a driver. */
interface Turn {
  idle: Activity;
  measured: Measured[];
}

/**
 * Boots a lab with one card and has both drivers serve it in turn.
 * @throws {UserError} if the lab or a driver does not come up, or the load does not run.
 */
export async function benchUdp(options: UdpBenchOptions): Promise<UdpBench> {
  const { loads, size, hardware } = options;
  await buildBench();
  const program = `${await buildOutside()}/load`;
  const directory = await Deno.makeTempDir();
  await using cleaning = new AsyncDisposableStack();
  cleaning.defer(() => Deno.remove(directory, { recursive: true }));
  const sockets = { card: `${directory}/card`, outside: `${directory}/outside` };
  const lab = cleaning.use(
    await startLab({
      ...options,
      hardware: { ...hardware, nic: ["e1000"], disk: [], sockets: { 0: sockets } },
    }),
  );
  await keepQuiet(lab);
  await startAnswering(lab, [ECHO, `${ECHO_PORT}`]);
  const { host: from, guest: to } = nicNetwork(0);
  const use = (card: Card) => {
    const load = { program, sockets, mac: card.mac, from, to, size };
    return measureTurn(lab, card, { ...options, load });
  };
  const taking = { device: DEVICE, address: to, neighbours: { [from]: LOAD_MAC }, use };
  const { result: turns, problems } = await takeTurns(options, (driver) => takeCard(lab, driver, taking));
  for (const driver of DRIVERS) {
    const wrong = turns[driver].flatMap(({ measured }) => measured).reduce(
      (sum, { load }) => sum + load.wrong,
      0,
    );
    if (wrong > 0) problems.push(`${OWNERS[driver]}: ${wrong} datagrams came back that were not as sent`);
  }
  const side = (driver: DriverName, index: number) =>
    sideOf(turns[driver].map(({ measured }) => measured[index]));
  const idle = (driver: DriverName) => spreadOf(turns[driver].map(({ idle }) => idle.busy));
  return {
    bench: "udp",
    ...compared(lab, { rounds: options.rounds, problems }),
    size,
    idle: { kernel: idle("kernel"), ring3: idle("ring3") },
    points: loads.map((offered, index) => ({
      offered,
      kernel: side("kernel", index),
      ring3: side("ring3", index),
    })),
  };
}

type Fixed = Pick<LoadOptions, "program" | "sockets" | "mac" | "from" | "to" | "size">;

/** Loads it for a while first: a driver is compiled while it runs, the more the more often. */
async function measureTurn(
  lab: Lab,
  card: Card,
  { loads, measured, warm, load }: UdpBenchOptions & { load: Fixed },
): Promise<Turn> {
  await using sampler = new Sampler(lab, card.irq);
  await putLoad({ ...load, rate: WARM_RATE, warm: 0, measured: warm });
  const before = await sampler.take();
  await new Promise((resolve) => setTimeout(resolve, measured));
  const idle = activityBetween(before, await sampler.take());
  const results: Measured[] = [];
  for (const rate of loads) {
    results.push(await measureLoad(card, sampler, { ...load, rate, warm: SETTLE_MS, measured }));
  }
  return { idle, measured: results };
}

async function measureLoad({ run }: Card, sampler: Sampler, load: LoadOptions): Promise<Measured> {
  const samples: Sample[] = [];
  const totals: (Totals | undefined)[] = [];
  const look = async () => {
    samples.push(await sampler.take());
    totals.push(run?.driver?.totals);
  };
  const result = await putLoad({ ...load, begin: look, end: look });
  const [before, after] = totals;
  return {
    load: result,
    activity: activityBetween(samples[0], samples[1]),
    totals: before && after
      ? {
        rxPackets: after.rxPackets - before.rxPackets,
        waits: after.waits - before.waits,
        wakeups: after.wakeups - before.wakeups,
      }
      : null,
  };
}

function sideOf(rounds: readonly Measured[]): Side {
  const spread = (value: (one: Measured) => number) => spreadOf(rounds.map(value));
  const each = (count: (activity: Activity, load: LoadResult) => number) =>
    spread(({ activity, load }) => count(activity, load) / Math.max(load.returned, 1));
  const told = rounds.flatMap(({ totals }) => totals && totals.rxPackets > 0 ? [totals] : []);
  const own = (value: (totals: Totals) => number) =>
    told.length === 0 ? null : spreadOf(told.map((totals) => value(totals) / totals.rxPackets));
  return {
    offered: spread(({ load }) => load.offered / load.seconds),
    rate: spread(({ load }) => load.returned / load.seconds),
    loss: spread(({ load }) => 1 - load.echoed / load.offered),
    missed: spread(({ load }) => load.missed / load.offered),
    p50: spread(({ load }) => load.p50_us),
    p99: spread(({ load }) => load.p99_us),
    p999: spread(({ load }) => load.p999_us),
    cpu: spread(({ activity }) => activity.busy),
    cost: each(({ busy }, { seconds }) => busy * seconds * 1e6),
    interrupts: each(({ interrupts }) => interrupts),
    receives: each(({ receives }) => receives),
    switches: each(({ switches }) => switches),
    waits: own(({ waits }) => waits),
    wakeups: own(({ wakeups }) => wakeups),
  };
}

/** The load at which a driver echoed most. */
export function peakOf(points: readonly Point[], driver: DriverName): Point {
  return points.reduce((best, point) => point[driver].rate.median > best[driver].rate.median ? point : best);
}

/** The figures as tables of Markdown: medians, for the rates with what they lie between. */
export function formatUdpBench(result: UdpBench): string {
  const { size, points, idle, problems } = result;
  const text = (value: Spread | null, digits: number, factor = 1) =>
    value ? (value.median * factor).toFixed(digits) : "";
  const table = (head: readonly string[], row: (point: Point) => string[]) =>
    formatTable(["offered/s", ...head], points.map((point) => [`${point.offered}`, ...row(point)]));
  return [
    `UDP echo of ${size} bytes on ${machineText(result)}: ${roundsText(result)} in one boot`,
    "",
    ...summary(points),
    `Processors busy without load: kernel ${text(idle.kernel, 3)}, ring3 ${text(idle.ring3, 3)}.`,
    "",
    "Datagrams that came back a second, the share that did not, and the share that the card had no room for",
    "",
    table(
      ["kernel", "ring3", "ratio", ...headsOf(["lost %", "missed %"])],
      (point) => [
        rangeText(point.kernel.rate),
        rangeText(point.ring3.rate),
        (point.ring3.rate.median / point.kernel.rate.median).toFixed(2),
        ...cellsOf(point, ({ loss, missed }) => [text(loss, 1, 100), text(missed, 1, 100)]),
      ],
    ),
    "",
    "Round trips, ms",
    "",
    table(
      headsOf(["p50", "p99", "p99.9"]),
      (point) =>
        cellsOf(point, ({ p50, p99, p999 }) => [p50, p99, p999].map((value) => text(value, 2, 1e-3))),
    ),
    "",
    "Processors busy, and for each datagram that came back: their time in µs, interrupts, runs of the receive " +
    "softirq, switches of context; ring3's WAIT calls, and those that slept",
    "",
    table(
      [...headsOf(["busy", "µs", "interrupts", "softirqs", "switches"]), "WAITs", "slept"],
      (point) => [
        ...cellsOf(point, ({ cpu, cost, interrupts, receives, switches }) => [
          text(cpu, 2),
          text(cost, 1),
          ...[interrupts, receives, switches].map((value) => text(value, 2)),
        ]),
        text(point.ring3.waits, 2),
        text(point.ring3.wakeups, 2),
      ],
    ),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** The peaks, their ratio, and what is left of each at the highest load. */
function summary(points: readonly Point[]): string[] {
  const [kernel, ring3] = DRIVERS.map((driver) => ({ at: peakOf(points, driver), driver }));
  const peak = ({ at, driver }: typeof kernel) => at[driver].rate.median;
  const last = points[points.length - 1];
  const left = (one: typeof kernel) => `${(100 * last[one.driver].rate.median / peak(one)).toFixed(0)} %`;
  return [
    `Peak: kernel ${peak(kernel).toFixed(0)}/s at ${kernel.at.offered}/s offered, ring3 ` +
    `${peak(ring3).toFixed(0)}/s at ${ring3.at.offered}/s: ${
      (100 * peak(ring3) / peak(kernel)).toFixed(0)
    } %. ` +
    `At ${last.offered}/s: kernel ${left(kernel)} of its peak, ring3 ${left(ring3)}.`,
  ];
}

/** What came back over what was offered, of both. */
export function plotUdpBench(result: UdpBench): string {
  const series = (name: string, side: (point: Point) => Side) => ({
    name,
    points: result.points.map(side).map(({ offered, rate }) =>
      [offered.median / 1000, rate.median / 1000] as const
    )
      .toSorted(([a], [b]) => a - b),
  });
  return drawChart({
    title: `UDP echo, ${result.size} bytes`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
    x: { label: "offered, thousand datagrams/s", domain: [0, 0] },
    y: { label: "came back, thousand datagrams/s", domain: [0, 0] },
    series: [series("kernel's driver", ({ kernel }) => kernel), series("ring3", ({ ring3 }) => ring3)],
  });
}
