/**
 * How long an interrupt takes to the first line of TypeScript in a driver, beside a driver in C that blocks in the
 * same module, in WAIT or in read() of the IRQ file: in one boot, on two devices of one kind, in turn.
 */
import { z } from "zod";
import { buildBench } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import { eduAddress, type Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { drawChart, empirical } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { DriverRun } from "../src/soak/driver_run.ts";
import { giveToModule, sh } from "../src/soak/lab.ts";
import { keepQuiet } from "../src/soak/wire.ts";
import { quantile } from "../src/statistics.ts";
import { INTERRUPT_CPU } from "./card.ts";
import { compared, type Comparison, endRun, machineText, roundsText, takeTurnsOf } from "./compare.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";

/** Programs in the guest: a driver in C, and what raises interrupts and takes the times. */
const WAIT = `${CHECKOUT}/build/bench/wait`;
const RAISE = `${CHECKOUT}/build/bench/raise`;

/** ring3's driver. */
const MANIFEST = `${CHECKOUT}/bench/drivers/edu.json`;

/** Its device, and that of the driver in C. */
const OURS = eduAddress(0);
const THEIRS = eduAddress(1);

/** An address for the interface of ring3's driver: without one its supervisor keeps looking for it. */
const ADDRESS = "10.9.0.1/24";

/** Milliseconds between two lots of garbage. */
const GARBAGE_MS = 10;

/** Who is woken: C in WAIT and in read() of the IRQ file, ring3's driver, and that while it makes garbage as well. */
export const SIDES = {
  wait: "C in WAIT",
  read: "C in read()",
  ring3: "ring3",
  garbage: "ring3 with garbage",
} as const;

/** One of them. */
export type SideName = keyof typeof SIDES;

const SIDE_NAMES = Object.keys(SIDES) as SideName[];

/** What is told of a distribution: the longest of so many. */
export const PLACES = { p50: 0.5, p90: 0.9, p99: 0.99, p999: 0.999, p9999: 0.9999, max: 1 } as const;

/** One of them. */
export type Place = keyof typeof PLACES;

const PLACE_NAMES = Object.keys(PLACES) as Place[];

/** Whose times ring3's are compared with, where, and how many times as long they may be. */
const BASELINE: SideName = "read";
const GOAL = { place: "p999", ratio: 2 } as const;

/** What `raise` says; the head of `bench/inside/raise.c` tells what each figure means. */
const turnSchema = z.object({
  ns: z.array(z.number()).min(1),
  busy: z.array(z.number()),
  seconds: z.number().positive(),
  cpu_ns: z.number(),
  main_ns: z.number(),
  waited_ns: z.number(),
  switches: z.number(),
  lots: z.number(),
  took_us: z.number(),
  longest_us: z.number(),
});

/** What was measured in one turn. */
export type Turn = z.infer<typeof turnSchema>;

/** What one side did. */
export interface Side {
  /** From the interrupt to the answer, microseconds: with their spread over the rounds, and of all rounds together. */
  times: Record<Place, Spread>;
  all: Record<Place, number>;
  /** How many times as long as C's in read() in the same round. */
  ratio: Record<Place, Spread>;
  /** For each interrupt: what all threads of the process ran, and its first, and how long that could and did not; µs. */
  cpu: Spread;
  main: Spread;
  waited: Spread;
  /** For each interrupt: how often the first thread slept. */
  sleeps: Spread;
  /** Share of the interrupts, 0 to 1, that took longer than so many microseconds, in some hundred points. */
  tail: [us: number, share: number][];
}

/** What the garbage has done. */
export interface Garbage {
  /** Milliseconds between two lots. */
  every: number;
  /** Lots, in all rounds; milliseconds that one took, and the longest; share of the time that they took, 0 to 1. */
  lots: number;
  mean: number;
  longest: number;
  share: number;
  /** Share of the interrupts that came during one, 0 to 1, and the times of all others, µs. */
  met: number;
  others: Record<Place, number>;
}

/** What was measured. */
export interface WakeupBench extends Comparison {
  bench: "wakeup";
  /** Of each side in each round. */
  interrupts: number;
  sides: Record<SideName, Side>;
  garbage: Garbage;
}

/** How to measure. */
export interface WakeupBenchOptions extends LabOptions {
  /** Times that all sides take their turn. */
  rounds: number;
  /** Interrupts of a turn, those before them that do not count, and those that ring3's driver has before its first. */
  interrupts: number;
  warm: number;
  first: number;
}

/** A driver that waits for interrupts. */
interface Waiting {
  pid: number;
  device: string;
}

/**
 * Boots a lab with two devices that interrupt when told to, and has each side be woken by one in turn.
 * @throws {UserError} if the lab has one processor, or it or a driver does not come up, or one does not answer.
 */
export async function benchWakeup(options: WakeupBenchOptions): Promise<WakeupBench> {
  const { interrupts, warm, first, hardware, progress } = options;
  if (hardware.smp < 2) {
    throw new UserError(
      "Cannot measure on one processor: who raises interrupts needs another one; add --smp 2",
    );
  }
  await buildBench();
  await using lab = await startLab({ ...options, hardware: { ...hardware, nic: [], disk: [], edu: 2 } });
  await keepQuiet(lab);
  await giveToModule(lab, [THEIRS]);
  const run = DriverRun.start(lab, [MANIFEST, "--device", OURS, "--no-dhcp"]);
  await using _ = run;
  const { interface: name } = await run.next("interface");
  await sh(lab, `ip address add ${ADDRESS} dev ${name}`);
  const ring3 = { pid: (await run.next("starting")).pid, device: OURS };
  await run.next("ready");
  await place(lab, ring3);
  progress("warming ring3's driver up");
  for (const garbage of [GARBAGE_MS, 0]) await raise(lab, ring3, { warm: first, interrupts: 1, garbage });
  const turn = async (side: SideName) => {
    const load = { warm, interrupts, garbage: side === "garbage" ? GARBAGE_MS : 0 };
    if (side === "ring3" || side === "garbage") {
      return { result: await raise(lab, ring3, load), problems: [] };
    }
    await using c = await startC(lab, side);
    return { result: await raise(lab, c, load), problems: [] };
  };
  const { result: turns } = await takeTurnsOf(SIDES, turn, options);
  const problems = await endRun(lab, run);
  return {
    bench: "wakeup",
    ...compared(lab, { rounds: options.rounds, problems }),
    interrupts,
    ...summarize(turns),
  };
}

/** Starts the driver in C. Dispose of it to end it. @throws {UserError} if it does not come up. */
async function startC(lab: Lab, how: "wait" | "read"): Promise<Waiting & AsyncDisposable> {
  const child = lab.spawn([WAIT, THEIRS, how], { stdin: "null", stdout: "piped", stderr: "inherit" });
  const said = lines(child.stdout);
  const { value } = await said.next();
  const [, pid] = /^ready (\d+)$/.exec(value ?? "") ?? [];
  if (pid === undefined) throw new UserError("The driver in C does not start in the lab");
  const waiting = { pid: Number(pid), device: THEIRS };
  await place(lab, waiting);
  return {
    ...waiting,
    async [Symbol.asyncDispose]() {
      // Where it cannot be ended, the lab has gone and took it along.
      await lab.exec(["kill", pid]).catch(() => {});
      await child.status;
      await said.return(undefined);
    },
  };
}

/** The last processor: nothing of a driver runs there. */
function raisingCpu({ hardware }: Lab): number {
  return hardware.smp - 1;
}

/** Puts a driver and its interrupt on their processor, and all else that its process runs on any but the raiser's. */
async function place(lab: Lab, { pid, device }: Waiting): Promise<void> {
  await sh(
    lab,
    `taskset -a -c -p 0-${raisingCpu(lab) - 1} ${pid}; taskset -c -p ${INTERRUPT_CPU} ${pid}
     for irq in /sys/bus/pci/devices/${device}/msi_irqs/*; do
       echo ${INTERRUPT_CPU} > /proc/irq/\${irq##*/}/smp_affinity_list
     done`,
  );
}

async function raise(
  lab: Lab,
  { pid }: Waiting,
  { warm, interrupts, garbage }: { warm: number; interrupts: number; garbage: number },
): Promise<Turn> {
  const text = await sh(lab, `${RAISE} ${pid} ${raisingCpu(lab)} ${warm} ${interrupts} ${garbage}`);
  return turnSchema.parse(JSON.parse(text));
}

/** All that is told of the turns. */
export function summarize(
  turns: Record<SideName, readonly Turn[]>,
): Pick<WakeupBench, "sides" | "garbage"> {
  const places = Object.fromEntries(
    SIDE_NAMES.map((side) => [side, turns[side].map(({ ns }) => placesOf(ns))]),
  ) as Record<SideName, Record<Place, number>[]>;
  const sides = Object.fromEntries(
    SIDE_NAMES.map((side) => [side, sideOf(turns[side], places[side], places[BASELINE])]),
  ) as Record<SideName, Side>;
  return { sides, garbage: garbageOf(turns.garbage) };
}

/** Microseconds at each place of some times in nanoseconds. */
function placesOf(ns: readonly number[]): Record<Place, number> {
  const sorted = ns.toSorted((a, b) => a - b);
  return each((place) => quantile(sorted, PLACES[place]) / 1000);
}

function each<T>(value: (place: Place) => T): Record<Place, T> {
  return Object.fromEntries(PLACE_NAMES.map((place) => [place, value(place)])) as Record<Place, T>;
}

function sideOf(
  turns: readonly Turn[],
  rounds: readonly Record<Place, number>[],
  baseline: readonly Record<Place, number>[],
): Side {
  const ns = turns.flatMap((turn) => turn.ns);
  const perInterrupt = (value: (turn: Turn) => number) =>
    spreadOf(turns.map((turn) => value(turn) / turn.ns.length));
  return {
    times: each((place) => spreadOf(rounds.map((round) => round[place]))),
    all: placesOf(ns),
    ratio: each((place) => spreadOf(rounds.map((round, index) => round[place] / baseline[index][place]))),
    cpu: perInterrupt(({ cpu_ns }) => cpu_ns / 1000),
    main: perInterrupt(({ main_ns }) => main_ns / 1000),
    waited: perInterrupt(({ waited_ns }) => waited_ns / 1000),
    sleeps: perInterrupt(({ switches }) => switches),
    tail: tailOf(ns),
  };
}

/** Least ratio of two neighbouring shares of a tail: nobody sees a finer one. */
const FINE = 1.02;

/** What share of some times in nanoseconds is longer than so many microseconds, down to one of all. */
function tailOf(ns: readonly number[]): [us: number, share: number][] {
  const tail: [number, number][] = [];
  for (const [value, percent] of empirical(ns)) {
    // The count, as differences of percentages are not exact.
    const longer = Math.round(ns.length * (1 - percent / 100));
    const last = tail.at(-1);
    if (longer > 0 && (!last || last[1] * ns.length >= longer * FINE)) {
      tail.push([value / 1000, longer / ns.length]);
    }
  }
  return tail;
}

function garbageOf(turns: readonly Turn[]): Garbage {
  const sum = (value: (turn: Turn) => number) => turns.reduce((all, turn) => all + value(turn), 0);
  const others = turns.flatMap(({ ns, busy }) => {
    const met = new Set(busy);
    return ns.filter((_, index) => !met.has(index));
  });
  const lots = sum((turn) => turn.lots);
  const took = sum((turn) => turn.took_us);
  return {
    every: GARBAGE_MS,
    lots,
    mean: took / lots / 1000,
    longest: Math.max(...turns.map((turn) => turn.longest_us)) / 1000,
    share: took / 1e6 / sum((turn) => turn.seconds),
    met: sum((turn) => turn.busy.length) / sum((turn) => turn.ns.length),
    others: placesOf(others),
  };
}

const PLACE_TEXT: Record<Place, string> = {
  p50: "p50",
  p90: "p90",
  p99: "p99",
  p999: "p99.9",
  p9999: "p99.99",
  max: "longest",
};

/** The figures as tables of Markdown: medians of the rounds with what they lie between. */
export function formatWakeupBench(result: WakeupBench): string {
  const { rounds, interrupts, sides, garbage, problems } = result;
  const columns = SIDE_NAMES.map((side) => SIDES[side]);
  const perInterrupt = [
    ["the driver's thread ran, µs", "main", 1],
    ["it could run and did not, µs", "waited", 1],
    ["all threads ran, µs", "cpu", 1],
    ["the driver's thread slept", "sleeps", 2],
  ] as const;
  return [
    `From an interrupt to the driver's first line on ${machineText(result)}: ${
      roundsText(result)
    } in one boot, ` +
    `${interrupts.toLocaleString("en-US")} interrupts each`,
    "",
    ...(["ring3", "garbage"] as const).map((side) => goal(side, sides[side])),
    "",
    `Times, µs, and how many times C's in read() in the same round`,
    "",
    formatTable(
      ["", ...columns, "ring3 / C", "with garbage / C"],
      // A round has too few for more.
      PLACE_NAMES.filter((place) => place !== "p9999").map((place) => [
        PLACE_TEXT[place],
        ...SIDE_NAMES.map((side) => rangeText(sides[side].times[place], 0)),
        ...(["ring3", "garbage"] as const).map((side) => rangeText(sides[side].ratio[place], 2)),
      ]),
    ),
    "",
    `Times of all rounds together, µs: ${
      (rounds * interrupts).toLocaleString("en-US")
    } interrupts each; the last ` +
    "column is of those that did not come while garbage was made",
    "",
    formatTable(
      ["", ...columns, "garbage, others"],
      PLACE_NAMES.map((place) => [
        PLACE_TEXT[place],
        ...SIDE_NAMES.map((side) => sides[side].all[place].toFixed(0)),
        garbage.others[place].toFixed(0),
      ]),
    ),
    "",
    `Garbage: ${garbage.lots} lots, one every ${garbage.every} ms; one took ${
      garbage.mean.toFixed(2)
    } ms, the ` +
    `longest ${garbage.longest.toFixed(1)} ms, all of them ${
      (100 * garbage.share).toFixed(1)
    } % of the time. ` +
    `${(100 * garbage.met).toFixed(2)} % of the interrupts came during one.`,
    "",
    "For each interrupt",
    "",
    formatTable(
      ["", ...columns],
      perInterrupt.map(([what, key, digits]) => [
        what,
        ...SIDE_NAMES.map((side) => rangeText(sides[side][key], digits)),
      ]),
    ),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** What became of the goal. */
function goal(name: SideName, { ratio }: Side): string {
  const { median } = ratio[GOAL.place];
  const verdict = median <= GOAL.ratio ? "within" : "above";
  return `${SIDES[name]}: ${PLACE_TEXT[GOAL.place]} is ${
    median.toFixed(2)
  } times C's, ${verdict} the goal of ` +
    `${GOAL.ratio}.`;
}

/** What share of the interrupts took longer, over how long. */
export function plotWakeupBench({ kernel, accelerator, sides, rounds, interrupts }: WakeupBench): string {
  return drawChart({
    title: "From an interrupt to the driver's first line",
    subtitle: `Linux ${kernel}, ${accelerator}; ${
      (rounds * interrupts).toLocaleString("en-US")
    } interrupts each`,
    x: { label: "time, µs", scale: "log" },
    y: {
      label: "took longer, %",
      scale: "log",
      format: (percent) => `${percent}`,
    },
    series: SIDE_NAMES.map((side) => ({
      name: SIDES[side],
      points: sides[side].tail.map(([us, share]) => [us, 100 * share] as const),
      draw: "step",
    })),
  });
}
