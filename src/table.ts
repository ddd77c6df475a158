/** What benchmarks print of figures: a median with what it lies between, and tables of Markdown. */
import { median } from "./statistics.ts";

/** A median and what it lies between. */
export interface Spread {
  min: number;
  median: number;
  max: number;
}

/** The spread of some values, in any order and at least one. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  return { min: sorted[0], median: median(sorted), max: sorted[sorted.length - 1] };
}

/** A median with what it lies between: `120 (100–130)`. */
export function rangeText({ min, median, max }: Spread, digits = 0): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}

/** A table of Markdown whose columns are as wide as their widest cell; numbers to the right. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((cell, i) => Math.max(cell.length, ...rows.map((row) => row[i].length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => cell.padStart(widths[i])).join(" | ")} |`;
  return [line(head), line(widths.map((width) => `${"-".repeat(width - 1)}:`)), ...rows.map(line)].join("\n");
}
