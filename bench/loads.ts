/** Drivers of a card under loads from idle to past saturation: what each does with them, as tables and as a chart. */
import { buildBench, buildOutside } from "../src/build.ts";
import { type BootOptions, type Lab, nicNetwork } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { keepQuiet } from "../src/soak/wire.ts";
import { temporaryFolder } from "../src/temporary_folder.ts";
import type { DrivenCard } from "./card.ts";
import { headsOf, interleave } from "./compare.ts";
import { type LoadOptions, type LoadResult, putLoad, wireSockets } from "./load.ts";
import { type Activity, activityBetween, type Sample, Sampler } from "./sampler.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";
import { pause } from "../src/pause.ts";

/** With how many frames a second a driver is loaded before it is measured. */
const WARM_RATE = 12_000;

/** How long a load runs before it is measured, milliseconds. */
const SETTLE_MS = 1000;

/** How long nothing comes before that is measured: what a load has made worth compiling is compiled after it. */
const REST_MS = 3000;

/** What one driver did at one load; each value has its spread over the rounds. */
export interface Side {
  /** Frames that were offered, a second: fewer than the load where this machine did not let it run. */
  offered: Spread;
  /** Frames that came back, a second. */
  rate: Spread;
  /** Share of the frames that did not come back, 0 to 1, and of those that the card had no room for. */
  loss: Spread;
  missed: Spread;
  /** Round trips, microseconds: the longest of so many percent. */
  p50: Spread;
  p99: Spread;
  p999: Spread;
  /** Processors that were busy meanwhile, 1 being all of one. */
  cpu: Spread;
  /** For each frame that came back: processor time in microseconds, and how often these happened. */
  cost: Spread;
  interrupts: Spread;
  receives: Spread;
  switches: Spread;
  /** The same of ring3's system call, and of those of them that slept; null where it is not ring3's driver. */
  waits: Spread | null;
  wakeups: Spread | null;
}

/** One load. */
export interface Point<Name extends string> {
  /** Frames a second. */
  offered: number;
  sides: Readonly<Record<Name, Side>>;
}

/** What came of all loads. */
export interface Loaded<Name extends string> {
  /** Processors that were busy without any load. */
  idle: Readonly<Record<Name, Spread>>;
  points: Point<Name>[];
}

