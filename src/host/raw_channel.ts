/**
 * A channel without a kernel: the driver's side is any port's, and the other side is this one, for whoever
 * stands in the kernel's place in the same thread. The format is that of `docs/rings.md`, without its barriers.
 */
import * as rings from "../driver/rings.ts";
import { uapi } from "../kernel/mod.ts";

// Constants of this module's own are compiled in.
const { SUBMITTED, SEEN, COMPLETED } = rings.CONTROL;

/** Most entries of a ring, less one: with it V8 knows how large an index can be, and checks less. */
const LARGEST = 4095;

/** One channel whose submissions are of one entry each. Words are signed: unsigned ones above 2^31 can be boxed. */
export class RawChannel {
  /** The driver's side. */
  readonly channel: rings.Channel;
  /** The submissions, for writing at the word index that `submit` gives. */
  readonly submissions: Int32Array;
  /** The completions, for reading at the word index that `reap` gives. */
  readonly completions: Int32Array;
  readonly #control: Int32Array;
  readonly #size: number;
  readonly #mask: number;
  #submitted = 0;
  #reaped = 0;

  /** @param size Entries of each ring, a power of two up to 4096. */
  constructor(size: number) {
    const submissions = new SharedArrayBuffer(size * 16);
    const completions = new SharedArrayBuffer(size * 16);
    this.#control = new Int32Array(new SharedArrayBuffer(uapi.CHANNEL_CONTROL.size));
    this.submissions = new Int32Array(submissions);
    this.completions = new Int32Array(completions);
    this.#size = size;
    this.#mask = size - 1;
    this.channel = new rings.Channel({
      control: this.#control,
      submissions: new Uint32Array(submissions),
      completions: new Uint32Array(completions),
      // Nobody is to be kicked: this side looks after every poll.
      kick: new Uint32Array(1),
      kickWord: 0,
      kickBit: 1,
    });
  }

  /** How many more can be submitted. */
  get room(): number {
    return this.#size - ((this.#submitted - this.#reaped) | 0);
  }

  /** How many the driver has not looked at. */
  get unseen(): number {
    return (this.#submitted - this.#control[SEEN]) | 0;
  }

  /** How many completions can be reaped. */
  get completed(): number {
    return (this.#control[COMPLETED] - this.#reaped) | 0;
  }

  /**
   * Adds a submission, which the driver does not see before `show`, and returns the index of its first word in
   * `submissions`, to be filled in. Never more than there is room for.
   */
  submit(): number {
    const at = (this.#submitted & this.#mask & LARGEST) << 2;
    this.#submitted = (this.#submitted + 1) | 0;
    return at;
  }

  /** Shows the driver all that was submitted. */
  show(): void {
    this.#control[SUBMITTED] = this.#submitted;
  }

  /** Takes the next completion and returns the index of its first word in `completions`. Never more than `completed`. */
  reap(): number {
    const at = (this.#reaped & this.#mask & LARGEST) << 2;
    this.#reaped = (this.#reaped + 1) | 0;
    return at;
  }
}
