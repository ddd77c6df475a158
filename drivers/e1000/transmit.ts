/** The transmit ring. Section numbers are those of Intel's manual, see `registers.ts`. */

import * as driver from "../../src/driver/mod.ts";
import {
  type Channel,
  DeviceError,
  type DmaMemory,
  type NetPort,
  type Registers,
  sleep,
  until,
} from "../../src/driver/mod.ts";
import { Counter } from "./counter.ts";
import { REG, TX, TX_CONTEXT, TX_DESC } from "./registers.ts";
import { Standstill } from "./standstill.ts";

// V8 compiles constants of this module into the code, and looks imported ones up anew each time.
const { CONTEXT, ERROR, LAST, LENGTH_MASK } = driver;
const { ADDRESS_LOW, ADDRESS_HIGH, LENGTH_FLAGS, TOKEN } = driver.ENTRY;
const { DATA, EOP, IFCS, TSE, RS, DEXT, TCP, IP, DD, IXSM, TXSM } = TX;
const COMMAND = TX_DESC.command.word;
const STATUS = TX_DESC.status.word;

/** Most bytes of one data descriptor. The card takes more (§3.3.7), but has 16 KiB of packet buffer to send. */
const CHUNK = 4096;
/** Most descriptors of a ring, less one: with it V8 knows how large an index can be, and checks less. */
const MOST = 4095;
/** Descriptors of a frame that the card cannot send: more than any ring has. */
const UNSENDABLE = 1 << 30;
/** A report is asked of every so many frames, and of the last of a batch. */
const REPORT_EVERY = 16;
/** Bytes of an Ethernet header; where the checksum is in an IPv4 and in a TCP header. */
const ETHERNET_HEADER = 14;
const IP_CHECKSUM = 10;
const TCP_CHECKSUM = 16;

/** How `transmit` ended: nothing is left to send, what is left must wait, or the budget is used up. */
export const ALL = 0;
export const WAIT = 1;
export const BUDGET = 2;

/** Descriptors of frames on their way, from `#clean`, the oldest, up to `#tail`. */
export class TransmitRing {
  readonly #regs: Registers;
  readonly #ring: Channel;
  readonly #submissions: Uint32Array;
  readonly #words: Uint32Array;
  /** Descriptors less one: slots, frames and reports are counted modulo it. */
  readonly #mask: number;
  #tail = 0;
  #clean = 0;
  /** Frames by number: token, and slot of the last descriptor. */
  readonly #tokens: Uint32Array;
  readonly #ends: Uint32Array;
  #posted = 0;
  #done = 0;
  /** Numbers of the frames that report, plus one: when one is done, so are all before it. */
  readonly #reports: Uint32Array;
  #asked = 0;
  #seen = 0;
  /** Frames posted when the last report was asked for. */
  #covered = 0;
  /** Where the last context has the card sum, and its command; a command of 0 matches none. */
  #sums = 0;
  #command = 0;
  /** The last frame was cut into segments. */
  #afterSegments = false;
  readonly #standstill = new Standstill();
  /** Frames that the card counts as sent, and that count and `#done` at the last look. */
  readonly #counter: Counter;
  #sentAtLook = 0;
  #doneAtLook = 0;
  #sentNone = false;

  /** Set-up, §14.5; the card sends nothing before `start`. */
  constructor(regs: Registers, { tx }: NetPort, memory: DmaMemory) {
    const slots = memory.words.length / TX_DESC.words;
    this.#regs = regs;
    this.#ring = tx;
    this.#submissions = tx.submissions;
    this.#words = memory.words;
    this.#mask = slots - 1;
    this.#tokens = new Uint32Array(slots);
    this.#ends = new Uint32Array(slots);
    this.#reports = new Uint32Array(slots);
    this.#counter = new Counter(regs, [REG.GPTC]);
    regs.write(REG.TCTL, 0);
    regs.write(REG.TDBAL, memory.low);
    regs.write(REG.TDBAH, memory.high);
    regs.write(REG.TDLEN, slots * TX_DESC.size);
    regs.write(REG.TDH, 0);
    regs.write(REG.TDT, 0);
    regs.write(REG.TIPG, REG.TIPG.IPGT.of(10) | REG.TIPG.IPGR1.of(8) | REG.TIPG.IPGR2.of(6));
  }

  /** Frames were given to the card and it has not yet said that they are sent. */
  get busy(): boolean {
    return this.#done !== this.#posted;
  }

  /**
   * Whether the card has had nothing left to send, by TDH and TDT, since the last look at least, and a frame is not
   * done: it does not say so, or does not know of it.
   */
  standsStill(): boolean {
    const regs = this.#regs;
    return this.#standstill.look(this.busy && regs.read(REG.TDH) === regs.read(REG.TDT), this.#done);
  }

  /** Whether frames were done both since the last look and before that, and the card counts none as sent, §13.7. */
  sendsNothing(): boolean {
    const sent = this.#counter.read();
    const isNone = this.#done !== this.#doneAtLook && sent === this.#sentAtLook;
    const sendsNothing = isNone && this.#sentNone;
    this.#sentNone = isNone;
    this.#sentAtLook = sent;
    this.#doneAtLook = this.#done;
    return sendsNothing;
  }

