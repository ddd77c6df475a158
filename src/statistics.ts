/** What is said of many measurements. */

/** A distribution in six numbers, in the unit of its values. */
export interface Distribution {
  count: number;
  min: number;
  p50: number;
  p90: number;
  p99: number;
  max: number;
  mean: number;
}

/**
 * The smallest value that at least the share `q` of all values does not exceed (the nearest rank).
 * @param sorted Ascending, not empty.
 * @param q From 0 to 1.
 */
export function quantile(sorted: readonly number[], q: number): number {
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)];
}

/**
 * The value in the middle, or the mean of the two that are.
 * @param sorted Ascending, not empty.
 */
export function median(sorted: readonly number[]): number {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Mean of some values; NaN of none. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The distribution of some values, in any order; null of none. */
export function distribution(values: readonly number[]): Distribution | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const at = (q: number) => quantile(sorted, q);
  return {
    count: sorted.length,
    min: sorted[0],
    p50: at(0.5),
    p90: at(0.9),
    p99: at(0.99),
    max: sorted[sorted.length - 1],
    mean: mean(sorted),
  };
}

/** A straight line through points. */
export interface Line {
  /** Of y for each x. */
  slope: number;
  /** y at x = 0. */
  intercept: number;
}

/** The line from which the points differ least, in squares of y; null unless there are two values of x. */
export function leastSquares(points: readonly (readonly [x: number, y: number])[]): Line | null {
  const x = mean(points.map(([x]) => x));
  const y = mean(points.map(([, y]) => y));
  const spread = points.reduce((sum, [px]) => sum + (px - x) ** 2, 0);
  if (!(spread > 0)) return null;
  const slope = points.reduce((sum, [px, py]) => sum + (px - x) * (py - y), 0) / spread;
  return { slope, intercept: y - slope * x };
}
