/** Drivers measured in turn in one boot of the lab: the kernel's own and ring3's, or others too. */
import type { IommuMode, Lab } from "../src/lab/mod.ts";
import type { Progress } from "../src/progress.ts";
import type { DriverRun } from "../src/soak/driver_run.ts";
import { kernelComplaints, stopRuns } from "../src/soak/lab.ts";

/** Who drives the device. */
export const DRIVERS = ["kernel", "ring3"] as const;

/** One of them. */
export type DriverName = (typeof DRIVERS)[number];

/** As whose a line tells of it. */
export const OWNERS: Readonly<Record<DriverName, string>> = {
  kernel: "the kernel's driver",
  ring3: "ring3's driver",
};

/** What every comparison says of itself. */
export interface Comparison {
  ok: boolean;
  /** What went wrong beside the figures, a line each. */
  problems: string[];
  /** Release of the lab's. */
  kernel: string;
  accelerator: string;
  iommu: boolean;
  /** What the kernel was told of mappings that are undone, if anything. */
  iommuMode?: IommuMode;
  processors: number;
  /** Times that the drivers took their turn. */
  rounds: number;
}

/** What came of one turn, or of each driver's turns in order. */
export interface Taken<T> {
  result: T;
  /** What went wrong beside it, a line each. */
  problems: string[];
}

/** Has both drivers take their turns. */
export async function takeTurns<T>(
  options: TurnsOptions,
  turn: (driver: DriverName) => Promise<Taken<T>>,
): Promise<Taken<Record<DriverName, T[]>>> {
  return await takeTurnsOf(OWNERS, turn, options);
}

/** How turns are taken. */
export interface TurnsOptions {
  rounds: number;
  progress: Progress;
}

/** Has any drivers take their turns. @param owners As whose a line tells of each, in the order of their turns. */
export async function takeTurnsOf<Name extends string, T>(
  owners: Readonly<Record<Name, string>>,
  turn: (driver: Name) => Promise<Taken<T>>,
  { rounds, progress }: TurnsOptions,
): Promise<Taken<Record<Name, T[]>>> {
  const drivers = Object.keys(owners) as Name[];
  const result = Object.fromEntries(drivers.map((driver): [string, T[]] => [driver, []])) as Record<
    Name,
    T[]
  >;
  const problems: string[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const driver of drivers) {
      progress(`round ${round} of ${rounds}: ${owners[driver]}`);
      const taken = await turn(driver);
      result[driver].push(taken.result);
      problems.push(...taken.problems);
    }
  }
  return { result, problems };
}

/** Ends ring3's driver after its turn. What went wrong until then, a line each. */
export async function endRun(lab: Lab, run: DriverRun): Promise<string[]> {
  return await endRuns(lab, [run]);
}

/** The same of several, which are ended at once. */
export async function endRuns(lab: Lab, runs: readonly DriverRun[]): Promise<string[]> {
  const ended = runs.flatMap(({ events }) => events).filter(({ type }) => type === "ended")
    .map(() => `${OWNERS.ring3} ended`);
  return [...ended, ...await stopRuns(runs, lab)];
}

/** What a comparison in a lab says of itself at its end; the kernel's complaints are problems too. */
export function compared(
  lab: Lab,
  { rounds, problems }: { rounds: number; problems: readonly string[] },
): Comparison {
  const all = [...problems, ...kernelComplaints(lab)];
  return {
    ok: all.length === 0,
    problems: all,
    kernel: lab.kernel.release,
    accelerator: lab.accelerator,
    iommu: lab.hardware.iommu,
    iommuMode: lab.hardware.iommuMode,
    processors: lab.hardware.smp,
    rounds,
  };
}

/** What was said of the IOMMU: on, off, or on and lazy or strict. */
export function iommuText({ iommu, iommuMode }: Pick<Comparison, "iommu" | "iommuMode">): string {
  return iommuMode ?? (iommu ? "on" : "off");
}

/** The machine, as a heading tells of it: `Linux 6.1.0 (tcg, 2 processors, IOMMU on)`. */
export function machineText(comparison: Comparison): string {
  const { kernel, accelerator, processors } = comparison;
  return `Linux ${kernel} (${accelerator}, ${counted(processors, "processor")}, IOMMU ${
    iommuText(comparison)
  })`;
}

/** How often it was measured, as a heading tells of it: `medians of 5 rounds`. */
export function roundsText({ rounds }: Pick<Comparison, "rounds">): string {
  return `medians of ${counted(rounds, "round")}`;
}

/** Heads of columns that all drivers have: `kernel busy`, `ring3 busy`, and so on. */
export function headsOf(names: readonly string[], drivers: readonly string[] = DRIVERS): string[] {
  return names.flatMap((name) => drivers.map((driver) => `${driver} ${name}`));
}

/** What stands below those of both drivers. */
export function cellsOf<Side>(
  point: Record<DriverName, Side>,
  cells: (side: Side) => readonly string[],
): string[] {
  return interleave(DRIVERS.map((driver) => cells(point[driver])));
}

/** The first cell of each driver, then the second of each, and so on. @param cells Of each driver, equally many. */
export function interleave(cells: readonly (readonly string[])[]): string[] {
  return cells[0].flatMap((_, i) => cells.map((own) => own[i]));
}

/** A number of things: `1 round`, `2 rounds`. */
export function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
