/**
 * The ports that the driver uses, of a channel of ATA devices (T13 1410D, "AT Attachment with Packet Interface -
 * 6", clause 7) and of the bus master ("Programming Interface for Bus Master IDE Controller", revision 1.0,
 * which the 82371SB and 82371AB follow).
 */

import { bit, long, ports, ro, rw, wo, word } from "../../src/driver/mod.ts";

const STATUS = { ERR: bit(0), DRQ: bit(3), DF: bit(5), DRDY: bit(6), BSY: bit(7) };

/** Command block, 8 ports: BAR 0 for the first channel, BAR 2 for the second. */
export const TASK = ports({
  DATA: word(ro(0)),
  ERROR: ro(1, {
    NM: bit(1), // no medium
    ABRT: bit(2), // the command was given up
    MCR: bit(3), // somebody wants the medium out
    IDNF: bit(4), // there is no such sector, or it is not found
    MC: bit(5), // the medium was changed
    UNC: bit(6), // of a read: the data cannot be corrected; of a write: the medium is protected
    ICRC: bit(7), // an error on the cable
  }),
  COUNT: rw(2),
  LBA_LOW: rw(3),
  LBA_MID: rw(4),
  LBA_HIGH: rw(5),
  DEVICE: rw(6, { DEV: bit(4), LBA: bit(6) }),
  STATUS: ro(7, STATUS), // reading takes the interrupt back
  COMMAND: wo(7),
});

/** Control block, one port: BAR 1 and BAR 3. */
export const CONTROL = ports({
  ALT_STATUS: ro(0, STATUS), // reading has no effect
  DEVICE_CONTROL: wo(0, { NIEN: bit(1), SRST: bit(2), HOB: bit(7) }),
});

/** The bus master of a channel, at an offset into BAR 4, §2. */
function busMaster(at: number) {
  return ports({
    COMMAND: rw(at, { START: bit(0), TO_MEMORY: bit(3) }),
    // ERROR and INTERRUPT are cleared by writing ones; CAPABLE is for whoever set the drives up to say so.
    STATUS: rw(at + 2, {
      ACTIVE: bit(0),
      ERROR: bit(1),
      INTERRUPT: bit(2),
      CAPABLE_0: bit(5),
      CAPABLE_1: bit(6),
    }),
    TABLE: long(rw(at + 4)),
  });
}

/** By channel. */
export const BUS_MASTER = [busMaster(0), busMaster(8)] as const;
export const BUS_MASTER_BAR = 4;

/** Commands, clause 8. */
export const COMMAND = {
  READ_DMA_EXT: 0x25,
  WRITE_DMA_EXT: 0x35,
  WRITE_DMA_FUA_EXT: 0x3d,
  READ_DMA: 0xc8,
  WRITE_DMA: 0xca,
  FLUSH_CACHE: 0xe7,
  FLUSH_CACHE_EXT: 0xea,
  IDENTIFY_DEVICE: 0xec,
} as const;

/** In LBA_MID and LBA_HIGH after a reset: a device with packets, not a disk, clause 9.12. */
export const PACKET_SIGNATURE = 0xeb14;

/** First sector that a command with 28 bits of address does not reach: what the last can name is not used. */
export const LBA28_END = 0x0fffffff;
/** Most sectors of such a command, and of one with 48 bits. */
export const LBA28_SECTORS = 256;
export const LBA48_SECTORS = 65536;

/**
 * A physical region descriptor, §1.2: two words, of which the first is an address and the second a length, 0
 * for 64 KiB. No region crosses a multiple of 64 KiB, and neither does the table.
 */
export const PRD = {
  ADDRESS: 0,
  LENGTH: 1,
  WORDS: 2,
  SIZE: 8,
  LENGTH_MASK: 0xffff,
  LAST: 0x80000000,
} as const;
export const REGION = 0x10000;
