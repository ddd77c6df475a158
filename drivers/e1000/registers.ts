/**
 * The registers of the 82540EM and 82545EM that the driver uses, and their descriptors. Section numbers
 * are those of Intel's "PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"
 * (317453), chapter 13 unless said.
 */

import {
  bit,
  bits,
  rc,
  registers,
  ro,
  row,
  rw,
  struct,
  u16,
  u32,
  u64,
  u8,
  wo,
} from "../../src/driver/mod.ts";

/** Fields that ICR, IMS and IMC share, §13.4.17. */
const CAUSES = {
  TXDW: bit(0), // a transmit descriptor was written back
  LSC: bit(2), // the link went up or down
  RXT0: bit(7), // frames were received
};

/** By offset. */
export const REG = registers({
  CTRL: rw(0x0000, { // §13.4.1
    LRST: bit(3),
    ASDE: bit(5), // take the speed from the PHY
    SLU: bit(6), // set link up
    ILOS: bit(7),
    FRCSPD: bit(11),
    FRCDPLX: bit(12),
    RST: bit(26), // reset all but the PHY; clears itself
    VME: bit(30),
    PHY_RST: bit(31),
  }),
  STATUS: ro(0x0008, { FD: bit(0), LU: bit(1), SPEED: bits(7, 6) }), // §13.4.2
  EERD: rw(0x0014, { START: bit(0), DONE: bit(4), ADDR: bits(15, 8), DATA: bits(31, 16) }), // §13.4.4
  MDIC: rw(0x0020, {
    DATA: bits(15, 0),
    REG: bits(20, 16),
    PHY: bits(25, 21),
    OP: bits(27, 26),
    R: bit(28),
    E: bit(30),
  }), // §13.4.6
  FCAL: rw(0x0028), // §13.4.7: pause frames' address, low
  FCAH: rw(0x002c),
  FCT: rw(0x0030), // pause frames' type
  ICR: rc(0x00c0, CAUSES), // §13.4.17: reading clears
  ITR: rw(0x00c4, { INTERVAL: bits(15, 0) }), // §13.4.18: units of 256 ns
  IMS: rw(0x00d0, CAUSES), // §13.4.20: ones enable
  IMC: wo(0x00d8), // §13.4.21: ones disable
  RCTL: rw(0x0100, { // §13.4.22
    EN: bit(1),
    UPE: bit(3), // all unicast
    MPE: bit(4), // all multicast
    LPE: bit(5), // frames over 1522 bytes
    MO: bits(13, 12), // which bits of an address index the MTA; 0: 47:36
    BAM: bit(15), // broadcast
    BSIZE: bits(17, 16),
    BSEX: bit(25), // BSIZE times 16
    SECRC: bit(26), // strip the CRC
  }),
  FCTTV: rw(0x0170), // §13.4.24: pause time
  TCTL: rw(0x0400, { EN: bit(1), PSP: bit(3), CT: bits(11, 4), COLD: bits(21, 12) }), // §13.4.33
  TIPG: rw(0x0410, { IPGT: bits(9, 0), IPGR1: bits(19, 10), IPGR2: bits(29, 20) }), // §13.4.34
  RDBAL: rw(0x2800), // §13.4.25
  RDBAH: rw(0x2804),
  RDLEN: rw(0x2808), // bytes, a multiple of 128
  RDH: rw(0x2810), // the hardware's, but for set-up
  RDT: rw(0x2818), // ours: one beyond the last descriptor that the hardware may use
  RDTR: rw(0x2820), // §13.4.30: delay of the receive interrupt
  RADV: rw(0x282c), // §13.4.31
  TDBAL: rw(0x3800), // §13.4.35
  TDBAH: rw(0x3804),
  TDLEN: rw(0x3808),
  TDH: rw(0x3810), // the hardware's, but for set-up
  TDT: rw(0x3818), // ours: one beyond the last descriptor to send
  CRCERRS: rc(0x4000), // §13.7: statistics; reading clears
  MPC: rc(0x4010), // missed: no room in the device
  COLC: rc(0x4028),
  RLEC: rc(0x4040), // length field and length differ
  GPTC: rc(0x4080), // frames sent, each segment one
  RUC: rc(0x40a4), // too short
  ROC: rc(0x40ac), // too long
  RXCSUM: rw(0x5000, { IPOFL: bit(8), TUOFL: bit(9) }), // §13.4.48
  MTA: row(rw(0x5200), { count: 128 }), // §13.5.1: 4096 bits
  RAL: row(rw(0x5400), { count: 16, stride: 8 }), // §13.5.2: address bytes 0 to 3
  RAH: row(rw(0x5404, { ADDRESS: bits(15, 0), AV: bit(31) }), { count: 16, stride: 8 }), // §13.5.3: bytes 4 and 5
});

