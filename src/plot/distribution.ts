/** Measurements as points of a chart. */

/**
 * The empirical distribution of some values: at each value the percentage of all that do not exceed it. It
 * begins at the smallest with 0, and is to be drawn in steps.
 */
export function empirical(values: readonly number[]): [value: number, percent: number][] {
  const sorted = values.toSorted((a, b) => a - b);
  const points: [number, number][] = sorted.map((value, index) => [value, 100 * (index + 1) / sorted.length]);
  // Of equal values only the last says how many there are.
  const distinct = points.filter(([value], index) => value !== sorted[index + 1]);
  return sorted.length === 0 ? [] : [[sorted[0], 0], ...distinct];
}
