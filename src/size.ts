/** Sizes in bytes, as people write them. */

const UNITS: Record<string, number> = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 };

/** What a size looks like in text. */
export const SIZE_PATTERN = "^[0-9]+(KiB|MiB|GiB)$";

/** Bytes of a size like `128KiB`, `4MiB` or `1GiB`; a string that says what is wrong with it, and what to write, otherwise. */
export function parseSize(text: string): number | string {
  const parts = /^\s*([0-9.]+)\s*([a-z]*)\s*$/i.exec(text);
  const unit = parts?.[2].toUpperCase().charAt(0);
  const name = unit && { K: "KiB", M: "MiB", G: "GiB" }[unit];
  if (new RegExp(SIZE_PATTERN).test(text)) {
    const bytes = Number(parts![1]) * UNITS[parts![2]];
    return Number.isSafeInteger(bytes) ? bytes : `"${text}" is too large a size`;
  }
  if (!parts || !/^\d+$/.test(parts[1])) return `"${text}" is not a size; write it as "128KiB" or "4MiB"`;
  if (parts[2] === "" || parts[2].toUpperCase() === "B") {
    return `"${text}" is not a size; write the number of bytes without quotes, ${Number(parts[1])}`;
  }
  if (name && /^[KMG]I?B?$/i.test(parts[2])) {
    return `"${text}" is not a size; write "${parts[1]}${name}" (1 ${name} is ${grouped(UNITS[name])} bytes)`;
  }
  return `"${text}" is not a size: its unit is not KiB, MiB or GiB`;
}

/** A size in the largest unit that divides it: `128 KiB`, `4 MiB`, `100 bytes`. */
export function formatSize(bytes: number): string {
  for (const unit of ["GiB", "MiB", "KiB"]) {
    if (bytes > 0 && bytes % UNITS[unit] === 0) return `${grouped(bytes / UNITS[unit])} ${unit}`;
  }
  return `${grouped(bytes)} ${bytes === 1 ? "byte" : "bytes"}`;
}

/** An integer with its thousands separated: `10,000`. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString("en-US");
}
