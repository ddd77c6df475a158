/** What IDENTIFY DEVICE says of a disk: T13 1410D, clause 8, by word; 106, 117 and 217 are of T13 1699D. */

import { DeviceError } from "../../src/driver/mod.ts";

/** A disk that the driver can use. */
export interface Identity {
  readonly model: string;
  readonly serial: string;
  /** Sectors of 512 bytes. */
  readonly sectors: number;
  /** It takes the commands with 48 bits of address. */
  readonly lba48: boolean;
  /** Bytes. */
  readonly physicalBlock: number;
  /** It has a write cache that is enabled. */
  readonly cache: boolean;
  readonly flush: boolean;
  readonly flushExt: boolean;
  /** It takes WRITE DMA FUA EXT. */
  readonly fua: boolean;
  readonly rotational: boolean;
  /** The transfer mode it is set to, in words. */
  readonly mode: string;
}

/** Bits of words. */
const PACKET = 1 << 15;
const DMA = 1 << 8;
const LBA = 1 << 9;
const ULTRA_VALID = 1 << 2;
const WRITE_CACHE = 1 << 5;
const FUA = 1 << 6;
const LBA48 = 1 << 10;
const FLUSH = 1 << 12;
const FLUSH_EXT = 1 << 13;
const LARGE_LOGICAL = 1 << 12;
const SEVERAL_LOGICAL = 1 << 13;
/** A word with these two bits says something: 15 clear, 14 set. */
const VALID = 1 << 14;
const VALIDITY = 3 << 14;
/** In the low byte of word 255: the bytes add up to 0. */
const CHECKED = 0xa5;
const NOT_ROTATING = 1;

/**
 * Reads it. @param where As in "channel 0, drive 1", for errors.
 * @throws {DeviceError} if it is not a disk of 512-byte sectors that is set to a DMA mode.
 */
export function identityOf(words: Uint16Array, where: string): Identity {
  const refuse = (reason: string): never => {
    throw new DeviceError(`Cannot use the drive at ${where}: ${reason}`);
  };
  if ((words[255] & 0xff) === CHECKED) {
    const sum = new Uint8Array(words.buffer, words.byteOffset, 512).reduce((a, b) => (a + b) & 0xff, 0);
    if (sum !== 0) refuse(`the checksum of its IDENTIFY data is off by ${sum}`);
  }
  if ((words[0] & PACKET) !== 0) refuse("it is no disk");
  if ((words[49] & LBA) === 0) refuse("it has no LBA");
  if ((words[49] & DMA) === 0) refuse("it has no DMA");
  const said = (word: number) => (words[word] & VALIDITY) === VALID ? words[word] : 0;
  const sizes = said(106);
  if ((sizes & LARGE_LOGICAL) !== 0) {
    refuse(`its sectors are ${(words[117] | words[118] << 16) * 2} bytes, not 512`);
  }
  const lba48 = (said(83) & LBA48) !== 0;
  const sectors = lba48
    ? words[100] + words[101] * 2 ** 16 + words[102] * 2 ** 32 + words[103] * 2 ** 48
    : words[60] + words[61] * 2 ** 16;
  if (sectors === 0 || sectors > 2 ** 48) refuse(`${sectors} is no number of sectors`);
  return {
    model: text(words.subarray(27, 47)),
    serial: text(words.subarray(10, 20)),
    sectors,
    lba48,
    physicalBlock: 512 << ((sizes & SEVERAL_LOGICAL) !== 0 ? Math.min(sizes & 15, 3) : 0),
    cache: (words[82] & words[85] & WRITE_CACHE) !== 0,
    flush: (said(83) & FLUSH) !== 0,
    flushExt: lba48 && (said(83) & FLUSH_EXT) !== 0,
    fua: lba48 && (said(84) & FUA) !== 0,
    rotational: words[217] !== NOT_ROTATING,
    mode: modeOf(words) ??
      refuse("it is set to no DMA mode; have the firmware, or once the kernel's ata_piix, set it up"),
  };
}

/** Words 63 and 88 have a bit for the mode that is selected. */
function modeOf(words: Uint16Array): string | undefined {
  const ultra = (words[53] & ULTRA_VALID) !== 0 ? words[88] >> 8 & 0x7f : 0;
  if (ultra !== 0) return `Ultra DMA mode ${31 - Math.clz32(ultra)}`;
  const multiword = words[63] >> 8 & 7;
  return multiword === 0 ? undefined : `multiword DMA mode ${31 - Math.clz32(multiword)}`;
}

/** Two characters to a word, the first in the upper byte; what cannot be printed becomes a space. */
function text(words: Uint16Array): string {
  const codes = [...words].flatMap((word) => [word >> 8, word & 0xff]);
  return String.fromCharCode(...codes.map((code) => code > 0x20 && code < 0x7f ? code : 0x20)).trim();
}
