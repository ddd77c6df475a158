/** Spans of time, as people write them. */

const UNITS: Record<string, number> = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

/** What a span of time looks like in text. */
export const DURATION_PATTERN = "^[0-9]+(ms|s|min|h)$";

/** Milliseconds of a span like `500ms`, `10s`, `30min` or `2h`; otherwise a string that says what is wrong with it. */
export function parseDuration(text: string): number | string {
  const parts = new RegExp(DURATION_PATTERN).exec(text);
  if (!parts) return `"${text}" is not a span of time; write it as "500ms", "10s", "30min" or "2h"`;
  const ms = parseInt(text) * UNITS[parts[1]];
  return Number.isSafeInteger(ms) ? ms : `"${text}" is too long a span of time`;
}

/** A span in the largest unit that divides it: `500 ms`, `10 s`, `30 min`. */
export function writtenDuration(ms: number): string {
  for (const unit of ["h", "min", "s"]) {
    if (ms > 0 && ms % UNITS[unit] === 0) return `${ms / UNITS[unit]} ${unit}`;
  }
  return `${ms} ms`;
}
