/** Memory of a process, as Linux tells it. */

/** Bytes. */
export interface Memory {
  /** Resident, shared pages included. */
  rss: number;
  /** Resident, and of no other process. */
  private: number;
}

/**
 * Memory from the text of `/proc/PID/smaps_rollup`.
 * @throws {Error} if it is not such a text.
 */
export function parseMemory(text: string): Memory {
  const field = (name: string) => {
    const kib = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)?.[1];
    if (kib === undefined) {
      throw new Error(`There is no ${name} in what the kernel says of a process's memory`);
    }
    return Number(kib) * 1024;
  };
  return { rss: field("Rss"), private: field("Private_Clean") + field("Private_Dirty") };
}