/** Operations of MDIC, §13.4.6. */
export const MDIC_OP = { WRITE: 1, READ: 2 } as const;

/** PHY registers and their bits, IEEE 802.3 clause 22; §11.6. The internal PHY has address 1. */
export const PHY = {
  ADDRESS: 1,
  CONTROL: { REG: 0, RESTART: 1 << 9, AUTO: 1 << 12 },
  STATUS: { REG: 1, LINK: 1 << 2 },
} as const;

/** Words of the EEPROM, §5.6: all of them add up to `SUM` modulo 2^16. The first three hold the address. */
export const EEPROM = { WORDS: 64, SUM: 0xbaba } as const;

/** Legacy receive descriptor, §3.2.3. */
export const RX_DESC = struct(
  { address: u64, length: u16, checksum: u16, status: u8, errors: u8, special: u16 },
  { size: 16 },
);

/** Word 3 of it: status in the low byte (§3.2.3.1), errors in the next (§3.2.3.2). */
export const RX = {
  DD: 1 << 0, // done: the descriptor is ours
  EOP: 1 << 1, // the frame ends here
  IXSM: 1 << 2, // no checksum was looked at
  TCPCS: 1 << 5, // the TCP or UDP checksum was
  BAD: (0x01 | 0x02 | 0x04 | 0x10 | 0x80) << 8, // CRC, symbol, sequence, carrier extension, data
  TCPE: 0x20 << 8, // the TCP or UDP checksum is wrong
} as const;

/** Data descriptor, §3.3.7: `command` holds length, type and commands, `status` status and options. */
export const TX_DESC = struct({ address: u64, command: u32, status: u32 }, { size: 16 });

/** Context descriptor, §3.3.6: where the checksums are, and how to cut segments. */
export const TX_CONTEXT = struct({
  ipStart: u8,
  ipOffset: u8,
  ipEnd: u16,
  tcpStart: u8,
  tcpOffset: u8,
  tcpEnd: u16,
  command: u32,
  status: u8,
  headerLength: u8,
  segmentSize: u16,
}, { size: 16 });

/** Bits of `command` and `status` in a descriptor to send, §3.3.6.1 and §3.3.7.1. */
export const TX = {
  DATA: 1 << 20, // a data descriptor; absent: a context
  EOP: 1 << 24, // the frame ends here
  IFCS: 1 << 25, // append the CRC
  TSE: 1 << 26, // cut segments
  RS: 1 << 27, // report: set DD when done
  DEXT: 1 << 29, // not the legacy format
  TCP: 1 << 24, // context: TCP, else UDP
  IP: 1 << 25, // context: IPv4
  DD: 1 << 0, // status: done
  IXSM: 1 << 8, // status: insert the IPv4 header checksum
  TXSM: 1 << 9, // status: insert the TCP or UDP checksum
} as const;

/** Receive buffer sizes the card knows, largest first, with RCTL.BSIZE and BSEX for each, §13.4.22. */
export const RX_SIZES = [
  { bytes: 16384, BSIZE: 1, BSEX: 1 },
  { bytes: 8192, BSIZE: 2, BSEX: 1 },
  { bytes: 4096, BSIZE: 3, BSEX: 1 },
  { bytes: 2048, BSIZE: 0, BSEX: 0 },
  { bytes: 1024, BSIZE: 1, BSEX: 0 },
  { bytes: 512, BSIZE: 2, BSEX: 0 },
  { bytes: 256, BSIZE: 3, BSEX: 0 },
] as const;
