import type { Device } from "../driver/device.ts";
import type { Channel } from "../driver/rings.ts";

/** What a disk can do. Absent means it cannot, or is not. */
export interface BlockFeatures {
  /** Keeps writes in a cache that a loss of power empties, and empties it to the medium when asked. */
  cache?: boolean;
  /** A write can be forced past that cache. */
  fua?: boolean;
  discard?: boolean;
  /** Writes zeroes without being given them. */
  zeroes?: boolean;
  readOnly?: boolean;
  rotational?: boolean;
}

/** What a driver says of its disk when it is ready for requests. */
export interface BlockAttach {
  /** Size in sectors of 512 bytes: up to 2^53. */
  sectors: number;
  /** Bytes; powers of two. */
  logicalBlock: number;
  physicalBlock: number;
  /** Most sectors of 512 bytes in one request. */
  maxSectors: number;
  /** Most segments of one request. */
  maxSegments: number;
  /** Most bytes of one segment. */
  maxSegment: number;
  /** No segment crosses a multiple of so many bytes; absent: they may. */
  boundary?: number;
  /** Segments begin and end at multiples of so many bytes. */
  alignment: number;
  /** Requests at a time on each queue. */
  depth: number;
  /** How many of the port's queues it serves: the first ones. */
  queues: number;
  /** Most sectors of one discard, or of zeroes. */
  maxDiscard?: number;
  features: BlockFeatures;
  /** Names the disk; with the size, it says whether another driver's disk is the same. */
  model: string;
  serial: string;
}

/** The kernel's disk, seen from the driver. */
export interface BlockPort {
  /**
   * Requests, a channel for each queue. A request is a CONTEXT entry that says what to do, and its segments, all
   * with one token, the last flagged LAST; see `operationOf` and `docs/rings.md`. Complete each once: with its
   * length in sectors, or with ERROR and one of `BLOCK_ERROR`.
   */
  readonly queues: readonly Channel[];

  /** Tells the kernel of the disk: once, at the end of `bringUp`. */
  attach(info: BlockAttach): void;
}

/**
 * A disk's driver: three verbs. The host calls `bringUp` once, then for ever `interrupt` when a granted vector
 * fired and `poll` until it has no more work.
 */
export interface BlockDriver<State> {
  class: "block";
  /** Interrupt vectors that it cannot do without; 1 unless said. */
  vectors?: number;
  /** Resets the device, finds the disk, and attaches. Every wait in it has a deadline. */
  bringUp(device: Device, port: BlockPort): Promise<State>;
  /** Takes note of why the device interrupted. `vectors` has a bit per vector. */
  interrupt(state: State, vectors: number): void;
  /** Takes requests that there is room for and completes those that are done. True if there is more to do at once. */
  poll(state: State, budget: number): boolean;
}
