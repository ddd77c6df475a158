/**
 * The globals that a driver has. What is not on the list is deleted, whatever it is: Deno's next version may
 * bring more of it.
 */
import { driverTimers } from "./timers.ts";

/** What stays as it is. */
const KEPT: ReadonlySet<string> = new Set([
  // ECMAScript. Not WebAssembly: a driver needs none, and it is a second compiler and memory beyond the heap's limit.
  "AggregateError",
  "Array",
  "ArrayBuffer",
  "AsyncDisposableStack",
  "Atomics",
  "BigInt",
  "BigInt64Array",
  "BigUint64Array",
  "Boolean",
  "DataView",
  "Date",
  "DisposableStack",
  "Error",
  "EvalError",
  "FinalizationRegistry",
  "Float16Array",
  "Float32Array",
  "Float64Array",
  "Function",
  "Infinity",
  "Int16Array",
  "Int32Array",
  "Int8Array",
  "Intl",
  "Iterator",
  "JSON",
  "Map",
  "Math",
  "NaN",
  "Number",
  "Object",
  "Promise",
  "Proxy",
  "RangeError",
  "ReferenceError",
  "Reflect",
  "RegExp",
  "Set",
  "SharedArrayBuffer",
  "String",
  "SuppressedError",
  "Symbol",
  "SyntaxError",
  "Temporal",
  "TypeError",
  "URIError",
  "Uint16Array",
  "Uint32Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "WeakMap",
  "WeakRef",
  "WeakSet",
  "decodeURI",
  "decodeURIComponent",
  "encodeURI",
  "encodeURIComponent",
  "escape",
  // Always throws: the host is started with code from strings switched off.
  "eval",
  "globalThis",
  "isFinite",
  "isNaN",
  "parseFloat",
  "parseInt",
  "undefined",
  "unescape",
  // Of the web, what computes and reaches nothing.
  "AbortController",
  "AbortSignal",
  "CustomEvent",
  "DOMException",
  "Event",
  "EventTarget",
  "TextDecoder",
  "TextEncoder",
  "URL",
  "URLSearchParams",
  "atob",
  "btoa",
  "structuredClone",
]);

/** Properties of what is kept that are taken away. */
const REMOVED: readonly [object, string][] = [
  // With one thread and no event loop they only hang.
  [Atomics, "wait"],
  [Atomics, "waitAsync"],
  [Atomics, "notify"],
  // What it hides can be frozen only after 10 ms of preparation, and text is no driver's business.
  [Intl, "Segmenter"],
];

/** What stands in place of Deno's own, which would write to the supervisor's pipe or wait for Deno's event loop. */
function replacements(log: (message: string) => void): Record<string, object> {
  const write = (...args: unknown[]) => log(args.map(String).join(" "));
  const { timeOrigin } = performance;
  const now = performance.now.bind(performance);
  return {
    console: { debug: write, error: write, info: write, log: write, warn: write },
    crypto: {
      getRandomValues: crypto.getRandomValues.bind(crypto),
      randomUUID: crypto.randomUUID.bind(crypto),
    },
    performance: { now, timeOrigin },
    ...driverTimers(),
  };
}

/** `AbortSignal.timeout` on the driver's clock. */
function timeoutSignal(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new DOMException("Signal timed out.", "TimeoutError")), ms);
  return controller.signal;
}

/** @throws {Error} if it stays: better no driver than one that has it. */
function remove(object: object, name: string): void {
  if (!Reflect.deleteProperty(object, name)) throw new Error(`Cannot take ${name} away from the driver`);
}

/** Leaves a driver the globals that it has. @param log Where `console` goes. */
export function limitGlobals(log: (message: string) => void): void {
  const replaced = replacements(log);
  for (const name of Reflect.ownKeys(globalThis)) {
    // Symbols are Deno's marks of an event target.
    if (typeof name === "string" && !KEPT.has(name)) remove(globalThis, name);
  }
  for (const [name, value] of Object.entries(replaced)) {
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
  for (const [object, name] of REMOVED) remove(object, name);
  AbortSignal.timeout = timeoutSignal;
}
