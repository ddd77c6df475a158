/** From values to places on a drawing, and the round values at which an axis is marked. */

/** Maps values onto an axis. */
export interface Scale {
  /** Place of a value, from 0 at the axis's start to 1 at its end. */
  at(value: number): number;
  /** Values to mark with a number, ascending, all on the axis. */
  readonly ticks: readonly number[];
}

/** Ends of an axis. */
export type Domain = readonly [low: number, high: number];

/** Smallest and largest of some values; [0, 1] of none. */
export function extent(values: Iterable<number>): Domain {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return low <= high ? [low, high] : [0, 1];
}

/** Equal distances for equal differences; the domain is widened to round values, about `count` of them. */
export function linear([low, high]: Domain, { count = 6 } = {}): Scale {
  const rough = (high - low || Math.abs(high) || 1) / Math.max(count - 1, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999)! * power;
  const first = Math.floor(low / step + 1e-9);
  const last = Math.max(Math.ceil(high / step - 1e-9), first + 1);
  // Multiplied, not added up: 0.1 three times is not 0.3.
  const ticks = Array.from({ length: last - first + 1 }, (_, i) => tidy((first + i) * step));
  return { ticks, at: (value) => (value - first * step) / ((last - first) * step) };
}

/** Marks of a decade: as few as do, then more where the domain is short. */
const LADDERS = [[1], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 7]];

/** Most and fewest marks of a logarithmic axis. */
const MARKS = { most: 13, fewest: 5 };

/**
 * Equal distances for equal ratios; the domain is widened to round values.
 * @throws {RangeError} if it reaches zero or below, where there is no logarithm.
 */
export function logarithmic([low, high]: Domain): Scale {
  if (!(low > 0)) throw new RangeError(`Cannot draw ${low} on a logarithmic axis`);
  const candidates = LADDERS.map((ladder) => marksWithin(ladder, [low, high]));
  const fitting = candidates.filter((marks) => marks.length <= MARKS.most);
  const ticks = fitting.find((marks) => marks.length >= MARKS.fewest) ?? fitting.at(-1) ?? candidates[0];
  const [first, last] = [Math.log(ticks[0]), Math.log(ticks[ticks.length - 1])];
  return { ticks, at: (value) => (Math.log(value) - first) / (last - first) };
}

/** The marks of a ladder from the last at or below `low` to the first at or above `high`, two at least. */
function marksWithin(ladder: readonly number[], [low, high]: Domain): number[] {
  const marks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)) + 1; power++) {
    for (const factor of ladder) marks.push(tidy(factor * 10 ** power));
  }
  const from = marks.findLastIndex((mark) => mark <= low);
  const to = Math.max(marks.findIndex((mark) => mark >= high), from + 1);
  return marks.slice(from, to + 1);
}

/** Without the last digits, which are errors of arithmetic. */
function tidy(value: number): number {
  return Number(value.toPrecision(12));
}
