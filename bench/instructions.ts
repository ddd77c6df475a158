/** Guest instructions of a driver at work, and where they are: `bench/plugin/cost.c`, in a lab of one processor. */
import { buildPlugin } from "../src/build.ts";
import { escape, type Hardware, type Lab } from "../src/lab/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import type { DriverRun } from "../src/soak/driver_run.ts";
import { sh } from "../src/soak/lab.ts";
import { AddressMap, type Area, AREAS } from "./areas.ts";
import { type Block, takeMoment } from "./counts.ts";
import { type Spread, spreadOf } from "../src/table.ts";
import { pause } from "../src/pause.ts";

/** Before and after a stretch the guest comes to rest, milliseconds. */
const REST_MS = 50;

/** From when what was stopped goes on until it has caught up, milliseconds. */
const SETTLE_MS = 10_000;

/** Instructions for each, of one driver at one size; spreads over the stretches. */
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
  /** Calls of the kernel's functions, where there is one for a hundred or more. */
  calls: Record<string, number>;
}

/** What is counted: a driver, and a program that it serves. */
export interface Counted {
  lab: Lab;
  /** File of the counters. */
  counts: string;
  /** ring3's driver, if that is it. */
  run?: DriverRun;
  /** Name of the program in the lab. */
  program: string;
  sizes: readonly number[];
  /** Has the driver do so much at one size; how much it did. */
  work: (size: number, amount: number) => Promise<number>;
}

/** How it is counted. */
export interface CountingOptions {
  /** What is done in one stretch, and before the first one. */
  amount: number;
  warm: number;
  /** Stretches at each size in one turn. */
  stretches: number;
  /** Time without work, milliseconds. */
  idle: number;
}

/** A stretch of work at one size. */
interface Stretch {
  done: number;
  blocks: Block[];
}

/** One turn of a driver. */
export interface CountedTurn {
  /** Without work: `done` is seconds. */
  idle: Stretch;
  stretches: Map<number, Stretch[]>;
  map: AddressMap;
}

/** Boots a lab whose instructions are counted in a file. @param folder For that file. */
export async function startCountedLab(
  options: LabOptions,
  { folder, hardware }: { folder: string; hardware: Partial<Hardware> },
): Promise<{ lab: Lab; counts: string }> {
  const plugin = `${await buildPlugin()}/cost.so`;
  const counts = `${folder}/counts`;
  const lab = await startLab({
    ...options,
    hardware: {
      ...options.hardware,
      ...hardware,
      smp: 1,
      plugin: `${escape(plugin)},counts=${escape(counts)}`,
    },
  });
  return { lab, counts };
}

/** Counts one turn of a driver. */
export async function countTurn(
  counted: Counted,
  { amount, warm, stretches, idle }: CountingOptions,
): Promise<CountedTurn> {
  const { lab, counts, run, sizes, work } = counted;
  // A driver is compiled while it runs, the more the more often.
  for (const size of sizes) await work(size, warm);
  const measured = new Map<number, Stretch[]>(sizes.map((size) => [size, []]));
  {
    await using _ = await stopSupervisor(lab, run);
    for (let i = 0; i < stretches; i++) {
      for (const size of sizes) {
        await pause(REST_MS);
        const before = await takeMoment(counts);
        const done = await work(size, amount);
        await pause(REST_MS);
        measured.get(size)!.push({ done, blocks: (await takeMoment(counts)).since(before) });
      }
    }
  }
  await pause(SETTLE_MS);
  const [before, start] = [await takeMoment(counts), performance.now()];
  await pause(idle);
  const blocks = (await takeMoment(counts)).since(before);
  const seconds = (performance.now() - start) / 1000;
  return { idle: { done: seconds, blocks }, stretches: measured, map: await readMap(counted) };
}

/** Stops what does its work by time and not for traffic, until disposed. */
async function stopSupervisor(lab: Lab, run?: DriverRun): Promise<AsyncDisposable> {
  const pids = run ? [await run.supervisor(), run.last("spare")?.pid] : [];
  const signal = async (name: string) => {
    if (pids.length > 0) await sh(lab, `kill -${name} ${pids.filter((pid) => pid !== undefined).join(" ")}`);
  };
  await signal("STOP");
  return { [Symbol.asyncDispose]: () => signal("CONT") };
}

function total(blocks: readonly Block[]): number {
  return blocks.reduce((sum, { instructions }) => sum + instructions, 0);
}

async function readMap({ lab, run, program }: Counted): Promise<AddressMap> {
  const maps = async (...pids: (number | undefined)[]) => {
    const files = pids.flatMap((pid) => pid === undefined ? [] : [`/proc/${pid}/maps`]);
    return files.length === 0 ? "" : await sh(lab, `cat ${files.join(" ")}`);
  };
  const served = Number(await sh(lab, `busybox pidof ${program}`));
  return new AddressMap(await sh(lab, "cat /proc/kallsyms"), {
    driver: await maps(run?.last("starting")?.pid),
    served: await maps(served),
    supervisor: await maps(run && await run.supervisor(), run?.last("spare")?.pid),
  });
}

/** What the turns of a driver come to at one size. */
export function sideOf(turns: readonly CountedTurn[], size: number): Side {
  return sumUp(turns.flatMap(({ map, stretches }) => stretches.get(size)!.map((one) => ({ ...one, map }))));
}

/** What they come to in a second without work. */
export function idleOf(turns: readonly CountedTurn[]): Side {
  return sumUp(turns.map(({ map, idle }) => ({ ...idle, map })));
}

function sumUp(found: readonly (Stretch & { map: AddressMap })[]): Side {
  const stretches = found.map((stretch) => ({ ...stretch, each: total(stretch.blocks) / stretch.done }));
  const spread = (count: (block: Block) => number) =>
    spreadOf(
      stretches.map(({ blocks, done }) => blocks.reduce((sum, one) => sum + count(one), 0) / done),
    );
  const areas = Object.fromEntries(AREAS.map((area) => [area, 0])) as Record<Area, number>;
  const functions = new Map<string, number>();
  const calls = new Map<string, number>();
  const middle = middleHalf(stretches);
  const done = middle.reduce((sum, stretch) => sum + stretch.done, 0);
  for (const { map, blocks } of middle) {
    for (const { address, instructions, executions } of blocks) {
      const { area, name, begins } = map.placeOf(address);
      if (begins) calls.set(name, (calls.get(name) ?? 0) + executions / done);
      areas[area] += instructions / done;
      functions.set(name, (functions.get(name) ?? 0) + instructions / done);
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

/** Those between the quartiles of what each took: means of them are what medians are of all. */
function middleHalf<T extends { each: number }>(stretches: readonly T[]): T[] {
  const sorted = stretches.toSorted((a, b) => a.each - b.each);
  const outer = Math.floor(sorted.length / 4);
  return sorted.slice(outer, sorted.length - outer);
}

/** Those of at least so much, the largest first. */
function largest(values: ReadonlyMap<string, number>, least: number): Record<string, number> {
  return Object.fromEntries([...values].filter(([, value]) => value >= least).sort(([, a], [, b]) => b - a));
}
