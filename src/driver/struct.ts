/** Layouts of memory that a device and a driver share, as offsets for flat access. */

/** Bytes of a member. */
export type Width = 1 | 2 | 4 | 8;

/** Members of 8, 16, 32 and 64 bits. */
export const u8 = 1;
export const u16 = 2;
export const u32 = 4;
export const u64 = 8;

/** Where one member lies within its structure. */
export interface Member {
  /** Bytes from the start of the structure. */
  readonly byte: number;
  /** The 32-bit word, counted from the start of the structure, that holds it or its low half. */
  readonly word: number;
  /** Its lowest bit within that word. */
  readonly shift: number;
  /** Bytes. */
  readonly width: Width;
}

/** A structure: its members by name, and its size. */
export type Struct<Members extends Record<string, Width>> =
  & { readonly [Name in keyof Members]: Member }
  & { readonly size: number; readonly words: number };

/**
 * Lays out members one after the other, each aligned to its own width, as C does.
 *
 * @param members widths by name, in order; no member may be called `size` or `words`
 * @param options `size`: bytes that the structure must come to
 * @throws {RangeError} at load, if it comes to anything else or is not a whole number of words.
 */
export function struct<const Members extends Record<string, Width>>(
  members: Members,
  options: { size: number },
): Struct<Members> {
  const laidOut: Record<string, Member> = {};
  let end = 0;
  let widest = 1;
  for (const [name, width] of Object.entries(members)) {
    if (name === "size" || name === "words") {
      throw new RangeError(`Cannot lay out a structure: no member may be called ${name}`);
    }
    const byte = Math.ceil(end / width) * width;
    laidOut[name] = Object.freeze({ byte, word: byte >> 2, shift: (byte & 3) * 8, width });
    end = byte + width;
    widest = Math.max(widest, width);
  }
  const size = Math.ceil(end / widest) * widest;
  if (size !== options.size || size % 4 !== 0) {
    throw new RangeError(
      `Cannot lay out { ${
        Object.keys(members).join(", ")
      } }: it comes to ${size} bytes, not ${options.size}` +
        (size === options.size ? ", which must be a multiple of 4" : ""),
    );
  }
  return Object.freeze({ ...laidOut, size, words: size / 4 }) as Struct<Members>;
}
