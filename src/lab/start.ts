// A guest that stops for good while it boots, and another that is started in its place.
import { UserError } from "../error.ts";
import type { Progress } from "../progress.ts";

/** Machines started for one lab, at most. */
const STARTS = 3;

/** A guest that says nothing any more and is not up. */
export class SilentGuest extends UserError {
  override name = "SilentGuest";
}

/** Fulfilled when `said`, the length of a console's text, has not grown for `ms` milliseconds. */
export async function silent(
  said: () => number,
  ms: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  let length = said();
  let since = performance.now();
  while (!signal.aborted) {
    await new Promise((resolve) => setTimeout(resolve, Math.min(ms / 10, 500)));
    if (said() !== length) {
      length = said();
      since = performance.now();
    } else if (performance.now() - since >= ms) return;
  }
}

/**
 * Starts a machine, and another one if its guest stops while it boots: without KVM one in some hundreds has
 * been seen to, in its first second, before anything of this project runs in it. What fails otherwise has
 * failed.
 */
export async function startAgain<T>(start: () => Promise<T>, progress: Progress): Promise<T> {
  for (let left = STARTS - 1;; left--) {
    try {
      return await start();
    } catch (error) {
      if (!(error instanceof SilentGuest) || left === 0) throw error;
      progress(`${error.message}; starting another machine`);
    }
  }
}
