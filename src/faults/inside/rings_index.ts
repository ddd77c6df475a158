/**
 * A counter of a channel is off after the driver has shown completions. The counters are not the driver's to
 * reach through `Channel`, but they lie in the memory that its submissions are a view of: page 0 of it holds
 * the control blocks, `docs/rings.md`.
 */
import type { Make } from "./hooks.ts";

/** Words of a control block, and of a page. */
const CONTROL_WORDS = 64;
const PAGE_BYTES = 4096;

/** Where in it the counters are that the driver writes. */
const WORD = { seen: 16, completed: 32 } as const;

export const make: Make<{ channel?: number; counter: keyof typeof WORD; by: number }> = (
  { channel: chosen, counter, by },
  { trigger },
) => ({
  published(channel, submissions) {
    // A port without a kernel behind it keeps its counters elsewhere.
    if (submissions.byteOffset < PAGE_BYTES || (chosen !== undefined && chosen !== channel)) return;
    if (!trigger.hit(`counter ${counter} of channel ${channel} is off by ${by}`)) return;
    const control = new Int32Array(submissions.buffer, 0, PAGE_BYTES / 4);
    Atomics.add(control, channel * CONTROL_WORDS + WORD[counter], by);
  },
});
