/**
 * Requests in a channel: a CONTEXT entry that says what to do, and then its segments, all with one token, the
 * last of them with LAST. Everything here reads entries in place and allocates nothing.
 */

import { type Channel, CONTEXT, ENTRY, ERROR, LAST, LENGTH_MASK } from "../driver/rings.ts";

/** What a request asks for: the values of `operationOf`. */
export const OPERATION = {
  READ: 0x00000000,
  WRITE: 0x00100000,
  /** Empty the disk's cache to the medium. Has neither sectors nor segments. */
  FLUSH: 0x00200000,
  /** The sectors hold nothing that matters any more. No segments. */
  DISCARD: 0x00300000,
  /** Write zeroes. No segments. */
  ZEROES: 0x00400000,
} as const;

/** In the length and flags word of CONTEXT, beside WRITE: past the disk's cache. */
export const FORCE = 0x01000000;

/** Where in that word the operation is. */
const OPERATION_MASK = 0x00f00000;

/** What went wrong with a request: completed with `ERROR | BLOCK_ERROR.…`, or `failBlock`. */
export const BLOCK_ERROR = {
  IO: 0,
  /** The sectors cannot be read or written. */
  MEDIUM: 1,
  /** The device did not answer. */
  TIMEOUT: 2,
  UNSUPPORTED: 3,
  /** The disk refuses writes. */
  PROTECTED: 4,
  /** No medium, or no device. */
  GONE: 5,
} as const;

/** One of `OPERATION`; of a word at `at + ENTRY.LENGTH_FLAGS` of a CONTEXT entry. */
export function operationOf(lengthFlags: number): number {
  return lengthFlags & OPERATION_MASK;
}

/** Sectors of 512 bytes, of that word. */
export function sectorsOf(lengthFlags: number): number {
  return lengthFlags & LENGTH_MASK;
}

/** Whether it has to be on the medium before it is complete, of that word. */
export function isForced(lengthFlags: number): boolean {
  return (lengthFlags & FORCE) !== 0;
}

/**
 * Entries of the next request, its CONTEXT included: 0 if not all of it is among the `left` submissions that can
 * be taken. It is at `channel.peek(0)`, its segments at `peek(1)` and on.
 * @throws {RangeError} if it does not begin with CONTEXT, or another begins in it: the ring is not what it must be.
 */
export function requestEntries(channel: Channel, left: number): number {
  const words = channel.submissions;
  for (let i = 0; i < left; i++) {
    const word = words[channel.peek(i) + ENTRY.LENGTH_FLAGS];
    if (((word & CONTEXT) !== 0) !== (i === 0)) {
      throw new RangeError("Cannot read the ring: a request does not begin with its context");
    }
    if ((word & LAST) !== 0) return i + 1;
  }
  return 0;
}

/** Takes the `entries` of a request that has been read by `peek`. */
export function takeRequest(channel: Channel, entries: number): void {
  for (let i = 0; i < entries; i++) channel.take();
}

/** Completes a request, done in all its `sectors`. Shown to the kernel by `channel.publish()`. */
export function completeBlock(channel: Channel, token: number, sectors: number): void {
  channel.complete(token, sectors);
}

/** Completes a request that failed. @param error One of `BLOCK_ERROR`. */
export function failBlock(channel: Channel, token: number, error: number): void {
  channel.complete(token, ERROR | error);
}
