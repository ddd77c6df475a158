/** Guest instructions by where they are, as `bench/plugin/cost.c` counts them in a file. */
import { UserError } from "../src/error.ts";

/** Words of 32 bits: of the file's header, and of an entry with its address, size and executions. */
const HEADER = 16;
const ENTRY = 6;

/** Bit of the upper half of the size: a round of a string instruction after its first. */
const ROUND = 0x80000000;

/** Instructions from one address up to the next jump. */
export interface Block {
  /** Virtual; the kernel's have their highest bit set. */
  address: bigint;
  /** How often it was entered. */
  executions: number;
  /** Executed in it, all together. */
  instructions: number;
  /** Of these, rounds of a string instruction after its first: all or none. */
  repeats: number;
}

/** The counters at one moment. */
export class Moment {
  readonly #words: Uint32Array;

  constructor(words: Uint32Array) {
    this.#words = words;
  }

  /** What was executed after `before`. @throws {UserError} if the plugin had no room for all addresses. */
  since(before: Moment): Block[] {
    const now = this.#words;
    if (now[2] !== 0) {
      throw new UserError(`The plugin that counts instructions has no room for ${now[2]} blocks`);
    }
    const blocks: Block[] = [];
    for (let at = HEADER; at + ENTRY <= now.length; at += ENTRY) {
      const executions = number(now, at + 4) - before.#at(at + 4);
      if (executions === 0) continue;
      const address = BigInt(now[at + 1]) << 32n | BigInt(now[at]);
      const instructions = executions * now[at + 2];
      blocks.push({ address, executions, instructions, repeats: now[at + 3] === ROUND ? instructions : 0 });
    }
    return blocks;
  }

  /** Zero for a block that was not there yet. */
  #at(word: number): number {
    return word < this.#words.length ? number(this.#words, word) : 0;
  }
}

function number(words: Uint32Array, at: number): number {
  return words[at] + words[at + 1] * 2 ** 32;
}

/** Reads the counters while the machine runs. */
export async function takeMoment(path: string): Promise<Moment> {
  using file = await Deno.open(path);
  const read = async (bytes: number) => {
    const buffer = new Uint8Array(bytes);
    await file.seek(0, Deno.SeekMode.Start);
    for (let at = 0; at < bytes;) {
      const got = await file.read(buffer.subarray(at));
      if (got === null) throw new UserError(`The counters of instructions end early: ${path}`);
      at += got;
    }
    return new Uint32Array(buffer.buffer);
  };
  const [entries] = await read(HEADER * 4);
  return new Moment(await read((HEADER + entries * ENTRY) * 4));
}
