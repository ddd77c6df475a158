/** What an application does while faults are injected, and what it says of it. */
import { stripVTControlCharacters } from "node:util";
import { z } from "zod";
import { sendSignal } from "../../child.ts";
import { UserError } from "../../error.ts";
import { lines } from "../../lines.ts";
import { within } from "../../within.ts";

/** Longest text of a word, UTF-16 units. */
export const MAX_TEXT = 200;

/** The schema of {@link Word}. */
export const wordSchema = z.strictObject({
  at: z.number(),
  done: z.int().min(0),
  failed: z.int().min(0),
  wrong: z.int().min(0),
  gap: z.number().min(0),
  text: z.string().max(MAX_TEXT).optional(),
});

/** What an application has seen since the last such word; comes every 250 ms or so, also when nothing moves. */
export interface Word {
  /** The guest's wall clock, milliseconds since the epoch. */
  at: number;
  /** Operations that ended well. */
  done: number;
  /** Operations that ended with an error which an application gets to see. */
  failed: number;
  /** Operations whose content was not what had been sent or written. */
  wrong: number;
  /**
   * Longest time without an operation that ended well, milliseconds, of those that ended since the last word or
   * still go on: it may have begun before. Time in which the application itself asks for nothing does not count.
   */
  gap: number;
  /** The first error or wrong content, one line. */
  text?: string;
}

/** Two words as one: of the same stretch of time, or of two that follow each other. */
export function together(one: Word, other: Word): Word {
  const text = one.text ?? other.text;
  return {
    at: Math.max(one.at, other.at),
    done: one.done + other.done,
    failed: one.failed + other.failed,
    wrong: one.wrong + other.wrong,
    gap: Math.max(one.gap, other.gap),
    ...text === undefined ? {} : { text },
  };
}

/**
 * Words of several ends as those of one application. A word comes when every end has spoken since the last, or
 * one of them for the second time: an end that is silent holds nothing up.
 */
export class Merger {
  readonly #waiting: (Word | undefined)[];
  #at = 0;

  /** @param ends How many. */
  constructor(ends: number) {
    this.#waiting = Array(ends).fill(undefined);
  }

