/**
 * Guest instructions for each datagram that is echoed: the kernel's e1000 and ring3's driver in turn, in one boot
 * of one emulated processor, and where these instructions are.
 */
import { buildBench, buildPlugin } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import { escape, type Lab, nicNetwork } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { sh } from "../src/soak/lab.ts";
import { DEVICE, keepQuiet } from "../src/soak/wire.ts";
import { AddressMap, type Area, AREAS } from "./areas.ts";
import { BURST_MAC, BurstSender, type Echoes } from "./bursts.ts";
import { type Card, startAnswering, takeCard } from "./card.ts";
import {
  compared,
  type Comparison,
  type DriverName,
  DRIVERS,
  machineText,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { type Block, takeMoment } from "./counts.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "./table.ts";

/** The program that answers, in the guest: `bench/inside/echo.c`. */
const ECHO = `${CHECKOUT}/build/bench/echo`;
const ECHO_PORT = 7;

/** Bytes of a datagram's payload. */
const SIZE = 1024;

/** Before and after a stretch the guest comes to rest, milliseconds. */
const REST_MS = 50;

/** Functions that are listed. */
const LISTED = 40;

/** Functions whose calls are told of: switches, interrupts, polls, and ring3's call. */
const CALLS = [
  "finish_task_switch.isra.0",
  "common_interrupt",
  "napi_complete_done",
  "try_to_wake_up",
  "hrtimer_start_range_ns",
  "__x64_sys_clock_gettime",
  "e1000_intr [e1000]",
  "r3_irq_handler [ring3]",
  "r3_grant_ioctl [ring3]",
  "r3_net_poll [ring3]",
] as const;

/** Datagrams in each burst. */
export const BURSTS: readonly number[] = [1, 8, 32];

/** Instructions for each datagram, of one driver at one size of burst; spreads over the stretches. */
export interface Side {
  user: Spread;
  kernel: Spread;
  total: Spread;
  /** Of the total, rounds of string instructions but the first of each: one instruction to a real processor. */
  repeats: Spread;
  /** Where they are: means of the stretches between the quartiles of the total, as all that follows. */
  areas: Record<Area, number>;
  /** Functions of the kernel and files of processes with one of them or more. */
  functions: Record<string, number>;
  /** Calls of the kernel's functions, where there is one for a hundred datagrams or more. */
  calls: Record<string, number>;
}

/** One size of burst. */
export interface Point {
  burst: number;
  kernel: Side;
  ring3: Side;
}

/** What was measured. */
export interface CostBench extends Comparison {
  bench: "cost";
  /** Datagrams of one stretch, and stretches of one turn. */
  datagrams: number;
  stretches: number;
  /** Instructions a second without traffic. */
  idle: Record<DriverName, Spread>;
  points: Point[];
}

/** How to measure. */
export interface CostBenchOptions extends LabOptions {
  /** Times that both drivers take their turn. */
  rounds: number;
  /** Datagrams of one stretch, and of what goes before the first one. */
  datagrams: number;
  warm: number;
  /** Stretches at each size of burst in one turn. */
  stretches: number;
  /** Time without traffic, milliseconds. */
  idle: number;
}

/** A stretch of bursts of one size. */
interface Stretch {
  echoed: number;
  blocks: Block[];
}

/** One turn of a driver. */
interface Turn {
  /** Instructions a second. */
  idle: number;
  stretches: Map<number, Stretch[]>;
  map: AddressMap;
}

/**
 * Boots a lab of one processor and has both drivers echo in turn.
 * @throws {UserError} if the lab or a driver does not come up, or too little comes back.
 */
export async function benchCost(options: CostBenchOptions): Promise<CostBench> {
  const { hardware, datagrams, stretches } = options;
  await buildBench();
  const plugin = `${await buildPlugin()}/cost.so`;
  await using cleaning = new AsyncDisposableStack();
  const directory = await Deno.makeTempDir();
  cleaning.defer(() => Deno.remove(directory, { recursive: true }));
  const sockets = { card: `${directory}/card`, outside: `${directory}/outside` };
  const counts = `${directory}/counts`;
  const lab = cleaning.use(
    await startLab({
      ...options,
      hardware: {
        ...hardware,
        nic: ["e1000"],
        disk: [],
        smp: 1,
        sockets: { 0: sockets },
        plugin: `${escape(plugin)},counts=${escape(counts)}`,
      },
    }),
  );
  await keepQuiet(lab);
  await startAnswering(lab, [ECHO, `${ECHO_PORT}`]);
  const { host: from, guest: to } = nicNetwork(0);
  const use = async (card: Card) => {
    await using sender = new BurstSender({ sockets, mac: card.mac, from, to, port: ECHO_PORT, size: SIZE });
    return await measureTurn({ lab, card, sender, counts }, options);
  };
  const taking = { device: DEVICE, address: to, neighbours: { [from]: BURST_MAC }, use };
  const { result: turns, problems } = await takeTurns(options, (driver) => takeCard(lab, driver, taking));
  const idle = (driver: DriverName) => spreadOf(turns[driver].map(({ idle }) => idle));
  return {
    bench: "cost",
    ...compared(lab, { rounds: options.rounds, problems }),
    datagrams,
    stretches,
    idle: { kernel: idle("kernel"), ring3: idle("ring3") },
    points: BURSTS.map((burst) => ({
      burst,
      kernel: sideOf(turns.kernel, burst),
      ring3: sideOf(turns.ring3, burst),
    })),
  };
}

interface Measuring {
  lab: Lab;
  card: Card;
  sender: BurstSender;
  /** File of the counters. */
  counts: string;
}

async function measureTurn(
  { lab, card, sender, counts }: Measuring,
  { datagrams, warm, stretches, idle }: CostBenchOptions,
): Promise<Turn> {
  // A driver is compiled while it runs, the more the more often.
  for (const burst of BURSTS) check(await sender.send({ burst, datagrams: warm }));
  const measured = new Map<number, Stretch[]>(BURSTS.map((burst) => [burst, []]));
  {
    await using _ = await stopSupervisor(lab, card);
    for (let i = 0; i < stretches; i++) {
      for (const burst of BURSTS) {
        await rest(REST_MS);
        const before = await takeMoment(counts);
        const { echoed } = check(await sender.send({ burst, datagrams }));
        await rest(REST_MS);
        measured.get(burst)!.push({ echoed, blocks: (await takeMoment(counts)).since(before) });
      }
    }
  }
  const [before, start] = [await takeMoment(counts), performance.now()];
  await rest(idle);
  const executed = total((await takeMoment(counts)).since(before));
  const seconds = (performance.now() - start) / 1000;
  return { idle: executed / seconds, stretches: measured, map: await readMap(lab, card) };
}

/** Stops what does its work by time and not for traffic, until disposed. */
async function stopSupervisor(lab: Lab, { run }: Card): Promise<AsyncDisposable> {
  const pids = run ? [await run.supervisor(), run.last("spare")?.pid] : [];
  const signal = async (name: string) => {
    if (pids.length > 0) await sh(lab, `kill -${name} ${pids.filter((pid) => pid !== undefined).join(" ")}`);
  };
  await signal("STOP");
  return { [Symbol.asyncDispose]: () => signal("CONT") };
}

/** @throws {UserError} if so many datagrams were lost that the figures would be of something else. */
function check(echoes: Echoes): Echoes {
  const { echoed, lost, wrong } = echoes;
  if (wrong > 0) throw new UserError(`${wrong} datagrams came back that were not as sent`);
  if (lost * 100 > echoed) throw new UserError(`${lost} of ${echoed + lost} datagrams did not come back`);
  return echoes;
}

async function rest(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

function total(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { instructions }) => sum + instructions, 0);
}

