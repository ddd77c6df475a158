/** Registers of QEMU's edu device, 1234:11e8, by its documentation (docs/specs/edu), and the memory beside them. */
import { registers, ro, wo } from "../../../src/driver/mod.ts";

/** Those that interrupts take, in BAR 0. */
export const REG = registers({
  /** Why it interrupts: what was written to RAISE and not yet acknowledged. */
  STATUS: ro(0x24),
  /** Interrupts at once, for these reasons. The driver leaves it to whoever measures. */
  RAISE: wo(0x60),
  /** Takes reasons back. */
  ACKNOWLEDGE: wo(0x64),
});

/**
 * Words of the memory that the driver and `bench/inside/raise.c` share, as in `bench/inside/wakeup.h`: those that
 * one writes while the other looks are in cache lines of their own.
 */
export const WORD = {
  /** 1 once the driver has been woken; cleared by whoever waits for that. */
  ANSWER: 0,
  /** Milliseconds between two lots of garbage, 0 for none; the driver looks at each interrupt. */
  GARBAGE: 16,
  /** 1 while it makes garbage. */
  BUSY: 32,
  /** Lots so far, and the microseconds that they took: in all, and the longest. */
  LOTS: 33,
  TOOK: 34,
  LONGEST: 35,
} as const;

/** Bytes of that memory. */
export const SHARED = 4096;
