/** What a workload in the guest counts, and the words that come of it. */
import { MAX_TEXT, type Word } from "../workload.ts";

/** Longest time from one word to the next, milliseconds, as far as the machine lets it. */
const WORD_MS = 250;

/** Clocks, milliseconds: one that nobody sets, and the one that the words are of. */
export interface Clocks {
  now(): number;
  wall(): number;
}

const CLOCKS: Clocks = { now: () => performance.now(), wall: () => Date.now() };

/** Counts operations from word to word. */
export class Tally {
  readonly #clocks: Clocks;
  #counts = { done: 0, failed: 0, wrong: 0 };
  #gap = 0;
  /** When the last operation ended well. */
  #well: number;
  #text?: string;
  #resting = false;

  constructor(clocks: Clocks = CLOCKS) {
    this.#clocks = clocks;
    this.#well = clocks.now();
  }

  /** Operations have ended well since the last look. */
  well(count = 1): void {
    this.#wait();
    this.#well = this.#clocks.now();
    this.#counts.done += count;
  }

  /** One has failed. */
  failed(text: string): void {
    this.#counts.failed++;
    this.#text ??= oneLine(text);
  }

  /** The content of one was wrong. */
  wrong(text: string): void {
    this.#counts.wrong++;
    this.#text ??= oneLine(text);
  }

  /** From now on nothing is asked for: what follows is no gap. */
  rest(): void {
    this.#wait();
    this.#resting = true;
  }

  /** What there was since the last word. */
  word(): Word {
    this.#wait();
    const text = this.#text;
    const word: Word = {
      at: this.#clocks.wall(),
      ...this.#counts,
      gap: Math.round(this.#gap * 1000) / 1000,
      ...text === undefined ? {} : { text },
    };
    this.#counts = { done: 0, failed: 0, wrong: 0 };
    this.#gap = 0;
    this.#text = undefined;
    return word;
  }

  #wait(): void {
    if (this.#resting) return;
    this.#gap = Math.max(this.#gap, this.#clocks.now() - this.#well);
  }
}

/** A text as one line, no longer than a word's may be. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim().slice(0, MAX_TEXT);
}

/** Does its work under a tally whose words go to standard output, until standard input ends. */
export async function saying(work: (tally: Tally, over: AbortSignal) => Promise<void>): Promise<void> {
  const tally = new Tally();
  const over = new AbortController();
  const ending = (async () => {
    for await (const _ of Deno.stdin.readable);
    // What is looked at yet takes its time.
    tally.rest();
    over.abort();
  })();
  const say = () => console.log(JSON.stringify(tally.word()));
  const timer = setInterval(say, WORD_MS);
  try {
    await work(tally, over.signal);
  } finally {
    clearInterval(timer);
    say();
  }
  await ending;
}
