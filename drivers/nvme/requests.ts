/** Requests of the kernel as commands of the controller, and their completions: one I/O queue. */

import {
  BLOCK_ERROR,
  type Channel,
  completeBlock,
  DeviceError,
  type DmaMemory,
  ENTRY,
  failBlock,
  isForced,
  LENGTH_MASK,
  OPERATION,
  operationOf,
  requestEntries,
  sectorsOf,
  takeRequest,
} from "../../src/driver/mod.ts";
import { type QueuePair, statusText } from "./queue.ts";
import { COMMAND, COMPLETION, DEALLOCATE, FUA, NVM, PAGE, PAGE_MASK, RANGE, STATUS } from "./registers.ts";

/** Words of a command. */
const PRP1 = COMMAND.prp1.word;
const PRP2 = COMMAND.prp2.word;
const DWORD10 = COMMAND.dword10.word;
const DWORD11 = COMMAND.dword11.word;
const DWORD12 = COMMAND.dword12.word;

/** Bytes of a list of PRPs: 128 of them, and with one in the command enough for `LARGEST`. A power of two. */
export const LIST_BYTES = 1024;
/** Most bytes of a command, and most segments of a request. */
export const LARGEST = (LIST_BYTES / 8) * PAGE;
export const MOST_SEGMENTS = LIST_BYTES / 8;

/** A slot's part of a command id; the rest counts its uses, so that an old completion is known. */
const SLOT_MASK = 0x3ff;
/** Most slots, and so most commands under way. */
export const MOST_SLOTS = SLOT_MASK;

/** Words of a list. */
const LIST_WORDS = LIST_BYTES / 4;
/** Status code type of errors of the medium and of data integrity, §4.6.1.2.3. */
const MEDIA = 2;
/** A request that has not failed. */
const FINE = -1;

/** What an I/O queue is made of. */
export interface RequestQueueParts {
  pair: QueuePair;
  channel: Channel;
  /** Commands under way at most: fewer than the pair's entries. */
  slots: number;
  /** `LIST_BYTES` for each slot, on a page, so that no list crosses one. */
  lists: DmaMemory;
  namespace: number;
  /** Bytes of a block, as a power of two. */
  blockShift: number;
  /** Takes note of a command that failed. */
  onError: (text: string) => void;
}

/**
 * One channel of the port on one pair of queues. A request is one command, unless its segments do not meet at
 * pages, as PRPs must (§4.3): then it is one more for each place where they do not.
 */
export class RequestQueue {
  readonly #pair: QueuePair;
  readonly #channel: Channel;
  readonly #lists: Uint32Array;
  readonly #namespace: number;
  readonly #blockShift: number;
  readonly #onError: (text: string) => void;
  /** Slots that are free: a stack. */
  readonly #free: Uint16Array;
  #freeCount: number;
  /** By slot: the id of its command, whether that is under way, and the first slot of its request. */
  readonly #ids: Uint16Array;
  readonly #busy: Uint8Array;
  readonly #owners: Uint16Array;
  /** By the first slot of a request: its token, sectors, commands to come, and `FINE` or what went wrong. */
  readonly #tokens: Uint32Array;
  readonly #sectors: Uint32Array;
  readonly #left: Uint16Array;
  readonly #failures: Int8Array;
  /** By slot: the address of its list. */
  readonly #listLow: Uint32Array;
  readonly #listHigh: Uint32Array;
  /** Of the request that is being posted: its first slot, its latest, and the first block of the next command. */
  #owner = 0;
  #slot = 0;
  readonly #block = new Uint32Array(2);

