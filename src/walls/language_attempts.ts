/**
 * What a hostile driver tries against the language wall. Each must throw: host and driver share a realm, and
 * nothing in it may be of use to get out, or to have the host's own code do something else.
 */

/** One attempt. */
export interface LanguageAttempt {
  /** A few words, unique in the list. */
  name: string;
  /** What it would gain. */
  what: string;
  /** Body of an async function of `device` and `port`: JavaScript, in strict mode. */
  source: string;
  /** What the error that it must throw says, as in `TypeError: …`. */
  expect: RegExp;
}

const READ_ONLY = /^TypeError: Cannot (assign to read only|add|redefine|define) property|not extensible/;
const UNDEFINED = /^ReferenceError: \w+ is not defined/;
const NO_CODE = /^EvalError: Code generation from strings disallowed/;
/** Deno refuses, or has no turn in which it could answer. */
const NOTHING_CAME = /^Error: nothing was loaded|^TypeError: (Blocked by null entry|Requires read access)/;

/** Uses a global that is not there. */
function lacks(name: string, what: string, use = `${name}()`): LanguageAttempt {
  return { name: `use ${name}`, what, source: `await ${use};`, expect: UNDEFINED };
}

/** Imports at run time. */
function loads(name: string, { specifier, what }: { specifier: string; what: string }): LanguageAttempt {
  const late = `new Promise((_, no) => setTimeout(() => no(new Error("nothing was loaded")), 50))`;
  return {
    name,
    what,
    source: `await Promise.race([import(${JSON.stringify(specifier)} + ""), ${late}]);`,
    expect: NOTHING_CAME,
  };
}

/** Imports a part of Deno at run time. */
function builtin(name: string, what: string): LanguageAttempt {
  return loads(`import node:${name}`, { specifier: `node:${name}`, what });
}

/** Changes what the host's code calls. */
function poisons(target: string, source = `${target} = () => {};`): LanguageAttempt {
  return { name: `poison ${target}`, what: "run in the host's code", source, expect: READ_ONLY };
}

