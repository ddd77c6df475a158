/** Descriptors that say that they are done when they are not, as those before them did when they were. */
import type { DmaMemory } from "../../driver/mod.ts";
import type { Trigger } from "./trigger.ts";
import { DeviceWrites, watched } from "./memory.ts";

/** What the device did to a word. */
interface Change {
  descriptor: number;
  before: number;
  after: number;
}

/**
 * Learns from what the device does to one descriptor what to show of the next one that the driver looks at.
 * @param options `words` of a descriptor; `claim` gives what the words are to look like, by place in it.
 */
export function doneAgain(memory: DmaMemory, { words: size, trigger, what, claim }: {
  words: number;
  trigger: Trigger;
  what: string;
  claim: (changes: ReadonlyMap<number, Change>, place: number, found: number) => ReadonlyMap<number, number>;
}): DmaMemory {
  const changes = new Map<number, Change>();
  /** What words are shown as, by index. */
  const claimed = new Map<number, number>();
  const watch = new DeviceWrites(memory.words, {
    onRead({ index, known, found }) {
      const place = index % size;
      const descriptor = Math.floor(index / size);
      if (claimed.has(index)) return claimed.get(index);
      if (found !== known) {
        changes.set(place, { descriptor, before: known, after: found });
        return undefined;
      }
      const learnt = changes.get(place);
      if (!learnt || learnt.descriptor === descriptor) return undefined;
      if (!trigger.hit(`descriptor ${descriptor} ${what}`)) return undefined;
      for (const [at, value] of claim(changes, place, found)) claimed.set(descriptor * size + at, value);
      return claimed.get(index);
    },
    onWrite: (index) => void claimed.delete(index),
  });
  return { ...memory, words: watched(memory.words, watch) };
}
