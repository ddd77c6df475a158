/**
 * Makes what the language gives unchangeable, before a driver's first line: host and driver share one realm,
 * so a driver that could replace `Array.prototype.push` or `Atomics.store` would run inside the host's code.
 *
 * Freezing has a side effect that ordinary code does not expect: a property that cannot be changed on a
 * prototype cannot be assigned on what inherits from it either (`error.name = "E"`). Those that programs do
 * assign become accessors whose setter defines the property on the object itself, as the assignment would
 * have done.
 */

type Key = string | symbol;

/** Prototypes whose properties programs assign on inheriting objects, and which ones; all that they have unless said. */
const ASSIGNED: readonly [prototype: object, names?: readonly string[]][] = [
  [Object.prototype, [
    "constructor",
    "hasOwnProperty",
    "isPrototypeOf",
    "propertyIsEnumerable",
    "toLocaleString",
    "toString",
    "valueOf",
  ]],
  [Function.prototype, ["constructor", "toString"]],
  ...[
    Error,
    EvalError,
    RangeError,
    ReferenceError,
    SyntaxError,
    TypeError,
    URIError,
    AggregateError,
    SuppressedError,
  ].map(({ prototype }): [object] => [prototype]),
];

/** One object of each kind that no global names: what it inherits from is reached through it. */
function unnamed(): unknown[] {
  const values = [1].values();
  return [
    function* () {},
    async () => {},
    async function* () {},
    (async function* () {})(),
    values,
    values.map((value) => value),
    Iterator.from({ next: () => ({ done: true, value: undefined }) }),
    new Map().values(),
    new Set().values(),
    ""[Symbol.iterator](),
    "".matchAll(/a/g),
    new URLSearchParams().values(),
    new Error(),
    arguments,
  ];
}

/** Makes one property of a prototype assignable on what inherits from it. */
function letAssign(prototype: object, name: Key): void {
  const found = Object.getOwnPropertyDescriptor(prototype, name);
  if (!found || !("value" in found) || !found.configurable) return;
  const { value, enumerable } = found;
  // Methods, so that they are no constructors and have a `this` of their own.
  const { get, set } = {
    get: () => value,
    set(this: unknown, assigned: unknown) {
      if (this === prototype || Object(this) !== this) {
        throw new TypeError(`Cannot assign to read only property '${String(name)}'`);
      }
      Object.defineProperty(this, name, {
        value: assigned,
        writable: true,
        enumerable: true,
        configurable: true,
      });
    },
  };
  Object.defineProperty(prototype, name, { get, set, enumerable, configurable: true });
}

function isObject(value: unknown): value is object {
  return typeof value === "function" || (typeof value === "object" && value !== null);
}

/** All objects that are reached from these, by properties, accessors and prototypes. */
function reachable(from: Iterable<unknown>): Set<object> {
  const found = new Set<object>();
  const left: unknown[] = [...from];
  while (left.length > 0) {
    const value = left.pop();
    if (!isObject(value) || found.has(value) || value === globalThis) continue;
    found.add(value);
    left.push(Object.getPrototypeOf(value));
    for (const key of Reflect.ownKeys(value)) {
      const { value: held, get, set } = Object.getOwnPropertyDescriptor(value, key)!;
      left.push(held, get, set);
    }
  }
  return found;
}

/**
 * Freezes everything that the global object leads to, and the hidden objects that syntax leads to, and binds
 * each global for good. New globals can still be made; those that there are cannot be changed.
 * @param more What else is to be frozen, with all that it leads to: classes whose objects a driver is given.
 */
export function harden(more: Iterable<unknown> = []): void {
  for (const [prototype, names = Reflect.ownKeys(prototype)] of ASSIGNED) {
    for (const name of names) letAssign(prototype, name);
  }
  // With symbols: under one Deno keeps the listeners to its own events, such as the one before exit.
  const globals = Reflect.ownKeys(globalThis);
  // Some are made when they are first read: from here on they are what was read.
  const values = globals.map((name) => Reflect.get(globalThis, name));
  for (const object of reachable([...values, ...unnamed(), Object.getPrototypeOf(globalThis), ...more])) {
    // Memory has elements, which cannot be frozen; there is none among what is shared.
    if (!ArrayBuffer.isView(object)) Object.freeze(object);
  }
  for (const [index, name] of globals.entries()) {
    const { enumerable } = Object.getOwnPropertyDescriptor(globalThis, name)!;
    Object.defineProperty(globalThis, name, {
      value: values[index],
      writable: false,
      enumerable,
      configurable: false,
    });
  }
}
