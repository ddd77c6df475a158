/** A submission queue and its completion queue, §4.1, and the commands of the admin queue. */

import { DeviceError, type DmaMemory, type Register, type Registers, until } from "../../src/driver/mod.ts";
import { COMMAND, COMPLETION, STATUS } from "./registers.ts";

const STATUS_WORD = COMPLETION.status.word;

/** What a pair of queues is made of. */
export interface QueueParts {
  regs: Registers;
  tail: Register<"wo">;
  head: Register<"wo">;
  /** In each queue, a power of two. */
  entries: number;
  /** Zeroed, on a page. */
  submissions: DmaMemory;
  completions: DmaMemory;
}

/**
 * Both have as many entries. Who has fewer commands under way than that never overruns either: so their heads,
 * which the controller tells of in each completion, do not matter.
 */
export class QueuePair {
  /** Submissions, for writing at the word index that `next` gives. */
  readonly submissions: Uint32Array;
  /** Completions, for reading at the word index that `take` gives. */
  readonly completions: Uint32Array;
  readonly #regs: Registers;
  readonly #tailBell: Register<"wo">;
  readonly #headBell: Register<"wo">;
  readonly #mask: number;
  #tail = 0;
  #rung = 0;
  #head = 0;
  #released = 0;
  /** The phase of completions not seen before, in place: it turns with each round, §4.6. */
  #phase: number = STATUS.PHASE;

  constructor({ regs, tail, head, entries, submissions, completions }: QueueParts) {
    this.#regs = regs;
    this.#tailBell = tail;
    this.#headBell = head;
    this.submissions = submissions.words;
    this.completions = completions.words;
    this.#mask = entries - 1;
  }

  /** Where the next command goes, all zero. The controller may look at it after `ring`. */
  next(): number {
    const at = this.#tail * COMMAND.words;
    this.submissions.fill(0, at, at + COMMAND.words);
    this.#tail = (this.#tail + 1) & this.#mask;
    return at;
  }

  /** Tells the controller of all commands since the last time. */
  ring(): void {
    if (this.#tail === this.#rung) return;
    this.#rung = this.#tail;
    this.#regs.write(this.#tailBell, this.#tail); // the commands are in memory before it may look at them
  }

  /** Where the next completion is; -1 if there is none. */
  take(): number {
    const at = this.#head * COMPLETION.words;
    if ((this.completions[at + STATUS_WORD] & STATUS.PHASE) !== this.#phase) return -1;
    this.#head = (this.#head + 1) & this.#mask;
    if (this.#head === 0) this.#phase ^= STATUS.PHASE;
    return at;
  }

  /** Gives the controller back all completions taken since the last time; it ends a level interrupt. */
  release(): void {
    if (this.#head === this.#released) return;
    this.#released = this.#head;
    this.#regs.write(this.#headBell, this.#head);
  }
}

/** An admin command, §5. */
export interface AdminCommand {
  /** For errors, as in `IDENTIFY of the controller`. */
  what: string;
  opcode: number;
  namespace?: number;
  /** Where its data or its queue is, on a page. */
  data?: Pick<DmaMemory, "low" | "high">;
  dword10?: number;
  dword11?: number;
}

/** Milliseconds for an admin command. */
const ADMIN_MS = 5000;

/** The admin queues: one command at a time. */
export class AdminQueue {
  readonly #pair: QueuePair;
  /** What throws when the controller has failed. */
  readonly #check: () => void;
  #id = 0;

  constructor(pair: QueuePair, { check }: { check: () => void }) {
    this.#pair = pair;
    this.#check = check;
  }

  /**
   * Runs a command and gives dword 0 of its completion.
   * @throws {DeviceError} if it fails, is not answered, or something else is.
   */
  async run({ what, opcode, namespace = 0, data, dword10 = 0, dword11 = 0 }: AdminCommand): Promise<number> {
    const pair = this.#pair;
    const id = this.#id = (this.#id + 1) & 0xffff;
    const at = pair.next();
    const words = pair.submissions;
    words[at + COMMAND.command.word] = opcode | id << 16;
    words[at + COMMAND.namespace.word] = namespace;
    words[at + COMMAND.prp1.word] = data?.low ?? 0;
    words[at + COMMAND.prp1.word + 1] = data?.high ?? 0;
    words[at + COMMAND.dword10.word] = dword10;
    words[at + COMMAND.dword11.word] = dword11;
    pair.ring();
    let done = -1;
    await until(() => {
      this.#check();
      return (done = pair.take()) >= 0;
    }, { ms: ADMIN_MS, what });
    pair.release();
    const status = pair.completions[done + STATUS_WORD];
    if ((status & 0xffff) !== id) {
      throw new DeviceError(
        `Cannot use the controller: ${what}: it completed command ${status & 0xffff}, not ${id}`,
      );
    }
    const code = (status >>> STATUS.SHIFT) & STATUS.CODE;
    if (code !== 0) {
      throw new DeviceError(`Cannot use the controller: ${what} failed with status ${statusText(code)}`);
    }
    return pair.completions[done + COMPLETION.result.word];
  }
}

/** Status code type and status code, §4.6.1, as in `2/81h`. */
export function statusText(code: number): string {
  return `${code >>> 8}/${(code & 0xff).toString(16).padStart(2, "0")}h`;
}