/** All of them. */
export const LANGUAGE_ATTEMPTS: readonly LanguageAttempt[] = [
  lacks("Deno", "files, sockets, processes, native code", `Deno.readTextFile("/etc/shadow")`),
  lacks("Deno.dlopen", "native code", `Deno.dlopen("libc.so.6", {})`),
  lacks("Deno.core", "Deno's internal calls", `Deno[Deno.internal].core.ops`),
  lacks("Deno.exit", "an end that says nothing", "Deno.exit(0)"),
  lacks("process", "the environment, signals, process.dlopen", `process.kill(1, 9)`),
  lacks("process.binding", "Node's internals", `process.binding("fs")`),
  // A plain call would be taken for an import when the driver is compiled.
  lacks("require", "Node's modules", `(0, require)("fs")`),
  lacks("Buffer", "memory that is pooled", "Buffer.allocUnsafe(8192)"),
  lacks("fetch", "the network", `fetch("http://127.0.0.1/")`),
  lacks("WebSocket", "the network", `new WebSocket("ws://127.0.0.1/")`),
  lacks("EventSource", "the network", `new EventSource("http://127.0.0.1/")`),
  lacks("Worker", "another thread", `new Worker("data:text/javascript,")`),
  lacks("localStorage", "a database on disk", `localStorage.setItem("a", "b")`),
  lacks("caches", "files on disk", `caches.open("a")`),
  lacks("BroadcastChannel", "other threads", `new BroadcastChannel("a")`),
  lacks("MessageChannel", "the event loop", "new MessageChannel()"),
  lacks("navigator", "the graphics card, the number of processors", "navigator.gpu.requestAdapter()"),
  lacks("prompt", "the standard input", `prompt("?")`),
  lacks(
    "WebAssembly",
    "a second compiler, memory beyond the heap's limit",
    "new WebAssembly.Memory({ initial: 1 })",
  ),
  lacks("Blob", "blob: URLs to import", `URL.createObjectURL(new Blob([""]))`),
  { ...lacks("close", "an end that says nothing", "globalThis.close()"), expect: /is not a function/ },
  {
    name: "listen to the end of the process",
    what: "never to end",
    source: `EventTarget.prototype.addEventListener.call(globalThis, "unload", () => { for (;;); });`,
    expect: /^TypeError: Cannot add property unload, object is not extensible/,
  },
  {
    name: "listen to unhandled rejections",
    what: "to keep the host from hearing of them",
    source: `EventTarget.prototype.addEventListener.call(globalThis, "unhandledrejection", (event) => {
      event.preventDefault();
    });`,
    expect: /^TypeError: Cannot add property 1, object is not extensible/,
  },
  {
    name: "block in Atomics.wait",
    what: "a thread that no one sees spin",
    source: "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);",
    expect: /Atomics.wait is not a function/,
  },
  { name: "eval", what: "code that nobody has checked", source: `(0, eval)("1");`, expect: NO_CODE },
  {
    name: "new Function",
    what: "code that nobody has checked",
    source: `new Function("return 1");`,
    expect: NO_CODE,
  },
  {
    name: "new AsyncFunction",
    what: "code that nobody has checked",
    source: `(async () => {}).constructor("return import('node:fs')");`,
    expect: NO_CODE,
  },
  {
    name: "setTimeout of a string",
    what: "code that nobody has checked",
    source: `setTimeout("1", 0);`,
    expect: /^TypeError: Cannot set a timer/,
  },
  builtin("fs", "files"),
  builtin("child_process", "processes"),
  builtin("net", "the network"),
  builtin("v8", "V8's flags"),
  builtin("vm", "another realm, code from strings"),
  builtin("worker_threads", "another thread"),
  builtin("inspector", "the debugger, and with it the host's private state"),
  builtin("process", "process.dlopen, process.kill"),
  builtin("module", "require()"),
  builtin("os", "the machine"),
  builtin("sqlite", "a database, and its native extensions"),
  builtin("wasi", "system calls"),
  loads("import data:", { specifier: "data:text/javascript,", what: "unchecked code" }),
  loads("import a file", { specifier: "file:///etc/passwd", what: "files" }),
  loads("import https:", { specifier: "https://127.0.0.1/a.js", what: "the network" }),
  loads("import npm:", { specifier: "npm:zod", what: "packages of its choice" }),
  loads("import ext:", { specifier: "ext:core/ops", what: "Deno's internal calls" }),
  poisons("Array.prototype.push"),
  poisons("Array.prototype[0]", `Object.defineProperty(Array.prototype, 0, { set() {} });`),
  poisons("Array.prototype[Symbol.iterator]"),
  poisons("Object.prototype.toString"),
  poisons("Object.prototype.fd"),
  poisons("Object.prototype.then"),
  {
    ...poisons("Object.prototype's prototype", "Object.setPrototypeOf(Object.prototype, {});"),
    expect: /^TypeError: Immutable prototype object/,
  },
  poisons("Function.prototype.call"),
  poisons("Promise.prototype.then"),
  poisons("Promise", "globalThis.Promise = class {};"),
  poisons("Atomics.load"),
  poisons("Atomics.store"),
  poisons("JSON.stringify"),
  poisons("Math.min"),
  poisons("String.prototype.slice"),
  poisons("RegExp.prototype.exec"),
  poisons("Map.prototype.get"),
  poisons(
    "Symbol.prototype.description",
    "Object.defineProperty(Symbol.prototype, 'description', { get() {} });",
  ),
  poisons("Uint32Array.prototype.at", "Uint32Array.prototype.at = () => {};"),
  poisons(
    "%TypedArray%.prototype.subarray",
    "Object.getPrototypeOf(Uint8Array.prototype).subarray = () => {};",
  ),
  poisons("%ArrayIteratorPrototype%.next", "Object.getPrototypeOf([].values()).next = () => {};"),
  poisons("%GeneratorPrototype%.next", "Object.getPrototypeOf(function* () {}).prototype.next = () => {};"),
  poisons("%AsyncFunction%.prototype", "Object.getPrototypeOf(async () => {}).then = () => {};"),
  poisons("Iterator.prototype.map"),
  poisons("Error.prepareStackTrace"),
  poisons("Error.stackTraceLimit"),
  poisons("TextEncoder.prototype.encode"),
  poisons("console", "globalThis.console = {};"),
  poisons("console.log"),
  poisons("performance.now"),
  poisons("setTimeout", "globalThis.setTimeout = () => {};"),
  poisons("the device's class", "device.constructor.prototype.bar = () => {};"),
  poisons("the port's class", "port.constructor.prototype.config = () => {};"),
  poisons("the rings' class", "port.tx.constructor.prototype.publish = () => {};"),
  {
    name: "loop in promises",
    what: "time of others",
    source: `const again = () => Promise.resolve().then(again);
again();
await new Promise((_, no) => setTimeout(() => no(new Error("the host's timers go on")), 50));`,
    // The host takes its turns among those of promises, however many there are.
    expect: /^Error: the host's timers go on/,
  },
];
