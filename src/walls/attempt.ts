/** What an attempt to get past the walls is, and what becomes of it. */
import type { Wall } from "../manifest/mod.ts";

/**
 * What may stop an attempt. `user` is what Linux refuses everybody who owns nothing: permissions of files,
 * capabilities, resource limits, calls that are switched off.
 */
export type WallName = "language" | Wall | "user" | "module" | "iommu";

/** A wall that an attempt meets, once those before it are out of the way. */
export interface Stop {
  wall: WallName;
  /** What the outcome is like, if this wall has stopped it. */
  evidence: RegExp;
}

/** Something that a hostile driver tries. */
export interface Attempt {
  /** A few words, unique among all. */
  name: string;
  /** What it would gain. */
  what: string;
  /** In the order in which they stop it: each is tried with those before it switched off. */
  stops: readonly Stop[];
}

/** `limits.start` of hostile drivers: what is looked at is how they end, on a kernel with every check too. */
export const START = "2min";

/** How long the supervisor and such a driver may take until it is up, milliseconds. */
export const START_MS = 300_000;

/** What one of its walls did. */
export interface Stopped {
  wall: WallName;
  /** What was seen, in a line. */
  outcome: string;
  /** Whether that is the evidence. */
  held: boolean;
}

/** What became of an attempt. */
export interface AttemptResult {
  name: string;
  stops: Stopped[];
  /** What an attempt has left or changed that it should not have, a line each. */
  problems: string[];
}