async function readMap(lab: Lab, { run }: Card): Promise<AddressMap> {
  const maps = async (...pids: (number | undefined)[]) => {
    const files = pids.flatMap((pid) => pid === undefined ? [] : [`/proc/${pid}/maps`]);
    return files.length === 0 ? "" : await sh(lab, `cat ${files.join(" ")}`);
  };
  const echo = Number(await sh(lab, "busybox pidof echo"));
  return new AddressMap(await sh(lab, "cat /proc/kallsyms"), {
    driver: await maps(run?.last("starting")?.pid),
    served: await maps(echo),
    supervisor: await maps(run && await run.supervisor(), run?.last("spare")?.pid),
  });
}

function sideOf(turns: readonly Turn[], burst: number): Side {
  const stretches = turns.flatMap(({ map, stretches }) =>
    stretches.get(burst)!.map((stretch) => ({
      ...stretch,
      map,
      each: total(stretch.blocks) / stretch.echoed,
    }))
  );
  const spread = (count: (block: Block) => number) =>
    spreadOf(
      stretches.map(({ blocks, echoed }) => blocks.reduce((sum, one) => sum + count(one), 0) / echoed),
    );
  const areas = Object.fromEntries(AREAS.map((area) => [area, 0])) as Record<Area, number>;
  const functions = new Map<string, number>();
  const calls = new Map<string, number>();
  const middle = middleHalf(stretches);
  const echoed = middle.reduce((sum, { echoed }) => sum + echoed, 0);
  for (const { map, blocks } of middle) {
    for (const { address, instructions, executions } of blocks) {
      const { area, name, begins } = map.placeOf(address);
      if (begins) calls.set(name, (calls.get(name) ?? 0) + executions / echoed);
      areas[area] += instructions / echoed;
      functions.set(name, (functions.get(name) ?? 0) + instructions / echoed);
    }
  }
  const inKernel = ({ address }: Block) => address >= 1n << 63n;
  return {
    user: spread((block) => inKernel(block) ? 0 : block.instructions),
    kernel: spread((block) => inKernel(block) ? block.instructions : 0),
    total: spread(({ instructions }) => instructions),
    repeats: spread(({ repeats }) => repeats),
    areas,
    functions: largest(functions, 1),
    calls: largest(calls, 0.01),
  };
}

