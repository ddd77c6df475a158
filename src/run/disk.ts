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

/** Requests by how long they took: nanoseconds, below which it was, and how many; ascending. */
export type Latencies = readonly (readonly [below: number, count: number])[];

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

/** What a disk tells of itself. */
export interface DiskReading {
  counters: DiskCounters;
  /** Since the disk was made. */
  latencies: Latencies;
  /** Bytes. */
  size: number;
}

/** Latencies from the text of `/sys/block/NAME/latency`, which ring3.ko writes. */
export function parseLatencies(text: string): Latencies {
  return text.split("\n").filter((line) => line)
    .map((line) => line.split(" ").map(Number) as [number, number]);
}

/**
 * How long requests took between two readings.
 * @param q The share of them that took no longer, from 0 to 1.
 * @returns Milliseconds, at most a quarter too much; 0 if there were none.
 */
export function latencyBetween(before: Latencies, after: Latencies, q: number): number {
  const earlier = new Map(before);
  const counts = after.map(([below, count]) => [below, count - (earlier.get(below) ?? 0)] as const);
  let left = q * counts.reduce((sum, [, count]) => sum + count, 0);
  for (const [below, count] of counts) {
    left -= count;
    if (count > 0 && left <= 0) return below / 1e6;
  }
  return 0;
}

/** Reads what a disk tells; undefined once it has gone. */
export function readDisk(name: string): DiskReading | undefined {
  const read = (file: string) => Deno.readTextFileSync(`${SYS}/block/${name}/${file}`);
  try {
    return {
      counters: parseDiskStat(read("stat")),
      latencies: parseLatencies(read("latency")),
      size: Number(read("size")) * SECTOR,
    };
  } catch {
    return undefined;
  }
}
