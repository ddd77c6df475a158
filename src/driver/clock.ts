/** Time for drivers. Whoever runs the driver owns it: a loop that blocks in one system call, or a test. */

import { DeviceError } from "./error.ts";

/** Times are milliseconds, fractions allowed, from an origin of the clock's own. */
export interface Clock {
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Calls `fn` every `ms` from now until disposed. A call that is late is not made up for. */
  every(ms: number, fn: () => void): Disposable;
}

let ambient: Clock | undefined;
let stirred = false;

/** Makes `clock` the one that `sleep`, `every` and `until` run on. The host calls it before it loads a driver. */
export function useClock(clock: Clock): void {
  ambient = clock;
  stirred = false;
}

function current(): Clock {
  if (ambient === undefined) throw new Error("Cannot tell the time: useClock() has not been called");
  return ambient;
}

/** Says that promises have been set going, so that the host's loop lets them go on. */
export function stir(): void {
  stirred = true;
}

/** Whether promises have been set going since this was last asked. */
export function takeStirred(): boolean {
  const was = stirred;
  stirred = false;
  return was;
}

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  stir();
  return current().sleep(ms);
}

/** Calls `fn` every `ms` milliseconds until disposed; a throw in it ends the driver. */
export function every(ms: number, fn: () => void): Disposable {
  return current().every(ms, fn);
}

/** First and longest pause between two looks, milliseconds. */
const SHORTEST_PAUSE = 0.05;
const LONGEST_PAUSE = 1;

/**
 * Waits until `condition` holds, looking at least every millisecond, and once more after the deadline: a
 * process that was not scheduled for a while must not blame the device.
 *
 * @param options `ms`: the deadline; `what`: what is awaited, as in "CTRL.RST to clear after reset"
 * @throws {DeviceError} `Waited for ‹what›: gave up after ‹ms› ms`
 */
export async function until(condition: () => boolean, options: { ms: number; what: string }): Promise<void> {
  stir();
  const clock = current();
  const deadline = clock.now() + options.ms;
  let pause = SHORTEST_PAUSE;
  while (!condition()) {
    if (clock.now() >= deadline) {
      if (condition()) return;
      throw new DeviceError(`Waited for ${options.what}: gave up after ${options.ms} ms`);
    }
    await clock.sleep(pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  }
}

interface Timer {
  due: number;
  run(timer: Timer): void;
}

/**
 * A clock driven from outside: `nextDueMs()` says how long the loop may block, `runDue()` does what has
 * come due. What awaits a sleep goes on in the microtasks after `runDue()`.
 */
export class LoopClock implements Clock {
  readonly #now: () => number;
  /** By time, soonest first; those of one time in the order in which they were set. */
  readonly #timers: Timer[] = [];

  /** @param now source of time, milliseconds; `performance.now` unless given */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.#add({ due: this.#now() + ms, run: () => resolve() }));
  }

  every(ms: number, fn: () => void): Disposable {
    if (!(ms > 0)) throw new RangeError(`Cannot repeat every ${ms} ms: the period must be above zero`);
    const timer: Timer = {
      due: this.#now() + ms,
      run: () => {
        const now = this.#now();
        timer.due = timer.due + ms > now ? timer.due + ms : now + ms;
        this.#add(timer);
        fn();
      },
    };
    this.#add(timer);
    return { [Symbol.dispose]: () => this.#remove(timer) };
  }

  /** Runs what is due now, in order of time; true if anything was. A throw in a repeated function passes through. */
  runDue(): boolean {
    if (this.#timers.length === 0) return false;
    const now = this.#now();
    const due = this.#timers[0].due <= now;
    while (this.#timers.length > 0 && this.#timers[0].due <= now) {
      const timer = this.#timers.shift()!;
      timer.run(timer);
    }
    return due;
  }

  /** Milliseconds until something is due: 0 if something is, `Infinity` if nothing is set. */
  nextDueMs(): number {
    return this.#timers.length === 0 ? Infinity : Math.max(0, this.#timers[0].due - this.#now());
  }

  /** The same in whole microseconds, rounded up: a number that V8 returns without making an object of it. */
  nextDueUs(): number {
    if (this.#timers.length === 0) return Infinity;
    const us = Math.ceil((this.#timers[0].due - this.#now()) * 1000);
    return us > 0 ? us : 0;
  }

  #add(timer: Timer): void {
    let at = this.#timers.length;
    while (at > 0 && this.#timers[at - 1].due > timer.due) at--;
    this.#timers.splice(at, 0, timer);
  }

  #remove(timer: Timer): void {
    const at = this.#timers.indexOf(timer);
    if (at >= 0) this.#timers.splice(at, 1);
  }
}