  /** §13.4.33. */
  start(): void {
    const { EN, PSP, CT, COLD } = REG.TCTL;
    this.#regs.write(REG.TCTL, EN.mask | PSP.mask | CT.of(15) | COLD.of(64));
  }

  /** Lets the card send what it has, stops it, and drops what it could not send. */
  async stop(): Promise<void> {
    try {
      await until(() => (this.reclaim(), !this.busy), { ms: 20, what: "frames to be sent" });
      this.#regs.write(REG.TCTL, 0);
    } catch (error) {
      if (!(error instanceof DeviceError)) throw error;
      this.#regs.write(REG.TCTL, 0);
      await sleep(10); // a transfer that is under way ends
      for (; this.busy; this.#done = (this.#done + 1) | 0) {
        this.#ring.complete(this.#tokens[this.#done & this.#mask], ERROR);
      }
      this.#ring.publish();
      this.#regs.write(REG.TDH, 0);
      this.#regs.write(REG.TDT, 0);
      this.#tail = this.#clean = 0;
      this.#seen = this.#asked;
      this.#command = 0; // the card may not have read the last context
    }
  }

  /**
   * Gives frames to the card, §3.4. One function for all frames of a batch: what they share is looked up once,
   * where V8 would not have compiled a function for each of them into this one.
   */
  transmit(budget: number): number {
    const ring = this.#ring;
    const words = this.#submissions;
    const tx = this.#words;
    const mask = this.#mask;
    const before = this.#tail;
    let left = ring.available();
    let frames = 0;
    for (; left > 0 && frames < budget; frames++) {
      const descriptors = this.#measure(left);
      if (descriptors === 0) break; // the kernel is still submitting this frame
      if (descriptors > mask) {
        left -= this.#drop();
        continue;
      }
      if (descriptors > ((this.#clean - this.#tail - 1) & mask)) break;

      // The descriptors of the frame, §3.3.7.
      let slot = this.#tail & MOST;
      let chunk = CHUNK;
      let command = DATA | DEXT | IFCS;
      let options = 0;
      for (let last = false; !last; left--) {
        const at = ring.take();
        const word = words[at + LENGTH_FLAGS];
        if ((word & CONTEXT) !== 0) {
          const segments = words[at + ADDRESS_HIGH];
          options = TXSM;
          if (segments !== 0) {
            chunk = segmentChunk(segments);
            command |= TSE;
            options |= IXSM;
          }
          slot = this.#context(at, slot);
          continue;
        }
        last = (word & LAST) !== 0;
        const length = word & LENGTH_MASK;
        if (length > chunk || (last && ((command & TSE) !== 0 || this.#afterSegments))) {
          slot = this.#pieces(at, slot, command, options, chunk);
        } else {
          tx[slot << 2] = words[at + ADDRESS_LOW];
          tx[(slot << 2) + 1] = words[at + ADDRESS_HIGH];
          tx[(slot << 2) + COMMAND] = last ? command | EOP | length : command | length;
          tx[(slot << 2) + STATUS] = options;
          slot = (slot + 1) & mask & MOST;
        }
        if (last) this.#tokens[this.#posted & mask & MOST] = words[at + TOKEN];
      }
      this.#ends[this.#posted & mask & MOST] = (slot - 1) & mask;
      this.#posted = (this.#posted + 1) | 0;
      this.#tail = slot;
      this.#afterSegments = (command & TSE) !== 0;
      if ((this.#posted & (REPORT_EVERY - 1)) === 0) this.#ask();
    }
    if (this.#tail !== before) {
      if (this.#covered !== this.#posted) this.#ask();
      this.#regs.write(REG.TDT, this.#tail); // the descriptors are in memory before the card may look at them
    }
    return left === 0 ? ALL : frames === budget ? BUDGET : WAIT;
  }

  /**
   * Writes the descriptors of a submission that takes more than one, or ends a frame that was segmented or comes
   * after one, and returns the slot after them. Erratum: the card may report such a frame before it has fetched
   * the end of its last descriptor. One of 4 bytes it fetches in time.
   */
  #pieces(at: number, slot: number, command: number, options: number, chunk: number): number {
    const words = this.#submissions;
    const tx = this.#words;
    const last = (words[at + LENGTH_FLAGS] & LAST) !== 0;
    const split = last && ((command & TSE) !== 0 || this.#afterSegments);
    let low = words[at + ADDRESS_LOW];
    let high = words[at + ADDRESS_HIGH];
    for (let left = words[at + LENGTH_FLAGS] & LENGTH_MASK; left > 0;) {
      const bytes = split && left > 8 && left <= chunk ? left - 4 : Math.min(left, chunk);
      left -= bytes;
      tx[slot << 2] = low;
      tx[(slot << 2) + 1] = high;
      tx[(slot << 2) + COMMAND] = command | bytes | (last && left === 0 ? EOP : 0);
      tx[(slot << 2) + STATUS] = options;
      low = (low + bytes) >>> 0;
      if (low < bytes) high++;
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  /**
   * Most descriptors that the next frame takes: 0 if it is not all there among `left` submissions,
   * `UNSENDABLE` or more if the card cannot send it.
   */
  #measure(left: number): number {
    const ring = this.#ring;
    const words = this.#submissions;
    let chunk = CHUNK;
    let descriptors = 1; // the last may be split
    for (let i = 0; i < left; i++) {
      const at = ring.peek(i);
      const word = words[at + LENGTH_FLAGS];
      const length = word & LENGTH_MASK;
      if (length === 0) descriptors = UNSENDABLE;
      if ((word & CONTEXT) !== 0) {
        const offsets = words[at + ADDRESS_LOW];
        const segments = words[at + ADDRESS_HIGH];
        const header = segments >>> 16;
        // These are bytes in the descriptor, and a header without data makes no segment.
        if ((offsets & 0xff00ff00) !== 0 || header > 255 || header >= length) descriptors = UNSENDABLE;
        if (segments !== 0) chunk = segmentChunk(segments);
        descriptors++;
      } else {
        descriptors += length <= chunk ? 1 : Math.ceil(length / chunk);
      }
      if ((word & LAST) !== 0) return descriptors;
    }
    return 0;
  }

  /** Refuses the next frame; returns its submissions. */
  #drop(): number {
    const ring = this.#ring;
    for (let entries = 1;; entries++) {
      const at = ring.take();
      if ((ring.submissions[at + LENGTH_FLAGS] & LAST) === 0) continue;
      ring.complete(ring.submissions[at + TOKEN], ERROR);
      ring.publish();
      return entries;
    }
  }

  /**
   * Writes a context descriptor, §3.3.6, and returns the slot after it. Without segments only where to sum
   * matters, and one that the card already holds is left out. With segments the card writes lengths and the
   * IPv4 checksum into each header; the kernel has zeroed them, and has put the sum of the pseudo header
   * without the length where the TCP checksum goes.
   */
  #context(at: number, slot: number): number {
    const tx = this.#words;
    const words = this.#submissions;
    const word = words[at + LENGTH_FLAGS];
    const segments = words[at + ADDRESS_HIGH];
    const start = words[at + ADDRESS_LOW] & 0xff;
    const offset = words[at + ADDRESS_LOW] >>> 16;
    const { ipStart, ipOffset, ipEnd, tcpStart, tcpOffset, headerLength, segmentSize, command, status } =
      TX_CONTEXT;
    const offsets = start << tcpStart.shift | offset << tcpOffset.shift;
    const tcp = DEXT | (offset - start === TCP_CHECKSUM ? TCP : 0);
    const to = slot << 2;
    if (segments === 0) {
      if (offsets === this.#sums && tcp === this.#command) return slot;
      tx[to + ipStart.word] = 0;
      tx[to + command.word] = tcp;
      tx[to + status.word] = 0;
      this.#command = tcp;
    } else {
      const header = segments >>> 16;
      const ip = ETHERNET_HEADER << ipStart.shift | (ETHERNET_HEADER + IP_CHECKSUM) << ipOffset.shift;
      tx[to + ipStart.word] = ip | (start - 1) << ipEnd.shift;
      tx[to + command.word] = tcp | IP | TSE | ((word & LENGTH_MASK) - header);
      tx[to + status.word] = header << headerLength.shift | (segments & 0xffff) << segmentSize.shift;
      this.#command = 0; // whether the card still holds an older one is not for us to guess
    }
    tx[to + tcpStart.word] = offsets;
    this.#sums = offsets;
    return (slot + 1) & this.#mask;
  }

  /** Has the card say when the frame posted last is done, and with it all before it, §3.3.3.1. */
  #ask(): void {
    this.#words[(this.#ends[(this.#posted - 1) & this.#mask] << 2) + COMMAND] |= RS;
    this.#reports[this.#asked & this.#mask] = this.#posted;
    this.#asked = (this.#asked + 1) | 0;
    this.#covered = this.#posted;
  }

  /** Completes the frames that the card is done with. True if there were any. */
  reclaim(): boolean {
    const ring = this.#ring;
    const tokens = this.#tokens;
    const mask = this.#mask;
    const before = this.#done;
    let done = before;
    while (this.#seen !== this.#asked) {
      const upTo = this.#reports[this.#seen & mask] | 0;
      const end = this.#ends[(upTo - 1) & mask] & MOST;
      if ((this.#words[(end << 2) + STATUS] & DD) === 0) break;
      for (; done !== upTo; done = (done + 1) | 0) ring.complete(tokens[done & mask & MOST], 0);
      this.#clean = (end + 1) & mask;
      this.#seen = (this.#seen + 1) | 0;
    }
    this.#done = done;
    if (done !== before) ring.publish();
    return done !== before;
  }
}

/** The card reserves room for four segments before it fetches a descriptor: more would overrun it. */
function segmentChunk(segments: number): number {
  return Math.min(CHUNK, (segments & 0xffff) << 2);
}
