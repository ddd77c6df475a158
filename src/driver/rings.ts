/**
 * The driver's side of a channel: submissions from the kernel, completions to it, in memory that both
 * share. The format is `kernel-module/uapi/ring3.h`, explained in `docs/rings.md`.
 */

/** Words of an entry. */
export const ENTRY = { ADDRESS_LOW: 0, ADDRESS_HIGH: 1, LENGTH_FLAGS: 2, TOKEN: 3 } as const;

/** Bits of an entry's length and flags word. The flags are kept signed-safe by `>>> 0`. */
export const LENGTH_MASK = 0x000fffff;
export const LAST = 0x80000000;
export const CONTEXT = 0x40000000;
export const CSUM = 0x20000000;
export const TSO = 0x10000000;
export const ERROR = 0x08000000;
export const IPV6 = 0x04000000;

/** Word offsets of the counters in a channel's control block, each in a cache line of its own. */
export const CONTROL = { SUBMITTED: 0, SEEN: 16, COMPLETED: 32, REAPED: 48 } as const;

// V8 compiles constants of this module into the code, but not what it exports, nor properties of objects.
const { LENGTH_FLAGS, TOKEN } = ENTRY;
const { SUBMITTED, SEEN, COMPLETED } = CONTROL;

/** Most entries of a ring, less one: with it V8 knows how large an index can be, and checks less. */
const LARGEST = 4095;

/** Where a channel's parts lie in shared memory, and which bit of which word asks the kernel to look. */
export interface ChannelLayout {
  /** Control block, 64 words. */
  control: Int32Array;
  /** `size` entries of 4 words each, written by the kernel. */
  submissions: Uint32Array;
  /** `size` entries of 4 words each, written by the driver. */
  completions: Uint32Array;
  /** Holds the word that `publish` sets a bit in. */
  kick: Uint32Array;
  /** Index of that word. */
  kickWord: number;
  /** The bit, one per channel of a port. */
  kickBit: number;
}

/**
 * One pair of rings. A batch is `available()`, `take()` as often as it said or less, then for what is
 * done `complete()` each and `publish()` once: two atomic operations for any number of entries.
 */
export class Channel {
  /** Entries in each ring, a power of two. */
  readonly size: number;
  /** The submissions, for reading at the word index that `take` gives. */
  readonly submissions: Uint32Array;
  readonly #completions: Uint32Array;
  readonly #control: Int32Array;
  readonly #kick: Uint32Array;
  readonly #kickWord: number;
  readonly #kickBit: number;
  readonly #mask: number;
  #taken = 0;
  #completed = 0;

  constructor(layout: ChannelLayout) {
    this.size = layout.submissions.length >>> 2;
    this.submissions = layout.submissions;
    this.#completions = layout.completions;
    this.#control = layout.control;
    this.#kick = layout.kick;
    this.#kickWord = layout.kickWord;
    this.#kickBit = layout.kickBit;
    this.#mask = this.size - 1;
  }

  /** Looks once: how many submissions can be taken. */
  available(): number {
    // Acquire: entries up to this count are visible after it.
    const submitted = Atomics.load(this.#control, SUBMITTED);
    // Plain is enough: the kernel reads it in the WAIT that this thread makes next.
    this.#control[SEEN] = submitted;
    return (submitted - this.#taken) | 0;
  }

  /** Takes the next submission and returns the index of its first word in `submissions`. Never more than `available()`. */
  take(): number {
    const at = (this.#taken & this.#mask & LARGEST) << 2;
    this.#taken = (this.#taken + 1) | 0;
    return at;
  }

  /** The word index of the submission `ahead` places after the next one, without taking it. */
  peek(ahead: number): number {
    return ((this.#taken + ahead) & this.#mask & LARGEST) << 2;
  }

  /** Adds a completion. There is always room: a submission is completed at most once. */
  complete(token: number, lengthFlags: number): void {
    const at = (this.#completed & this.#mask & LARGEST) << 2;
    const words = this.#completions;
    words[at + LENGTH_FLAGS] = lengthFlags;
    words[at + TOKEN] = token;
    this.#completed = (this.#completed + 1) | 0;
  }

  /** Shows the kernel all completions added since the last time; the next WAIT makes it look. */
  publish(): void {
    // Release: the entries are visible before the counter.
    Atomics.store(this.#control, COMPLETED, this.#completed);
    this.#kick[this.#kickWord] |= this.#kickBit;
  }
}
