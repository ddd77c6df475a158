/** Contents that both ends of a check can make for themselves: pseudo-random, from a seed. */
import { DATAGRAM } from "./result.ts";

/** A generator of 32-bit words: xorshift32 (Marsaglia 2003), its state mixed from the seed so that near seeds differ. */
export class Words {
  #state: number;

  constructor(seed: number) {
    // The finaliser of MurmurHash3; zero would be a fixed point.
    let mixed = seed | 0;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    this.#state = (mixed ^ (mixed >>> 16)) || 1;
  }

  /** The next word, unsigned. */
  next(): number {
    let word = this.#state;
    word ^= word << 13;
    word ^= word >>> 17;
    word ^= word << 5;
    return (this.#state = word) >>> 0;
  }

  /** Fills an array with the next words, as many as it has. */
  fill(into: Uint32Array): void {
    let word = this.#state;
    for (let i = 0; i < into.length; i++) {
      word ^= word << 13;
      word ^= word >>> 17;
      word ^= word << 5;
      into[i] = word;
    }
    this.#state = word;
  }
}

/** Bytes at the start of a datagram that hold its number, little-endian; a shorter one holds as many as it has. */
export const NUMBER_BYTES = 4;

/**
 * The datagram of a number: its size and contents follow from the seed and the number alone. The first
 * are of the smallest and the largest size, so that any run has both.
 */
export function datagram(seed: number, number: number): Uint8Array {
  const words = new Words(Math.imul(seed, 0x9e3779b1) + number);
  const { least, most } = DATAGRAM;
  const drawn = least + words.next() % (most - least + 1);
  const size = number === 0 ? least : number === 1 ? most : drawn;
  const content = new Uint32Array(Math.ceil(size / 4));
  words.fill(content);
  const bytes = new Uint8Array(content.buffer, 0, size);
  for (let i = 0; i < Math.min(size, NUMBER_BYTES); i++) bytes[i] = number >>> (8 * i);
  return bytes;
}

/** Whether two arrays hold the same bytes. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
