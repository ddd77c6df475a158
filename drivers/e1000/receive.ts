/** The receive ring. Section numbers are those of Intel's manual, see `registers.ts`. */

import * as driver from "../../src/driver/mod.ts";
import { DeviceError, type DmaMemory, type NetPort, type Registers } from "../../src/driver/mod.ts";
import { REG, RX, RX_DESC } from "./registers.ts";
import { Standstill } from "./standstill.ts";

// V8 compiles constants of this module into the code, and looks imported ones up anew each time.
const { CSUM, ERROR, LAST } = driver;
const { ADDRESS_LOW, ADDRESS_HIGH, TOKEN } = driver.ENTRY;
const { DD, EOP, BAD, IXSM, TCPCS, TCPE } = RX;
/** Where a descriptor holds its length, and its status with errors. */
const LENGTH = RX_DESC.length.word;
const STATUS = RX_DESC.status.word;

/** The card receives nothing longer, §13.4.22. */
const LONGEST_FRAME = 16384;
/** Most descriptors of a ring, less one: with it V8 knows how large an index can be, and checks less. */
const MOST = 4095;
/** While half the ring is filled, buffers are added this many at a time: each time costs a register. */
const BATCH = 32;

/** Descriptors that hold the kernel's buffers, from `#next`, which the card fills next, up to `#tail`. */
export class ReceiveRing {
  /** Most bytes of a frame, without CRC; a longer one is dropped. */
  longest = 0;
  readonly #regs: Registers;
  readonly #port: NetPort;
  readonly #words: Uint32Array;
  /** Token of the buffer in each slot. */
  readonly #tokens: Uint32Array;
  /** Descriptors less one: slots are counted modulo it. */
  readonly #mask: number;
  /** Bytes that the card puts into a buffer. */
  readonly #bufferSize: number;
  #next = 0;
  #tail = 0;
  #filled = 0;
  /** Bytes so far of the frame being received. */
  #frame = 0;
  /** Changes with each batch that is handed over. */
  #batches = 0;
  readonly #standstill = new Standstill();

  /** Set-up, §14.4, but for RCTL. @param options `bufferSize`: what RCTL is going to say */
  constructor(regs: Registers, port: NetPort, options: { memory: DmaMemory; bufferSize: number }) {
    const { memory, bufferSize } = options;
    this.#regs = regs;
    this.#port = port;
    this.#words = memory.words;
    this.#tokens = new Uint32Array(memory.words.length / RX_DESC.words);
    this.#mask = this.#tokens.length - 1;
    this.#bufferSize = bufferSize;
    regs.write(REG.RDBAL, memory.low);
    regs.write(REG.RDBAH, memory.high);
    regs.write(REG.RDLEN, this.#tokens.length * RX_DESC.size);
    regs.write(REG.RDH, 0);
    regs.write(REG.RDT, 0);
    // Interrupts are held back by ITR alone, so that a lone frame is announced at once.
    regs.write(REG.RDTR, 0);
    regs.write(REG.RADV, 0);
  }

  /** Hands what the card received to the kernel, §3.2.3. True if there may be more than `budget` frames. */
  receive(budget: number): boolean {
    const ring = this.#port.rx;
    const words = this.#words;
    const tokens = this.#tokens;
    const mask = this.#mask;
    let slot = this.#next & MOST;
    let filled = this.#filled;
    let frame = this.#frame;
    let frames = 0;
    while (filled > 0 && frames < budget) {
      const status = words[(slot << 2) + STATUS]; // first: DD says that the rest is there
      if ((status & DD) === 0) break;
      const length = words[(slot << 2) + LENGTH] & 0xffff;
      frame += length;
      if (length > this.#bufferSize || frame > LONGEST_FRAME) {
        throw new DeviceError(
          `Cannot receive: the device claims ${length} bytes in a buffer of ${this.#bufferSize}, ` +
            `${frame} in a frame`,
        );
      }
      let flags = length;
      if ((status & EOP) !== 0) {
        flags |= LAST;
        if (frame > this.longest || (status & BAD) !== 0) flags |= ERROR;
        else if ((status & (IXSM | TCPCS | TCPE)) === TCPCS) flags |= CSUM;
        frame = 0;
        frames++;
      }
      ring.complete(tokens[slot], flags);
      slot = (slot + 1) & mask & MOST;
      filled--;
    }
    if (filled !== this.#filled) {
      this.#batches = (this.#batches + 1) | 0;
      ring.publish();
    }
    this.#next = slot;
    this.#filled = filled;
    this.#frame = frame;
    return frames === budget;
  }

  /**
   * Whether the card has been past the next descriptor, by RDH, since the last look at least, and that does not say
   * that it is filled; or has had none left, by RDT, of those that it was given. What RDH says may be ahead of what
   * is in memory, but not for as long as that.
   */
  standsStill(): boolean {
    if (this.#filled === 0) return this.#standstill.look(false, this.#batches);
    const head = this.#regs.read(REG.RDH);
    return this.#standstill.look(head !== this.#next || head === this.#regs.read(REG.RDT), this.#batches);
  }

  /** Gives empty buffers to the card, §3.2.6. One slot stays free: a full ring would look like an empty one. */
  refill(): void {
    const ring = this.#port.rx;
    const words = this.#words;
    const tokens = this.#tokens;
    const mask = this.#mask;
    const submissions = ring.submissions;
    const count = Math.min(ring.available(), mask - this.#filled);
    if (count <= 0 || (count < BATCH && this.#filled > mask >> 1)) return;
    let slot = this.#tail & MOST;
    for (let i = 0; i < count; i++) {
      const from = ring.take();
      const to = slot << 2;
      words[to] = submissions[from + ADDRESS_LOW];
      words[to + 1] = submissions[from + ADDRESS_HIGH];
      words[to + LENGTH] = 0;
      words[to + STATUS] = 0;
      tokens[slot] = submissions[from + TOKEN];
      slot = (slot + 1) & mask & MOST;
    }
    this.#tail = slot;
    this.#filled += count;
    this.#regs.write(REG.RDT, slot); // the descriptors are in memory before the card may look at them
  }
}
