/** The kernel's side of a network port. It believes nothing: any breach of the ring protocol throws. */

import { concat } from "../../src/bytes.ts";
import {
  Channel,
  CONTEXT,
  CSUM,
  ENTRY,
  ERROR,
  LAST,
  LENGTH_MASK,
  type NetAttach,
  type NetPort,
  type NetReport,
} from "../../src/driver/mod.ts";
import { CONTROL } from "../../src/driver/rings.ts";
import type { BusMemory } from "./dma.ts";

/** The page of control blocks that a port's memory begins with, and bytes of each block. */
const CONTROL_PAGE = 4096;
const CONTROL_BYTES = 256;

/** The memory of a port: a page of control blocks, then the rings of each channel, as the kernel lays it out. */
export function portMemory(channels: number, size: number): SharedArrayBuffer {
  return new SharedArrayBuffer(CONTROL_PAGE + channels * size * 32);
}

/** The kernel's side of one channel, over the memory that it shares with `channel`. */
export class FakeChannel {
  readonly channel: Channel;
  /** Entries submitted and not yet reaped. */
  outstanding = 0;
  readonly #control: Int32Array;
  readonly #submissions: Uint32Array;
  readonly #completions: Uint32Array;
  readonly #kick = new Uint32Array(1);
  #submitted = 0;
  #reaped = 0;

  /** @param options `memory` of the port; `index`: which of its channels it is. */
  constructor(
    size: number,
    { memory = portMemory(1, size), index = 0 }: { memory?: SharedArrayBuffer; index?: number } = {},
  ) {
    const rings = CONTROL_PAGE + index * size * 32;
    this.#control = new Int32Array(memory, index * CONTROL_BYTES, CONTROL_BYTES / 4);
    this.#submissions = new Uint32Array(memory, rings, size * 4);
    this.#completions = new Uint32Array(memory, rings + size * 16, size * 4);
    this.channel = new Channel({
      control: this.#control,
      submissions: this.#submissions,
      completions: this.#completions,
      kick: this.#kick,
      kickWord: 0,
      kickBit: 1,
    });
  }

  get size(): number {
    return this.channel.size;
  }

  /** Whether a WAIT would sleep as far as this channel goes. */
  get seen(): boolean {
    return this.#control[CONTROL.SEEN] === this.#control[CONTROL.SUBMITTED];
  }

