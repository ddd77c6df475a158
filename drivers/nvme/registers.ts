/**
 * The registers of an NVMe controller that the driver uses, and what it shares with it in memory. Section
 * numbers are those of "NVM Express Base Specification", revision 1.4.
 */

import {
  type AnyRegisterMap,
  bit,
  bits,
  type Register,
  type RegisterRow,
  registers,
  ro,
  row,
  rw,
  struct,
  u32,
  u64,
  wo,
} from "../../src/driver/mod.ts";

/** Controller registers, §3.1, by offset. Those of 64 bits are two here, low half first. */
export const REG = registers({
  CAP: ro(0x00, { // §3.1.1
    MQES: bits(15, 0), // most entries of a queue, less one
    TO: bits(31, 24), // longest time to become ready, or not to be, in 500 ms
  }),
  CAP_HIGH: ro(0x04, {
    DSTRD: bits(3, 0), // doorbells are 4 << DSTRD bytes apart
    NVM: bit(5), // the command sets that it has include NVM
    MPSMIN: bits(19, 16), // smallest page, 4 KiB << MPSMIN
  }),
  CC: rw(0x14, { // §3.1.5
    EN: bit(0),
    CSS: bits(6, 4), // command set; 0: NVM
    MPS: bits(10, 7), // page, 4 KiB << MPS
    AMS: bits(13, 11), // arbitration; 0: round robin
    IOSQES: bits(19, 16), // bytes of a submission, as a power of two
    IOCQES: bits(23, 20), // bytes of a completion
  }),
  CSTS: ro(0x1c, { RDY: bit(0), CFS: bit(1) }), // §3.1.6: ready; fatal
  AQA: rw(0x24, { ASQS: bits(11, 0), ACQS: bits(27, 16) }), // §3.1.8: entries of the admin queues, less one
  ASQ: rw(0x28), // §3.1.9
  ASQ_HIGH: rw(0x2c),
  ACQ: rw(0x30), // §3.1.10
  ACQ_HIGH: rw(0x34),
});

/** Where the doorbells begin, §3.1.16. */
const DOORBELLS = 0x1000;

/** Doorbells, §3.1.16 and §3.1.17, of queue pairs 0, the admin queues, to `pairs` - 1. */
export interface Doorbells extends AnyRegisterMap {
  /** Tails of the submission queues. */
  TAIL: RegisterRow<Register<"wo">>;
  /** Heads of the completion queues. */
  HEAD: RegisterRow<Register<"wo">>;
}

/** @param options `dstrd`: CAP.DSTRD */
export function doorbells({ pairs, dstrd }: { pairs: number; dstrd: number }): Doorbells {
  const apart = 4 << dstrd;
  return registers({
    TAIL: row(wo(DOORBELLS), { count: pairs, stride: 2 * apart }),
    HEAD: row(wo(DOORBELLS + apart), { count: pairs, stride: 2 * apart }),
  });
}

/** Bytes of a page, and bits of an offset in it: CC.MPS is 0. */
export const PAGE = 4096;
export const PAGE_MASK = PAGE - 1;

/** Submission, §4.2. `command`: opcode in the low byte, command id in the upper half. */
export const COMMAND = struct({
  command: u32,
  namespace: u32,
  reserved: u64,
  metadata: u64,
  prp1: u64,
  prp2: u64,
  dword10: u32,
  dword11: u32,
  dword12: u32,
  dword13: u32,
  dword14: u32,
  dword15: u32,
}, { size: 64 });

/** Completion, §4.6. `status`: command id in the lower half, then the phase and the status field. */
export const COMPLETION = struct({ result: u32, reserved: u32, submission: u32, status: u32 }, { size: 16 });

/** Bits of `status`, §4.6 and §4.6.1. */
export const STATUS = {
  PHASE: 1 << 16,
  /** Status code type and status code, once shifted by `SHIFT`. */
  SHIFT: 17,
  CODE: 0x7ff,
} as const;

/** Admin commands, §5. */
export const ADMIN = {
  CREATE_SUBMISSION_QUEUE: 0x01, // §5.4
  CREATE_COMPLETION_QUEUE: 0x05, // §5.3
  IDENTIFY: 0x06, // §5.15
  SET_FEATURES: 0x09, // §5.21
} as const;

/** What IDENTIFY is asked for: CNS, §5.15.1. */
export const CNS = { NAMESPACE: 0x00, CONTROLLER: 0x01, ACTIVE_NAMESPACES: 0x02 } as const;

/** Number of Queues, §5.21.1.7: asked for, and given, less one: submission queues below, completion above. */
export const FEATURE_QUEUES = 0x07;

/** Dword 11 of queue creation: contiguous, and interrupts on, §5.3 and §5.4. */
export const QUEUE = { CONTIGUOUS: 1 << 0, INTERRUPTS: 1 << 1 } as const;

/** NVM commands, §6. */
export const NVM = {
  FLUSH: 0x00, // §6.8
  WRITE: 0x01, // §6.15
  READ: 0x02, // §6.9
  WRITE_ZEROES: 0x08, // §6.16
  DATASET_MANAGEMENT: 0x09, // §6.7
} as const;

/** Dword 12 of WRITE, §6.15: past the cache. */
export const FUA = 1 << 30;

/** Dword 11 of DATASET_MANAGEMENT, §6.7: the ranges are not needed any more. */
export const DEALLOCATE = 1 << 2;

/** A range of DATASET_MANAGEMENT, §6.7.1.1; `length` in blocks. */
export const RANGE = struct({ attributes: u32, length: u32, start: u64 }, { size: 16 });

/** Bytes of what IDENTIFY gives. */
export const IDENTIFY_BYTES = 4096;

/** Of the controller, §5.15.2.2 (figure 251): where each part is, bytes. */
export const CONTROLLER = {
  SERIAL: { at: 4, length: 20 },
  MODEL: { at: 24, length: 40 },
  /** Largest transfer, in pages as a power of two; 0: any. */
  MDTS: 77,
  /** Optional commands, 16 bits. */
  ONCS: 520,
  ONCS_DATASET_MANAGEMENT: 1 << 2,
  ONCS_WRITE_ZEROES: 1 << 3,
  /** Bit 0: there is a volatile write cache. */
  VWC: 525,
} as const;

/** Of a namespace, §5.15.2.1 (figure 249): where each part is, bytes. */
export const NAMESPACE = {
  /** Blocks, 64 bits. */
  SIZE: 0,
  FEATURES: 24,
  /** The write granularity is told. */
  FEATURES_OPTIMAL: 1 << 4,
  /** Which format, bits 3:0. */
  FORMAT: 26,
  /** End-to-end protection, bits 2:0: none if zero. */
  PROTECTION: 29,
  /** Preferred write granularity, 16 bits: blocks, less one. */
  WRITE_GRANULARITY: 64,
  /** Bit 0: write protected. */
  ATTRIBUTES: 99,
  /** Formats, 4 bytes each: metadata bytes in the low half, block bytes as a power of two above. */
  FORMATS: 128,
} as const;
