// Machines that stop for good by themselves, and others that are started in their place.
import { UserError } from "../error.ts";
import type { Progress } from "../progress.ts";
import { signalOf } from "./shell.ts";

/** Machines started for one lab, at most. */
const STARTS = 3;

/** A guest that says nothing any more and is not up. */
export class SilentGuest extends UserError {
  override name = "SilentGuest";
}

/** Signals that a process ends with by a fault of its own. */
const FAULTS: readonly string[] = ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGBUS", "SIGILL", "SIGTRAP"];

/** QEMU has ended by a fault of its own, and the machine with it. */
export class QemuCrash extends UserError {
  override name = "QemuCrash";
  /** What it ended with, `SIGSEGV`. */
  readonly signal: string;

  /** @param doing What the lab was wanted for, as in "while it ran ls". */
  constructor(signal: string, doing: string) {
    super(`QEMU ended with ${signal} ${doing}: a fault of its own; try again`);
    this.signal = signal;
  }
}

/** The crash that an exit status of QEMU's tells of, if it does. @param doing See {@link QemuCrash}. */
export function crashOf(status: number, doing: string): QemuCrash | undefined {
  const signal = signalOf(status);
  return signal !== undefined && FAULTS.includes(signal) ? new QemuCrash(signal, doing) : undefined;
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
 * Starts a machine, and another one if its guest stops while it boots, or QEMU crashes: without KVM one in some
 * hundreds has been seen to, in its first second, before anything of this project runs in it. What fails
 * otherwise has failed.
 */
export async function startAgain<T>(start: () => Promise<T>, progress: Progress): Promise<T> {
  for (let left = STARTS - 1;; left--) {
    try {
      return await start();
    } catch (error) {
      const another = error instanceof SilentGuest || error instanceof QemuCrash;
      if (!another || left === 0) throw error;
      progress(`${error.message}; starting another machine`);
    }
  }
}