  /** Takes a word of an end, by its index. The word that comes of it, if one does. */
  take(end: number, word: Word): Word | undefined {
    const whole = this.#waiting[end] ? this.rest() : undefined;
    this.#waiting[end] = word;
    return whole ?? (this.#waiting.every((one) => one) ? this.rest() : undefined);
  }

  /** What has been taken and not been given back. */
  rest(): Word | undefined {
    const words = this.#waiting.filter((word) => word !== undefined);
    this.#waiting.fill(undefined);
    if (words.length === 0) return undefined;
    const word = words.reduce(together);
    // The channels of two ends are not in step.
    this.#at = Math.max(this.#at, word.at);
    return { ...word, at: this.#at };
  }
}

/** An application at work. Dispose of it to stop it. */
export interface Workload extends AsyncDisposable {
  /**
   * What it sees, from the first operation that ended well on, each word once, however often it is iterated. Ends
   * when the workload is stopped; throws a `UserError` when a program of it ends by itself, with what that had to
   * say.
   */
  readonly words: AsyncIterable<Word>;
  /**
   * Has it end, with all that it still has to look at. All words have been said then; they can be read later.
   * @throws {UserError} if it does not end in time.
   */
  stop(): Promise<void>;
}

/** A program of a workload: runs until its input ends. Of several, those come first that others need. */
export interface Program {
  /** For errors. */
  name: string;
  /** With all its streams piped. */
  child: Deno.ChildProcess;
  /** Its standard output has words; else what it says there does not matter. */
  tells: boolean;
}

/** Longest times, milliseconds: to the first operation that ends well, and from the word to stop to the end. */
const BEGIN_MS = 120_000;
const END_MS = 180_000;

/** What is kept of what a program says on standard error, UTF-16 units. */
const MAX_SAID = 4096;

/**
 * Follows programs that run as one workload, once something has been done.
 * @param crash What else may be behind the end of a program.
 * @throws {UserError} if nothing is done in time, or a program ends before; none of them runs on then.
 */
export async function follow(
  programs: readonly Program[],
  { crash = () => Promise.resolve(undefined) }: { crash?: () => Promise<Error | undefined> } = {},
): Promise<Workload> {
  const following = new Following(programs, crash);
  try {
    await within(following.begun, BEGIN_MS, {
      message: `The workload has done nothing after ${BEGIN_MS / 1000} s: ${names(programs)}`,
    });
    return following;
  } catch (error) {
    await following.stop().catch(() => {});
    throw error;
  }
}

function names(programs: readonly Program[]): string {
  return programs.map(({ name }) => name).join(", ");
}

/** Programs that run, and the words that they have said and nobody has taken. */
class Following implements Workload {
  readonly #programs: readonly Program[];
  readonly #crash: () => Promise<Error | undefined>;
  readonly #merger: Merger;
  readonly #begun = Promise.withResolvers<void>();
  readonly #over: Promise<void>;
  readonly #queue: Word[] = [];
  #working = false;
  #stopping = false;
  #stopped?: Promise<void>;
  #ended = false;
  #failure?: Error;
  #wake = Promise.withResolvers<void>();

  constructor(programs: readonly Program[], crash: () => Promise<Error | undefined>) {
    this.#programs = programs;
    this.#crash = crash;
    this.#merger = new Merger(programs.filter(({ tells }) => tells).length);
    this.#begun.promise.catch(() => {});
    let end = 0;
    const reading = programs.map((program) => this.#read(program, program.tells ? end++ : undefined));
    this.#over = Promise.all(reading).then(() => {
      this.#say(this.#merger.rest());
      this.#ended = true;
      this.#begun.reject(this.#failure ?? new UserError("The workload was stopped before anything was done"));
      this.#notify();
    });
  }

  /** When the first operation has ended well. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  get words(): AsyncIterable<Word> {
    return this.#words();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    this.#stopped ??= this.#end();
    await this.#stopped;
  }

  /** Ends one after the other, the last first: none is to see its far end go. */
  async #end(): Promise<void> {
    const ending = async () => {
      for (const { child } of this.#programs.toReversed()) {
        await closeInput(child);
        await child.status;
      }
      await this.#over;
    };
    try {
      await within(ending(), END_MS, {
        message: `The workload did not end within ${END_MS / 1000} s: ${names(this.#programs)}`,
      });
    } catch (error) {
      for (const { child } of this.#programs) sendSignal(child, "SIGKILL");
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async *#words(): AsyncGenerator<Word> {
    for (;;) {
      const word = this.#queue.shift();
      if (word) yield word;
      else if (this.#ended) break;
      else await this.#wake.promise;
    }
    if (this.#failure) throw this.#failure;
  }

  /** Reads what a program says to its end. One that ends by itself ends the others. */
  async #read({ name, child, tells }: Program, end: number | undefined): Promise<void> {
    const said = lastOf(child.stderr);
    try {
      for await (const line of lines(child.stdout)) {
        if (tells) this.#say(this.#merger.take(end!, parseWord(line)));
      }
    } catch (cause) {
      this.#fail(new UserError(`Cannot follow ${name}: ${messageOf(cause)}`, { cause }));
    }
    const { code } = await child.status;
    if (this.#stopping) return;
    const why = reasonIn(await said) ?? `status ${code}`;
    this.#fail(await this.#crash() ?? new UserError(`${name} ended by itself: ${why}`));
  }

  #say(word: Word | undefined): void {
    if (!word) return;
    if (!this.#working && word.done === 0 && word.wrong === 0) return;
    // What the first word says of time is how long the programs took to start.
    this.#queue.push(this.#working ? word : { ...word, gap: 0 });
    this.#working = true;
    this.#begun.resolve();
    this.#notify();
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#stopping = true;
    for (const { child } of this.#programs) closeInput(child);
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }
}

/** Has a program end, if it has not. */
async function closeInput(child: Deno.ChildProcess): Promise<void> {
  await child.stdin.close().catch(() => {});
}

/** Reads a word. @throws {UserError} if it is none. */
export function parseWord(line: string): Word {
  const { success, data } = wordSchema.safeParse(json(line));
  if (success) return data;
  throw new UserError(`it says what is no word: ${line.slice(0, MAX_TEXT)}`);
}

/** Why a program has ended, in what it has said on standard error: the error of a Deno program, or the last line. */
export function reasonIn(said: string): string | undefined {
  const all = stripVTControlCharacters(said).split("\n").map((line) => line.trim()).filter((line) =>
    line !== ""
  );
  return all.find((line) => line.startsWith("error: ")) ?? all.at(-1);
}

function json(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

/** The end of what a stream says, once that is over. */
async function lastOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<string> {
  let said = "";
  for await (const part of stream.pipeThrough(new TextDecoderStream())) said = (said + part).slice(-MAX_SAID);
  return said;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
