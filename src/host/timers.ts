/**
 * The timers that JavaScript programs know, on the clock that the host's loop drives: Deno's own never run, and
 * nor does what Deno does with an error of a microtask.
 */
import { every, stir } from "../driver/clock.ts";

/** Shortest time of a timer, milliseconds: a repeated one of zero would never let go. */
const SHORTEST = 1;

type Callback = (...args: unknown[]) => void;

/** `setTimeout` and its like. Numbers of timers are counted up from 1 and not used again. */
export interface DriverTimers {
  setTimeout(callback: Callback, ms?: number, ...args: unknown[]): number;
  setInterval(callback: Callback, ms?: number, ...args: unknown[]): number;
  clearTimeout(id?: number): void;
  clearInterval(id?: number): void;
  queueMicrotask(callback: () => void): void;
}

/** Timers of their own. What a callback throws ends the driver. */
export function driverTimers(): DriverTimers {
  const running = new Map<number, Disposable>();
  let last = 0;
  const clear = (id?: number) => {
    running.get(id!)?.[Symbol.dispose]();
    running.delete(id!);
  };
  const set = (callback: Callback, ms: number, run: (id: number) => void) => {
    if (typeof callback !== "function") {
      throw new TypeError("Cannot set a timer: the callback is no function");
    }
    const id = ++last;
    running.set(id, every(Math.max(Number(ms) || 0, SHORTEST), () => run(id)));
    return id;
  };
  return {
    setTimeout: (callback, ms = 0, ...args) =>
      set(callback, ms, (id) => {
        clear(id);
        callback(...args);
      }),
    setInterval: (callback, ms = 0, ...args) => set(callback, ms, () => callback(...args)),
    clearTimeout: clear,
    clearInterval: clear,
    queueMicrotask(callback) {
      if (typeof callback !== "function") {
        throw new TypeError("Cannot queue a microtask: the callback is no function");
      }
      stir();
      // What is thrown in a timer ends the driver.
      Promise.resolve().then(callback).catch((error) =>
        every(SHORTEST, () => {
          throw error;
        })
      );
    },
  };
}
