/**
 * What a disk keeps when its power goes: all that was written before its last flush, and of what came after
 * that any part, since it may still have been in the disk's own cache. From a log of its writes and flushes, in
 * the format of Linux's dm-log-writes (Documentation/admin-guide/device-mapper/log-writes.rst), as QEMU's
 * `blklogwrites` makes it.
 */
import { UserError } from "../error.ts";
import { LOG_SECTOR } from "../lab/mod.ts";

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;

/** Flags of an entry. */
const FLUSH = 1n, FUA = 2n, DISCARD = 4n, MARK = 8n;

/** Bytes of an entry's head; the rest of its sector is zero. */
const HEAD = 32;

/** Bytes that a disk writes whole or not at all. */
const PIECE = 4096;

/** An entry of a log. */
interface Entry {
  flags: bigint;
  /** Where on the disk, and how much, bytes. */
  offset: number;
  length: number;
  /** Where its data are in the log. */
  data: number;
}

/** What a loss of power did. */
export interface PowerLoss {
  /** Writes that the disk had had, and flushes. */
  writes: number;
  flushes: number;
  /** Pieces of 4 KiB written after the last flush: those that were on the medium, and those that were not. */
  kept: number;
  lost: number;
}

/**
 * Makes a disk what its medium holds after a loss of power.
 * @param disk The file as it was when the log began.
 * @param log What was done to the disk since then.
 * @param random Numbers from 0 to 1, which decide on what was not flushed.
 * @returns what was done; undefined if the log has a gap, as one may that ended while several requests were under
 * way. The disk is then as it was.
 * @throws {UserError} if it is no such log.
 */
export function losePower(
  disk: string,
  { log, random }: { log: string; random: () => number },
): PowerLoss | undefined {
  using from = Deno.openSync(log);
  const entries = readEntries(from);
  if (!entries) return undefined;
  using to = Deno.openSync(disk, { write: true });
  const last = entries.findLastIndex(({ flags }) => flags & FLUSH);
  const loss: PowerLoss = { writes: 0, flushes: 0, kept: 0, lost: 0 };
  // How much a cache holds back is as good as any other.
  const held = random();
  for (const [index, { flags, offset, length, data }] of entries.entries()) {
    if (flags & FLUSH) loss.flushes++;
    if (length === 0) continue;
    loss.writes++;
    const content = new Uint8Array(length);
    readAt(from, data, content);
    const safe = index <= last || flags & FUA || isForced(offset, content);
    for (let at = 0; at < length; at += PIECE) {
      if (!safe && random() < held) loss.lost++;
      else {
        if (!safe) loss.kept++;
        writeAt(to, offset + at, content.subarray(at, at + PIECE));
      }
    }
  }
  return loss;
}

/** All entries of a log; undefined if it has a gap. */
function readEntries(log: Deno.FsFile): Entry[] | undefined {
  const { size } = log.statSync();
  // One that nothing was written to has not even a head.
  if (size === 0) return [];
  const head = new DataView(new ArrayBuffer(HEAD));
  readAt(log, 0, new Uint8Array(head.buffer));
  const [magic, version] = [0, 8].map((offset) => head.getBigUint64(offset, true));
  // The head is written with the first flush.
  const sector = magic === 0n ? LOG_SECTOR : head.getUint32(24, true);
  if (magic !== 0n && (magic !== MAGIC || version !== VERSION || sector < HEAD)) {
    throw new UserError("The log of the disk's writes is not in the format of dm-log-writes, version 1");
  }
  const entries: Entry[] = [];
  for (let at = sector; at < size;) {
    readAt(log, at, new Uint8Array(head.buffer));
    const [place, count, flags] = [0, 8, 16].map((offset) => head.getBigUint64(offset, true));
    // Room was taken for an entry that was not written any more, and others were, behind it.
    if (count === 0n && flags === 0n) return undefined;
    if (flags & (DISCARD | MARK)) throw new UserError("The log of the disk's writes has more than writes");
    const length = Number(count) * sector;
    const entry = { flags, offset: Number(place) * sector, length, data: at + sector };
    at = entry.data + length;
    if (at > size) return undefined;
    entries.push(entry);
  }
  return entries;
}

/** The magic number of blocks of ext4's journal, and the types that are forced: commit and superblock. */
const JOURNAL = { magic: 0xc03b3998, types: [2, 3, 4] };
/** Where ext4's superblock is on the disk, bytes. */
const SUPERBLOCK = 1024;

/**
 * Whether a write was forced past the cache. QEMU's NVMe disk does not tell its log; so it is told by what ext4
 * forces, which is the end of each transaction of its journal, and superblocks.
 */
function isForced(offset: number, content: Uint8Array): boolean {
  if (offset <= SUPERBLOCK && offset + content.length > SUPERBLOCK) return true;
  if (content.length < 8) return false;
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  return view.getUint32(0) === JOURNAL.magic && JOURNAL.types.includes(view.getUint32(4));
}

function readAt(file: Deno.FsFile, offset: number, into: Uint8Array): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < into.length;) {
    const more = file.readSync(into.subarray(done));
    if (more === null) throw new UserError("The log of the disk's writes ends in the middle of an entry");
    done += more;
  }
}

function writeAt(file: Deno.FsFile, offset: number, content: Uint8Array): void {
  file.seekSync(offset, Deno.SeekMode.Start);
  for (let done = 0; done < content.length;) done += file.writeSync(content.subarray(done));
}
