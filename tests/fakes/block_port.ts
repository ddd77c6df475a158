/** The kernel's side of a block port. It believes nothing: any breach of the ring protocol throws. */

import {
  type BlockAttach,
  type BlockPort,
  type Channel,
  CONTEXT,
  ERROR,
  FORCE,
  LAST,
  LENGTH_MASK,
  OPERATION,
} from "../../src/driver/mod.ts";
import type { BusMemory } from "./dma.ts";
import { FakeChannel, portMemory } from "./port.ts";

/** Bytes of a sector. */
const SECTOR = 512;

/** A request to be submitted. */
export interface FakeRequest {
  operation: number;
  /** First sector of 512 bytes. */
  sector?: number;
  /** Of a request without segments. */
  sectors?: number;
  /** Memory to read into or to write from. */
  segments?: Uint8Array[];
  /** Where the segments are for the device, instead of pages apart. */
  addresses?: number[];
  force?: boolean;
  queue?: number;
  /** Not shown to the driver before `show`. */
  hold?: boolean;
}

interface InFlight {
  queue: number;
  entries: number;
  sectors: number;
  addresses: number[];
}

/** Channels of one port, over memory of their own. */
function channels(count: number, size: number): FakeChannel[] {
  const memory = portMemory(count, size);
  return Array.from({ length: count }, (_, index) => new FakeChannel(size, { memory, index }));
}

/** The port. `reap()` after every poll; it fills `done` and `failed`. */
export class FakeBlockPort implements BlockPort {
  attached?: BlockAttach;
  /** Tokens of requests completed, in order. */
  readonly done: number[] = [];
  /** Tokens of requests that failed, in order, each with its `BLOCK_ERROR`. */
  readonly failed: { token: number; error: number }[] = [];
  readonly #bus: BusMemory;
  #channels: FakeChannel[];
  readonly #requests = new Map<number, InFlight>();
  #serial = 0;

  constructor(bus: BusMemory, options: { rings?: number; queues?: number } = {}) {
    const { rings = 256, queues = 1 } = options;
    this.#bus = bus;
    this.#channels = channels(queues, rings);
  }

  get queues(): readonly Channel[] {
    return this.#channels.map(({ channel }) => channel);
  }

  /** Requests that the driver holds. */
  get out(): number {
    return this.#requests.size;
  }

  /** Whether a WAIT would sleep. */
  get idle(): boolean {
    return this.#channels.every(({ seen }) => seen);
  }

  /** Entries that may still be submitted to a queue. */
  room(queue = 0): number {
    return this.#channels[queue].size - this.#channels[queue].outstanding;
  }

  attach(info: BlockAttach): void {
    if (this.attached) throw new Error("Attached twice");
    const { logicalBlock, physicalBlock, alignment, queues, maxSegments, sectors, maxSectors } = info;
    for (const size of [logicalBlock, physicalBlock, alignment]) {
      if (!Number.isInteger(Math.log2(size))) throw new Error(`${size} is no power of two`);
    }
    if (queues < 1 || queues > this.#channels.length) throw new Error(`Attached with ${queues} queues`);
    if (maxSegments < 1 || maxSegments >= this.#channels[0].size) throw new Error(`${maxSegments} segments`);
    if (alignment < 4 || alignment > logicalBlock) throw new Error(`Alignment to ${alignment}`);
    if (!(sectors > 0) || maxSectors < 1 || maxSectors % (logicalBlock / SECTOR) !== 0) {
      throw new Error(`${sectors} sectors, ${maxSectors} at a time`);
    }
    if (physicalBlock < logicalBlock || physicalBlock > 2 ** 20) {
      throw new Error(`Blocks of ${physicalBlock}`);
    }
    if (maxSectors < 8 || maxSectors >= 2 ** 20) throw new Error(`${maxSectors} sectors at a time`);
    if (info.maxSegment < 4096 || info.maxSegment > 524288 || info.maxSegment % logicalBlock !== 0) {
      throw new Error(`Segments of ${info.maxSegment}`);
    }
    const { maxDiscard = 0, features } = info;
    if ((maxDiscard > 0) !== (features.discard === true || features.zeroes === true)) {
      throw new Error(`${maxDiscard} sectors of one discard`);
    }
    if (maxDiscard >= 2 ** 20 || maxDiscard % (logicalBlock / SECTOR) !== 0) {
      throw new Error(`${maxDiscard} sectors of one discard`);
    }
    if (info.depth < 1 || info.depth > 1024) throw new Error(`Depth ${info.depth}`);
    this.attached = info;
  }

  /** Submits a request; returns its token. */
  submit(request: FakeRequest): number {
    const { operation, sector = 0, segments = [], queue = 0, force = false } = request;
    const channel = this.#channels[queue];
    const token = Math.imul(++this.#serial, 0x9e3779b1) >>> 0;
    const bytes = segments.reduce((sum, { length }) => sum + length, 0);
    const sectors = request.sectors ?? bytes / SECTOR;
    channel.submit({
      low: sector % 2 ** 32,
      high: Math.floor(sector / 2 ** 32),
      lengthFlags:
        (sectors | CONTEXT | operation | (force ? FORCE : 0) | (segments.length === 0 ? LAST : 0)) >>> 0,
      token,
    });
    const addresses: number[] = [];
    for (const [i, segment] of segments.entries()) {
      const writable = operation === OPERATION.READ;
      const address = this.#bus.map(segment, { writable, address: request.addresses?.[i] });
      addresses.push(address);
      channel.submit({
        low: address % 2 ** 32,
        high: Math.floor(address / 2 ** 32),
        lengthFlags: (segment.length | (i === segments.length - 1 ? LAST : 0)) >>> 0,
        token,
      });
    }
    if (!request.hold) channel.show();
    this.#requests.set(token, { queue, entries: 1 + segments.length, sectors, addresses });
    return token;
  }

  /** Shows the driver what was submitted with `hold`, but for the last `except` entries. */
  show(except = 0, queue = 0): void {
    this.#channels[queue].show(except);
  }

  /** Takes completions of all channels and checks each. What is completed is no longer the device's. */
  reap(): void {
    for (const [queue, channel] of this.#channels.entries()) {
      for (const { token, lengthFlags } of channel.reap()) {
        const request = this.#requests.get(token);
        if (request === undefined) throw new Error(`Token ${token} is not out`);
        if (request.queue !== queue) throw new Error(`Token ${token} is of queue ${request.queue}`);
        const length = lengthFlags & LENGTH_MASK;
        const error = (lengthFlags & ERROR) !== 0;
        if (
          (lengthFlags & ~(ERROR | LENGTH_MASK)) !== 0 || (error ? length > 5 : length !== request.sectors)
        ) {
          throw new Error(`Token ${token} is completed with 0x${lengthFlags.toString(16)}`);
        }
        this.#requests.delete(token);
        channel.outstanding -= request.entries;
        for (const address of request.addresses) this.#bus.unmap(address);
        if (error) this.failed.push({ token, error: length });
        else this.done.push(token);
      }
    }
  }

  /** Takes back all that is in flight, as when a driver has ended; the rings are made anew. Tokens stay unknown. */
  takeBack(): void {
    for (const { addresses } of this.#requests.values()) {
      for (const address of addresses) this.#bus.unmap(address);
    }
    this.#requests.clear();
    this.#channels = channels(this.#channels.length, this.#channels[0].size);
    this.attached = undefined;
  }
}