/** Which loads. */
export interface LoadsOptions {
  /** Frames a second, ascending. */
  loads: readonly number[];
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
export interface Turn {
  idle: Activity;
  measured: Measured[];
}

/** What does not change from load to load. */
export type Target = Omit<LoadOptions, "rate" | "warm" | "measured" | "begin" | "end">;

/** A lab whose card can be loaded. */
export interface LoadedLab {
  lab: Lab;
  wire: Pick<Target, "program" | "sockets" | "from" | "to">;
}

/** Boots a lab with one card, at the other end of whose wire there are loads. @param cleaning Ends it. */
export async function startLoadedLab(
  options: LabOptions & Pick<BootOptions, "packages">,
  cleaning: AsyncDisposableStack,
): Promise<LoadedLab> {
  await buildBench();
  const program = `${await buildOutside()}/load`;
  const { path } = cleaning.use(await temporaryFolder(options.signal));
  const sockets = wireSockets(path);
  const hardware = { ...options.hardware, nic: ["e1000" as const], disk: [], sockets: { 0: sockets } };
  const lab = cleaning.use(await startLab({ ...options, hardware }));
  await keepQuiet(lab);
  const { host: from, guest: to } = nicNetwork(0);
  return { lab, wire: { program, sockets, from, to } };
}

/**
 * Has a driver bear the loads. It is loaded for a while first: a driver is compiled while it runs, the more the more
 * often.
 * @throws {UserError} if the load does not run.
 */
export async function bearLoads(
  lab: Lab,
  { mac, irq, run }: DrivenCard,
  { loads, measured, warm, ...rest }: LoadsOptions & { target: Omit<Target, "mac"> },
): Promise<Turn> {
  await using sampler = new Sampler(lab, irq);
  const target = { ...rest.target, mac };
  await putLoad({ ...target, rate: WARM_RATE, warm: 0, measured: warm });
  await pause(REST_MS);
  const before = await sampler.take();
  await pause(measured);
  const idle = activityBetween(before, await sampler.take());
  const results: Measured[] = [];
  for (const rate of loads) {
    results.push(await bearLoad({ run, sampler }, { ...target, rate, warm: SETTLE_MS, measured }));
  }
  return { idle, measured: results };
}

async function bearLoad(
  { run, sampler }: Pick<DrivenCard, "run"> & { sampler: Sampler },
  load: LoadOptions,
): Promise<Measured> {
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

/** All turns of all drivers, load by load. */
export function loadedOf<Name extends string>(
  turns: Readonly<Record<Name, readonly Turn[]>>,
  loads: readonly number[],
): Loaded<Name> {
  const each = <T>(value: (turns: readonly Turn[]) => T) =>
    Object.fromEntries(namesOf(turns).map((name) => [name, value(turns[name])])) as Record<Name, T>;
  return {
    idle: each((turns) => spreadOf(turns.map(({ idle }) => idle.busy))),
    points: loads.map((offered, index) => ({
      offered,
      sides: each((turns) => sideOf(turns.map(({ measured }) => measured[index]))),
    })),
  };
}

/** A line for each driver that sent something back that was not as it should be. */
export function wrongAnswers<Name extends string>(
  turns: Readonly<Record<Name, readonly Turn[]>>,
  { owners, unit }: Wording<Name>,
): string[] {
  return namesOf(turns).flatMap((name) => {
    const wrong = turns[name].flatMap(({ measured }) => measured).reduce(
      (sum, { load }) => sum + load.wrong,
      0,
    );
    return wrong > 0 ? [`${owners[name]}: ${wrong} ${unit}s came back that were not as sent`] : [];
  });
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

function namesOf<Name extends string>(record: Readonly<Record<Name, unknown>>): Name[] {
  return Object.keys(record) as Name[];
}

/** The load at which a driver sent most back. */
export function peakOf<Name extends string>(points: readonly Point<Name>[], name: Name): Point<Name> {
  const rate = ({ sides }: Point<Name>) => sides[name].rate.median;
  return points.reduce((best, point) => rate(point) > rate(best) ? point : best);
}

/** What a driver sent back at its peak as a share of what another did at its own. */
export function peakRatio<Name extends string>(
  points: readonly Point<Name>[],
  [of, to]: [Name, Name],
): number {
  const peak = (name: Name) => peakOf(points, name).sides[name].rate.median;
  return peak(of) / peak(to);
}

/** How loads are told of. */
export interface Wording<Name extends string> {
  /** The drivers, as a line or a chart tells of them. */
  owners: Readonly<Record<Name, string>>;
  /** What a load consists of: `datagram`. */
  unit: string;
}

/**
 * The peaks and tables of Markdown, a line each: medians, for the rates with what they lie between, and those of the
 * last driver beside each of the others'.
 */
export function formatLoads<Name extends string>(
  { points, idle }: Loaded<Name>,
  { unit }: Pick<Wording<Name>, "unit">,
): string[] {
  const names = namesOf(idle);
  const text = (value: Spread | null, digits: number, factor = 1) =>
    value ? (value.median * factor).toFixed(digits) : "";
  const table = (head: readonly string[], row: (point: Point<Name>) => string[]) =>
    formatTable(["offered/s", ...head], points.map((point) => [`${point.offered}`, ...row(point)]));
  const all = ({ sides }: Point<Name>, cells: (side: Side) => string[]) =>
    interleave(names.map((name) => cells(sides[name])));
  const heads = (...cells: string[]) => headsOf(cells, names);
  const own = names.filter((name) => points.some(({ sides }) => sides[name].waits));
  const [last, others] = [names[names.length - 1], names.slice(0, -1)];
  const ratio = ({ sides }: Point<Name>, other: Name) => sides[last].rate.median / sides[other].rate.median;
  return [
    summary(points, names),
    `Processors busy without load: ${names.map((name) => `${name} ${text(idle[name], 3)}`).join(", ")}.`,
    "",
    `Of the ${unit}s, those that came back a second, the share that did not, and the share that the card had no ` +
    "room for",
    "",
    table(
      [...names, ...others.map((other) => `${last}/${other}`), ...heads("lost %", "missed %")],
      (point) => [
        ...names.map((name) => rangeText(point.sides[name].rate)),
        ...others.map((other) => ratio(point, other).toFixed(2)),
        ...all(point, ({ loss, missed }) => [text(loss, 1, 100), text(missed, 1, 100)]),
      ],
    ),
    "",
    "Round trips, ms",
    "",
    table(
      heads("p50", "p99", "p99.9"),
      (point) => all(point, ({ p50, p99, p999 }) => [p50, p99, p999].map((value) => text(value, 2, 1e-3))),
    ),
    "",
    `Processors busy, and for each ${unit} that came back: their time in µs, interrupts, runs of the receive ` +
    "softirq, switches of context; ring3's WAIT calls, and those that slept",
    "",
    table(
      [
        ...heads("busy", "µs", "interrupts", "softirqs", "switches"),
        ...own.flatMap(() => ["WAITs", "slept"]),
      ],
      (point) => [
        ...all(point, ({ cpu, cost, interrupts, receives, switches }) => [
          text(cpu, 2),
          text(cost, 1),
          ...[interrupts, receives, switches].map((value) => text(value, 2)),
        ]),
        ...own.flatMap((name) => [text(point.sides[name].waits, 2), text(point.sides[name].wakeups, 2)]),
      ],
    ),
  ];
}

/** The peaks, the last one's as a share of the others', and what is left of each at the highest load. */
function summary<Name extends string>(points: readonly Point<Name>[], names: readonly Name[]): string {
  const highest = points[points.length - 1];
  const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
  const peaks = names.map((name) => {
    const { offered, sides } = peakOf(points, name);
    return { name, offered, rate: sides[name].rate.median };
  });
  const last = names[names.length - 1];
  const shares = names.slice(0, -1).map((name) => `${percent(peakRatio(points, [last, name]))} of ${name}`);
  return `Peak: ${
    peaks.map(({ name, offered, rate }) => `${name} ${rate.toFixed(0)}/s at ${offered}/s offered`).join(", ")
  }${shares.length > 0 ? ` (${shares.join(", ")})` : ""}. At ${highest.offered}/s: ${
    peaks.map(({ name, rate }) => `${name} ${percent(highest.sides[name].rate.median / rate)} of its peak`)
      .join(", ")
  }.`;
}

/** What came back over what was offered, of all. */
export function plotLoads<Name extends string>(
  { points, idle }: Loaded<Name>,
  { owners, unit, title, subtitle }: Wording<Name> & { title: string; subtitle: string },
): string {
  return drawChart({
    title,
    subtitle,
    x: { label: `offered, thousand ${unit}s/s`, domain: [0, 0] },
    y: { label: `came back, thousand ${unit}s/s`, domain: [0, 0] },
    series: namesOf(idle).map((name) => ({
      name: owners[name],
      points: points.map(({ sides }) => sides[name]).map(({ offered, rate }) =>
        [offered.median / 1000, rate.median / 1000] as const
      ).toSorted(([a], [b]) => a - b),
    })),
  });
}
