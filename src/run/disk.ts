/** A disk from user space: its name, its size, and what it counts. */
import { SYS } from "../machine.ts";

/** Name of the disk that a PCI device has, or undefined before it has one. */
export async function diskOf(address: string): Promise<string | undefined> {
  try {
    for await (const { name } of Deno.readDir(`${SYS}/bus/pci/devices/${address}/block`)) return name;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return undefined;
}

/** What a disk has counted since it was made; times in milliseconds, of all requests together. */
export interface DiskCounters {
  reads: number;
  readBytes: number;
  writes: number;
  writtenBytes: number;
  discards: number;
  flushes: number;
  /** Time that requests took. */
  requestMs: number;
}

/** Bytes in which the kernel counts, whatever the disk's blocks. */
const SECTOR = 512;

/**
 * Counters from the text of `/sys/block/NAME/stat`, the kernel's `Documentation/block/stat.rst`.
 * @throws {Error} if it is not such a text.
 */
export function parseDiskStat(text: string): DiskCounters {
  const values = text.trim().split(/\s+/).map(Number);
  if (values.length < 17 || values.some((value) => !Number.isFinite(value))) {
    throw new Error(`"${text.trim()}" is not what a disk counts`);
  }
  return {
    reads: values[0],
    readBytes: values[2] * SECTOR,
    writes: values[4],
    writtenBytes: values[6] * SECTOR,
    discards: values[11],
    flushes: values[15],
    requestMs: values[3] + values[7] + values[14] + values[16],
  };
}

/** Reads the counters and the size in bytes; undefined once the disk has gone. */
export async function readDisk(name: string): Promise<{ counters: DiskCounters; size: number } | undefined> {
  const read = (file: string) => Deno.readTextFile(`${SYS}/block/${name}/${file}`);
  try {
    const [stat, size] = await Promise.all([read("stat"), read("size")]);
    return { counters: parseDiskStat(stat), size: Number(size) * SECTOR };
  } catch {
    return undefined;
  }
}
