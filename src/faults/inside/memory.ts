/** DMA memory with a fault between it and the driver: every access of a word passes through here. */
import type { DmaMemory } from "../../driver/mod.ts";

/** What is done at each access by index. */
export interface Watch {
  /** What the driver is to see of the word at `index`, which holds `found`. */
  read(index: number, found: number): number;
  /** What is to be stored there. */
  write(index: number, value: number): number;
  /** Called when the driver has written many words in one call. */
  filled(): void;
}

/** Methods that write. */
const WRITING: ReadonlySet<PropertyKey> = new Set(["fill", "set", "copyWithin", "reverse", "sort"]);

/** Changes the memory with that index, or every one without. */
export function only(
  chosen: number | undefined,
  change: (memory: DmaMemory, index: number) => DmaMemory,
): (memory: DmaMemory, index: number) => DmaMemory {
  return (memory, index) => chosen === undefined || chosen === index ? change(memory, index) : memory;
}

/** A view of `words` that reads and writes through `watch`. Its methods, and views made by them, reach the memory itself. */
export function watched(words: Uint32Array, watch: Watch): Uint32Array {
  return new Proxy(words, {
    get(target, key) {
      const index = indexOf(key);
      if (index !== undefined) {
        return index < target.length ? watch.read(index, target[index]) >>> 0 : undefined;
      }
      const value = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      const method = value.bind(target);
      if (!WRITING.has(key)) return method;
      return (...args: unknown[]) => {
        const result = method(...args);
        watch.filled();
        return result;
      };
    },
    set(target, key, value) {
      const index = indexOf(key);
      if (index === undefined) return Reflect.set(target, key, value, target);
      if (index < target.length) target[index] = watch.write(index, value >>> 0);
      return true;
    },
  });
}

function indexOf(key: PropertyKey): number | undefined {
  if (typeof key !== "string") return undefined;
  const index = Number(key);
  return Number.isInteger(index) && index >= 0 ? index : undefined;
}

/** What the device has put into memory, found out when the driver reads it: it differs from what the driver knows. */
export class DeviceWrites implements Watch {
  readonly #words: Uint32Array;
  readonly #known: Uint32Array;
  readonly #onRead: (read: { index: number; known: number; found: number }) => number | undefined;
  readonly #onWrite: (index: number) => void;

  /**
   * @param options `onRead`: gives what the driver is to see instead, which then is not what it knows; `onWrite`:
   * called when the driver writes a word.
   */
  constructor(words: Uint32Array, { onRead, onWrite }: {
    onRead: (read: { index: number; known: number; found: number }) => number | undefined;
    onWrite: (index: number) => void;
  }) {
    this.#words = words;
    this.#known = words.slice();
    this.#onRead = onRead;
    this.#onWrite = onWrite;
  }

  read(index: number, found: number): number {
    const other = this.#onRead({ index, known: this.#known[index], found });
    if (other !== undefined) return other;
    this.#known[index] = found;
    return found;
  }

  write(index: number, value: number): number {
    this.#known[index] = value;
    this.#onWrite(index);
    return value;
  }

  filled(): void {
    this.#known.set(this.#words);
  }
}