  constructor(parts: RequestQueueParts) {
    const { slots } = parts;
    this.#pair = parts.pair;
    this.#channel = parts.channel;
    this.#lists = parts.lists.words;
    this.#namespace = parts.namespace;
    this.#blockShift = parts.blockShift;
    this.#onError = parts.onError;
    this.#free = Uint16Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#freeCount = slots;
    this.#ids = Uint16Array.from({ length: slots }, (_, i) => i);
    this.#busy = new Uint8Array(slots);
    this.#owners = new Uint16Array(slots);
    this.#tokens = new Uint32Array(slots);
    this.#sectors = new Uint32Array(slots);
    this.#left = new Uint16Array(slots);
    this.#failures = new Int8Array(slots);
    const { low, high } = parts.lists;
    this.#listLow = Uint32Array.from({ length: slots }, (_, i) => low + i * LIST_BYTES);
    this.#listHigh = Uint32Array.from(
      { length: slots },
      (_, i) => high + (low + i * LIST_BYTES >= 2 ** 32 ? 1 : 0),
    );
  }

  /** Commands are under way. */
  get busy(): boolean {
    return this.#freeCount < this.#free.length;
  }

  // ---- requests to commands ----

  /** Gives the controller at most `budget` requests. True if there are more that it has room for. */
  submit(budget: number): boolean {
    const channel = this.#channel;
    let left = channel.available();
    let refused = false;
    for (; left > 0 && budget > 0; budget--) {
      const entries = requestEntries(channel, left);
      if (entries === 0) break; // the kernel is still submitting it
      const commands = this.#commands(entries);
      if (commands > this.#freeCount) break; // completions make room
      if (commands === 0) {
        failBlock(channel, channel.submissions[channel.peek(0) + ENTRY.TOKEN], BLOCK_ERROR.UNSUPPORTED);
        refused = true;
      } else {
        this.#post(entries);
      }
      takeRequest(channel, entries);
      left -= entries;
    }
    this.#pair.ring();
    if (refused) channel.publish();
    return left > 0 && budget === 0;
  }

  /** How many commands the next request takes; 0 if there is none for it. */
  #commands(entries: number): number {
    const channel = this.#channel;
    const words = channel.submissions;
    const operation = operationOf(words[channel.peek(0) + ENTRY.LENGTH_FLAGS]);
    if (operation === OPERATION.READ || operation === OPERATION.WRITE) {
      let commands = entries > 1 ? 1 : 0;
      for (let i = 2; i < entries; i++) if (!this.#meet(i)) commands++;
      return commands;
    }
    const bare = operation === OPERATION.FLUSH || operation === OPERATION.DISCARD ||
      operation === OPERATION.ZEROES;
    return bare && entries === 1 ? 1 : 0;
  }

  /** Whether segment `i` goes on at a page where the one before it ends at one, §4.3. */
  #meet(i: number): boolean {
    const channel = this.#channel;
    const words = channel.submissions;
    const before = channel.peek(i - 1);
    const end = words[before + ENTRY.ADDRESS_LOW] + (words[before + ENTRY.LENGTH_FLAGS] & LENGTH_MASK);
    return ((end | words[channel.peek(i) + ENTRY.ADDRESS_LOW]) & PAGE_MASK) === 0;
  }

  /** Writes the commands of the next request. */
  #post(entries: number): void {
    const channel = this.#channel;
    const words = channel.submissions;
    const context = channel.peek(0);
    const word = words[context + ENTRY.LENGTH_FLAGS];
    const operation = operationOf(word);
    const owner = this.#owner = this.#free[this.#freeCount - 1];
    this.#tokens[owner] = words[context + ENTRY.TOKEN];
    this.#sectors[owner] = sectorsOf(word);
    this.#left[owner] = 0;
    this.#failures[owner] = FINE;
    const shift = this.#blockShift - 9;
    const low = words[context + ENTRY.ADDRESS_LOW];
    const high = words[context + ENTRY.ADDRESS_HIGH];
    this.#block[0] = shift === 0 ? low : low >>> shift | high << (32 - shift);
    this.#block[1] = high >>> shift;
    switch (operation) {
      case OPERATION.READ:
      case OPERATION.WRITE:
        for (let i = 1; i < entries;) i = this.#transfer(i, entries);
        break;
      case OPERATION.FLUSH:
        this.#begin(NVM.FLUSH);
        break;
      case OPERATION.ZEROES:
        this.#address(this.#begin(NVM.WRITE_ZEROES), sectorsOf(word) >>> shift);
        break;
      case OPERATION.DISCARD:
        this.#discard(sectorsOf(word) >>> shift);
        break;
    }
  }

  /** Takes a slot and begins its command; returns where in the queue it is. */
  #begin(opcode: number): number {
    const slot = this.#slot = this.#free[--this.#freeCount];
    this.#ids[slot] += SLOT_MASK + 1;
    this.#busy[slot] = 1;
    this.#owners[slot] = this.#owner;
    this.#left[this.#owner]++;
    const at = this.#pair.next();
    const words = this.#pair.submissions;
    words[at] = opcode | this.#ids[slot] << 16;
    words[at + COMMAND.namespace.word] = this.#namespace;
    return at;
  }

  /** Says which blocks a command is of, and goes on to those after them. */
  #address(at: number, blocks: number): void {
    const words = this.#pair.submissions;
    const block = this.#block;
    words[at + DWORD10] = block[0];
    words[at + DWORD11] = block[1];
    words[at + DWORD12] |= blocks - 1;
    block[0] += blocks;
    if (block[0] < blocks) block[1]++;
  }

  /** Writes one READ or WRITE, of segments from `first` on as far as they meet; returns the first of the rest. */
  #transfer(first: number, entries: number): number {
    const channel = this.#channel;
    const from = channel.submissions;
    const word = from[channel.peek(0) + ENTRY.LENGTH_FLAGS];
    const writes = operationOf(word) === OPERATION.WRITE;
    const at = this.#begin(writes ? NVM.WRITE : NVM.READ);
    const words = this.#pair.submissions;
    const list = this.#lists;
    const start = this.#slot * LIST_WORDS;
    let listed = start;
    let bytes = 0;
    let i = first;
    do {
      const segment = channel.peek(i);
      let low = from[segment + ENTRY.ADDRESS_LOW];
      let high = from[segment + ENTRY.ADDRESS_HIGH];
      let left = from[segment + ENTRY.LENGTH_FLAGS] & LENGTH_MASK;
      bytes += left;
      if (i === first) {
        // The only one that may begin within a page.
        words[at + PRP1] = low;
        words[at + PRP1 + 1] = high;
        const page = Math.min(left, PAGE - (low & PAGE_MASK));
        left -= page;
        low = (low + page) >>> 0;
        if (low < page) high++;
      }
      for (; left > 0; left -= PAGE) {
        if (listed === start + LIST_WORDS) {
          throw new DeviceError("Cannot use the port: a request is larger than the driver said it takes");
        }
        list[listed++] = low;
        list[listed++] = high;
        low = (low + PAGE) >>> 0;
        if (low < PAGE) high++;
      }
      i++;
    } while (i < entries && this.#meet(i));
    // §4.3: the second PRP is a page if there is one more, and else points to the list.
    if (listed === start + 2) {
      words[at + PRP2] = list[start];
      words[at + PRP2 + 1] = list[start + 1];
    } else if (listed > start) {
      words[at + PRP2] = this.#listLow[this.#slot];
      words[at + PRP2 + 1] = this.#listHigh[this.#slot];
    }
    if (writes && isForced(word)) words[at + DWORD12] = FUA;
    this.#address(at, bytes >>> this.#blockShift);
    return i;
  }

  /** Writes a DATASET_MANAGEMENT with one range, §6.7; it is where the list would be. */
  #discard(blocks: number): void {
    const at = this.#begin(NVM.DATASET_MANAGEMENT);
    const words = this.#pair.submissions;
    const range = this.#slot * LIST_WORDS;
    const lists = this.#lists;
    lists[range + RANGE.attributes.word] = 0;
    lists[range + RANGE.length.word] = blocks;
    lists[range + RANGE.start.word] = this.#block[0];
    lists[range + RANGE.start.word + 1] = this.#block[1];
    words[at + PRP1] = this.#listLow[this.#slot];
    words[at + PRP1 + 1] = this.#listHigh[this.#slot];
    words[at + DWORD10] = 0; // ranges, less one
    words[at + DWORD11] = DEALLOCATE;
  }

  // ---- completions ----

  /** Completes the requests that the controller is done with. */
  reap(): void {
    const pair = this.#pair;
    let done = false;
    for (let at = pair.take(); at >= 0; at = pair.take()) {
      if (this.#complete(pair.completions[at + COMPLETION.status.word])) done = true;
    }
    pair.release();
    if (done) this.#channel.publish();
  }

  /** Takes one completion. True if it was the last of its request. @throws {DeviceError} if it is of no command. */
  #complete(status: number): boolean {
    const id = status & 0xffff;
    const slot = id & SLOT_MASK;
    if (slot >= this.#busy.length || this.#busy[slot] === 0 || this.#ids[slot] !== id) {
      throw new DeviceError(`Cannot use the controller: it completed command ${id}, which is not under way`);
    }
    this.#busy[slot] = 0;
    const owner = this.#owners[slot];
    const code = (status >>> STATUS.SHIFT) & STATUS.CODE;
    if (code !== 0) {
      if (this.#failures[owner] === FINE) this.#failures[owner] = blockError(code);
      this.#onError(`A command failed with status ${statusText(code)}`);
    }
    // The owner's slot holds what is known of the request until all of it is done.
    if (slot !== owner) this.#free[this.#freeCount++] = slot;
    if (--this.#left[owner] > 0) return false;
    this.#free[this.#freeCount++] = owner;
    if (this.#failures[owner] === FINE) {
      completeBlock(this.#channel, this.#tokens[owner], this.#sectors[owner]);
    } else {
      failBlock(this.#channel, this.#tokens[owner], this.#failures[owner]);
    }
    return true;
  }
}

/** What a status, its type and code together, is to the kernel: §4.6.1.2. */
export function blockError(code: number): number {
  switch (code) {
    case 0x001: // invalid opcode
    case 0x002: // invalid field
      return BLOCK_ERROR.UNSUPPORTED;
    case 0x00b: // invalid namespace
      return BLOCK_ERROR.GONE;
    case 0x007: // abort requested
      return BLOCK_ERROR.TIMEOUT;
    case 0x020: // namespace is write protected
    case 0x182: // attempted write to read only range
      return BLOCK_ERROR.PROTECTED;
  }
  return code >>> 8 === MEDIA ? BLOCK_ERROR.MEDIUM : BLOCK_ERROR.IO;
}
