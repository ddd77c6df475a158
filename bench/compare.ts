/** The kernel's own driver and ring3's, measured in turn in one boot of the lab. */
import type { IommuMode, Lab } from "../src/lab/mod.ts";
import type { Progress } from "../src/progress.ts";
import type { DriverRun } from "../src/soak/driver_run.ts";
import { kernelComplaints, stopRun } from "../src/soak/lab.ts";

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
  /** Times that both drivers took their turn. */
  rounds: number;
}

/** What came of one turn, or of each driver's turns in order. */
export interface Taken<T> {
  result: T;
  /** What went wrong beside it, a line each. */
  problems: string[];
}

/** How often turns are taken, and who is told of each. */
export interface Turns {
  rounds: number;
  progress: Progress;
}

/** Has the drivers take their turns. */
export async function takeTurns<T>(
  turns: Turns,
  turn: (driver: DriverName) => Promise<Taken<T>>,
): Promise<Taken<Record<DriverName, T[]>>> {
  return await takeTurnsOf(OWNERS, { ...turns, turn });
}

/** Has each side take its turns, in the order of their names. @param owners As whose a line tells of each. */
export async function takeTurnsOf<N extends string, T>(
  owners: Readonly<Record<N, string>>,
  { rounds, progress, turn }: Turns & { turn: (side: N) => Promise<Taken<T>> },
): Promise<Taken<Record<N, T[]>>> {
  const sides = Object.keys(owners) as N[];
  const result = Object.fromEntries(sides.map((side) => [side, [] as T[]])) as Record<N, T[]>;
  const problems: string[] = [];
  for (let round = 1; round <= rounds; round++) {
    for (const side of sides) {
      progress(`round ${round} of ${rounds}: ${owners[side]}`);
      const taken = await turn(side);
      result[side].push(taken.result);
      problems.push(...taken.problems);
    }
  }
  return { result, problems };
}

/** Ends ring3's driver after its turn. What went wrong until then, a line each. */
export async function endRun(lab: Lab, run: DriverRun): Promise<string[]> {
  const ended = run.events.filter(({ type }) => type === "ended").map(() => `${OWNERS.ring3} ended`);
  return [...ended, ...await stopRun(run, lab)];
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

function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