  /** Writes an entry that the driver does not see before `show`. */
  submit(entry: { low: number; high: number; lengthFlags: number; token: number }): void {
    if (++this.outstanding > this.size) throw new Error("The test submits more than the ring holds");
    const at = (this.#submitted & (this.size - 1)) << 2;
    this.#submissions[at + ENTRY.ADDRESS_LOW] = entry.low;
    this.#submissions[at + ENTRY.ADDRESS_HIGH] = entry.high;
    this.#submissions[at + ENTRY.LENGTH_FLAGS] = entry.lengthFlags;
    this.#submissions[at + ENTRY.TOKEN] = entry.token;
    this.#submitted = (this.#submitted + 1) | 0;
  }

  /** Shows the driver what was submitted, but for the last `except` entries. */
  show(except = 0): void {
    Atomics.store(this.#control, CONTROL.SUBMITTED, (this.#submitted - except) | 0);
  }

  /** Takes what was completed, as WAIT does for channels that are kicked. */
  *reap(): Generator<{ token: number; lengthFlags: number }> {
    const completed = Atomics.load(this.#control, CONTROL.COMPLETED);
    if (completed !== this.#reaped && this.#kick[0] === 0) throw new Error("Completions without a kick");
    this.#kick[0] = 0;
    for (; this.#reaped !== completed; this.#reaped = (this.#reaped + 1) | 0) {
      const at = (this.#reaped & (this.size - 1)) << 2;
      yield {
        token: this.#completions[at + ENTRY.TOKEN],
        lengthFlags: this.#completions[at + ENTRY.LENGTH_FLAGS],
      };
    }
  }
}

/** A frame handed up. */
export interface Received {
  data: Uint8Array;
  /** Its checksum was verified by the device. */
  verified: boolean;
}

/** Offload parameters, as in `R3_ENTRY_CONTEXT`. */
export interface Offload {
  start: number;
  offset: number;
  segmentSize?: number;
  headerLength?: number;
  flags: number;
}

interface Buffer {
  token: number;
  address: number;
  bytes: Uint8Array;
}

/** Polls a driver as the host does before it sleeps. @throws if it would not come to that. */
export function pollUntilIdle(port: { reap(): void; readonly idle: boolean }, poll: () => boolean): void {
  for (let more = true, i = 0; more; i++) {
    if (i === 1000) throw new Error("poll never has enough");
    more = poll();
    port.reap();
  }
  if (!port.idle) throw new Error("The driver left submissions unseen: WAIT would not sleep");
}

/** The port. `reap()` after every poll; it fills `received` and `sent`. */
export class FakePort implements NetPort {
  readonly rxBufferSize: number;
  attached?: NetAttach;
  readonly reports: NetReport[] = [];
  readonly received: Received[] = [];
  /** Frames received that were to be dropped. */
  dropped = 0;
  /** Tokens of frames completed, in order; those completed with an error are in `refused` instead. */
  readonly sent: number[] = [];
  readonly refused: number[] = [];
  readonly #tx: FakeChannel;
  readonly #rx: FakeChannel;
  readonly #bus: BusMemory;
  readonly #frames = new Map<number, { entries: number; addresses: number[] }>();
  readonly #buffers: Buffer[] = [];
  #parts: Uint8Array[] = [];
  #serial = 0;

  constructor(bus: BusMemory, options: { rings?: number; rxBufferSize?: number } = {}) {
    const { rings = 256, rxBufferSize = 4096 } = options;
    this.#bus = bus;
    const memory = portMemory(2, rings);
    this.#tx = new FakeChannel(rings, { memory, index: 0 });
    this.#rx = new FakeChannel(rings, { memory, index: 1 });
    this.rxBufferSize = rxBufferSize;
  }

  get tx(): Channel {
    return this.#tx.channel;
  }

  get rx(): Channel {
    return this.#rx.channel;
  }

  /** Frames that the driver holds. */
  get framesOut(): number {
    return this.#frames.size;
  }

  /** Entries that may still be submitted. */
  get txRoom(): number {
    return this.#tx.size - this.#tx.outstanding;
  }

  /** Buffers that the driver holds. */
  get buffersOut(): number {
    return this.#buffers.length;
  }

  /** Whether a WAIT would sleep. */
  get idle(): boolean {
    return this.#tx.seen && this.#rx.seen;
  }

  attach(info: NetAttach): void {
    if (this.attached) throw new Error("Attached twice");
    this.attached = info;
  }

  report(report: NetReport): void {
    if (!this.attached) throw new Error("Reported before it attached");
    this.reports.push(report);
  }

  /** Submits a frame in the given pieces; returns its token. */
  send(
    pieces: Uint8Array[],
    options: { offload?: Offload; addresses?: number[]; hold?: boolean } = {},
  ): number {
    const token = this.#token();
    const addresses: number[] = [];
    const { offload } = options;
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    if (offload) {
      this.#tx.submit({
        low: offload.start | offload.offset << 16,
        high: (offload.segmentSize ?? 0) | (offload.headerLength ?? 0) << 16,
        lengthFlags: (length | CONTEXT | offload.flags) >>> 0,
        token,
      });
    }
    for (const [i, piece] of pieces.entries()) {
      const address = this.#bus.map(piece, { writable: false, address: options.addresses?.[i] });
      addresses.push(address);
      const last = i === pieces.length - 1 ? LAST : 0;
      this.#tx.submit({
        ...halves(address),
        lengthFlags: (piece.length | last | (offload?.flags ?? 0)) >>> 0,
        token,
      });
    }
    if (!options.hold) this.#tx.show();
    this.#frames.set(token, { entries: pieces.length + (offload ? 1 : 0), addresses });
    return token;
  }

  /** Shows the driver what was submitted with `hold`, but for the last `except` entries. */
  show(except = 0): void {
    this.#tx.show(except);
  }

  /** Submits receive buffers. */
  supply(count: number): void {
    for (let i = 0; i < count; i++) {
      const bytes = new Uint8Array(this.rxBufferSize);
      const address = this.#bus.map(bytes, { writable: true });
      const token = this.#token();
      this.#rx.submit({ ...halves(address), lengthFlags: this.rxBufferSize, token });
      this.#buffers.push({ token, address, bytes });
    }
    this.#rx.show();
  }

  /** Submits as many receive buffers as the ring holds. */
  fill(): void {
    this.supply(this.#rx.size - this.#buffers.length);
  }

  /** Takes completions of both channels and checks each. What is completed is no longer the device's. */
  reap(): void {
    for (const { token, lengthFlags } of this.#tx.reap()) {
      const frame = this.#frames.get(token);
      if (frame === undefined) throw new Error(`TX: token ${token} is not out`);
      if ((lengthFlags & ~ERROR) !== 0) throw new Error(`TX: completion with 0x${lengthFlags.toString(16)}`);
      this.#frames.delete(token);
      this.#tx.outstanding -= frame.entries;
      for (const address of frame.addresses) this.#bus.unmap(address);
      (lengthFlags === 0 ? this.sent : this.refused).push(token);
    }
    for (const { token, lengthFlags } of this.#rx.reap()) {
      const buffer = this.#buffers.shift();
      if (buffer?.token !== token) {
        throw new Error(`RX: token ${token}, not ${buffer?.token}: unknown or out of order`);
      }
      const length = lengthFlags & LENGTH_MASK;
      if (length > buffer.bytes.length) {
        throw new Error(`RX: ${length} bytes in a buffer of ${buffer.bytes.length}`);
      }
      this.#rx.outstanding--;
      this.#bus.unmap(buffer.address);
      this.#parts.push(buffer.bytes.subarray(0, length));
      if ((lengthFlags & LAST) === 0) continue;
      if ((lengthFlags & ERROR) !== 0) this.dropped++;
      else this.received.push({ data: concat(this.#parts), verified: (lengthFlags & CSUM) !== 0 });
      this.#parts = [];
    }
  }

  /** Tokens look like nothing that a driver could make up. */
  #token(): number {
    return Math.imul(++this.#serial, 0x9e3779b1) >>> 0;
  }
}

function halves(address: number): { low: number; high: number } {
  return { low: address % 2 ** 32, high: Math.floor(address / 2 ** 32) };
}
