// What benchmarks and soaks found, made up.
import type { Comparison } from "../../bench/compare.ts";
import type { Side } from "../../bench/loads.ts";
import type { Spread } from "../../src/table.ts";
import type { LabResult } from "../../src/soak/result.ts";

/** What all that is tried in a lab says of itself when it held. */
export const LAB_RESULT: LabResult = {
  ok: true,
  problems: [],
  kernel: "6.1",
  accelerator: "tcg",
  seconds: 60,
};

/** What a comparison of two drivers says of itself. */
export const COMPARISON: Comparison = {
  ok: false,
  problems: ["ring3's driver ended"],
  kernel: "6.1",
  accelerator: "tcg",
  iommu: true,
  processors: 2,
  rounds: 5,
};

/** A figure that was the same each time. */
export function same(median: number): Spread {
  return { min: median, median, max: median };
}

/** A median, and what it lies between. */
export function one(median: number): Spread {
  return { min: median - 1, median, max: median + 1 };
}

/** What a driver did that sent so many frames a second back. */
export function sideAt(
  rate: number,
  own: Pick<Side, "waits" | "wakeups"> = { waits: null, wakeups: null },
): Side {
  return {
    offered: one(rate),
    rate: one(rate),
    loss: { min: 0, median: 0.125, max: 1 },
    missed: { min: 0, median: 0.0625, max: 0.5 },
    p50: one(500),
    p99: one(1500),
    p999: one(12_345),
    cpu: one(1.5),
    cost: one(100),
    interrupts: one(0.5),
    receives: one(0.75),
    switches: one(2),
    ...own,
  };
}
