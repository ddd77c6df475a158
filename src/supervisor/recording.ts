/** The register accesses of one driver process, read by its supervisor. */
import { RECORD, RECORD_LENGTH, RECORD_WORDS, RECORDED, WHERE } from "../host/recorder.ts";
import { type Library, SharedMemory } from "../kernel/mod.ts";
import type { RegisterAccess } from "./schema.ts";

/**
 * Memory in which a driver process records its register accesses: made before the process gets its grant,
 * its descriptor sent with a `RecordMessage`, read when the process has ended, then disposed of.
 */
export class Recording implements Disposable {
  readonly #memory: SharedMemory;

  /** @throws {KernelError} if there is no memory or descriptor left. */
  constructor(library: Library) {
    this.#memory = new SharedMemory(library, RECORD_LENGTH);
  }

  /** The descriptor to send; it stays this object's. */
  get fd(): number {
    return this.#memory.fd;
  }

  /** What it holds now; see `readAccesses`. */
  accesses(): RegisterAccess[] {
    return readAccesses(new Uint32Array(this.#memory.copy().buffer));
  }

  [Symbol.dispose](): void {
    this.#memory[Symbol.dispose]();
  }
}

/**
 * The accesses in a copy of the memory, oldest first, at most `RECORDED`. Its writer is not trusted: records
 * that are torn, unused or out of their place are passed over, and the values of the others are within the
 * bounds of their fields, whatever is there.
 */
export function readAccesses(words: Uint32Array): RegisterAccess[] {
  const found: RegisterAccess[] = [];
  for (let slot = 0; slot < RECORDED; slot++) {
    const at = slot * RECORD_WORDS;
    const sequence = words[at + RECORD.CLOSED];
    const where = words[at + RECORD.WHERE];
    const whole = words[at + RECORD.OPENED] === sequence && sequence % RECORDED === slot;
    if (!whole || !(where & WHERE.USED)) continue;
    found.push({
      sequence,
      bar: where >>> WHERE.BAR_SHIFT,
      offset: where & WHERE.OFFSET,
      write: (where & WHERE.WRITE) !== 0,
      value: words[at + RECORD.VALUE],
    });
  }
  if (found.length === 0) return found;
  // Numbers wrap: what is later is told by the distance from any one of them.
  const [{ sequence: one }] = found;
  const late = ({ sequence }: RegisterAccess) => (sequence - one) | 0;
  const latest = Math.max(...found.map(late));
  const kept = found.filter((access) => late(access) > latest - RECORDED).sort((a, b) => late(a) - late(b));
  const [{ sequence: oldest }] = kept;
  return kept.map((access) => ({ ...access, sequence: oldest + ((access.sequence - oldest) >>> 0) }));
}