/** Those between the quartiles of what each echo took: means of them are what medians are of all. */
function middleHalf<T extends { each: number }>(stretches: readonly T[]): T[] {
  const sorted = stretches.toSorted((a, b) => a.each - b.each);
  const outer = Math.floor(sorted.length / 4);
  return sorted.slice(outer, sorted.length - outer);
}

/** Those of at least so much, the largest first. */
function largest(values: ReadonlyMap<string, number>, least: number): Record<string, number> {
  return Object.fromEntries([...values].filter(([, value]) => value >= least).sort(([, a], [, b]) => b - a));
}

/** The figures as tables of Markdown: medians, and what ring3 takes more than the kernel's driver. */
export function formatCostBench(result: CostBench): string {
  const { stretches, datagrams, points, idle, problems } = result;
  const count = (value: number) => value.toFixed(0);
  const totals = points.map((point) => [
    count(point.burst),
    ...DRIVERS.flatMap((driver) => {
      const { user, kernel, total } = point[driver];
      return [count(user.median), count(kernel.median), rangeText(total)];
    }),
    (point.ring3.total.median / point.kernel.total.median).toFixed(3),
    (counted(point.ring3) / counted(point.kernel)).toFixed(3),
  ]);
  return [
    `Guest instructions for each echo of ${SIZE} bytes on ${machineText(result)}: ${roundsText(result)} of ` +
    `${stretches} stretches of ${datagrams} datagrams each, in one boot`,
    "",
    formatTable([
      "burst",
      "kernel: user",
      "kernel",
      "total",
      "ring3: user",
      "kernel",
      "total",
      "ratio",
      "ratio, each string instruction once",
    ], totals),
    "",
    `Without traffic, instructions a second: kernel ${rangeText(idle.kernel)}, ring3 ${
      rangeText(idle.ring3)
    }.`,
    "",
    "Where they are, means of the middle half of all stretches",
    "",
    compare(points, AREAS, (side, area) => side.areas[area]),
    "",
    "Calls, of the same",
    "",
    compare(points, CALLS, (side, name) => side.calls[name] ?? 0, 2),
    "",
    `The ${LISTED} functions of the kernel and files of processes in which both differ most, of the same`,
    "",
    compare(points, mostDifferent(points), (side, name) => side.functions[name] ?? 0),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** Instructions with each string instruction once, however often it repeats. */
function counted({ total, repeats }: Side): number {
  return total.median - repeats.median;
}

function compare<Name extends string>(
  points: readonly Point[],
  names: readonly Name[],
  value: (side: Side, name: Name) => number,
  digits = 0,
): string {
  const rows = names.map((name) => [
    name,
    ...points.flatMap(({ kernel, ring3 }) => {
      const [left, right] = [value(kernel, name), value(ring3, name)];
      return [left, right, right - left].map((number) => number.toFixed(digits));
    }),
  ]);
  const head = points.flatMap(({ burst }) => [`kernel, ${burst}`, `ring3, ${burst}`, "more"]);
  return formatTable(["", ...head], rows);
}

function mostDifferent(points: readonly Point[]): string[] {
  const names = new Set(
    points.flatMap(({ kernel, ring3 }) => [kernel, ring3]).flatMap(({ functions }) => Object.keys(functions)),
  );
  const difference = (name: string) =>
    Math.max(
      ...points.map(({ kernel, ring3 }) =>
        Math.abs((ring3.functions[name] ?? 0) - (kernel.functions[name] ?? 0))
      ),
    );
  return [...names].sort((a, b) => difference(b) - difference(a)).slice(0, LISTED);
}

/** Instructions over the size of a burst, of both. */
export function plotCostBench(result: CostBench): string {
  const series = (name: string, driver: DriverName) => ({
    name,
    points: result.points.map((point) => [point.burst, point[driver].total.median / 1000] as const),
  });
  return drawChart({
    title: `Guest instructions for each UDP echo, ${SIZE} bytes`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
    x: { label: "datagrams in a burst", scale: "log" },
    y: { label: "thousand instructions", domain: [0, 0] },
    series: [series("kernel's driver", "kernel"), series("ring3", "ring3")],
  });
}
