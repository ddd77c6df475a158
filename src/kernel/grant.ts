import { call } from "./claim.ts";
import { ERRNO, KernelError } from "./errors.ts";
import type { Value } from "./layout.ts";
import type { GrantCalls } from "./library_unsafe.ts";
import { mapMemory } from "./memory.ts";
import {
  type BLOCK_ATTACH,
  BUS_MASTER,
  CALL,
  DMA_ALLOC,
  INFO,
  MAX_PIO,
  type NET_ATTACH,
  type NET_CONFIG,
  type NET_REPORT,
  PIO_ACCESS,
  PORT_ATTACH_BLOCK,
  PORT_ATTACH_NET,
  PORT_CONFIG_NET,
  PORT_KIND,
  PORT_REPORT_NET,
  WAIT,
} from "./uapi.ts";

/** Word indices of the structure that WAIT reads and writes. */
export const WAIT_WORD = { ARGSZ: 0, FLAGS: 1, KICK: 2, TIMEOUT: 3, EVENTS: 4, IRQS: 5 } as const;

/** Words of an access to an I/O window, and bytes that those of one call may move by repetition. */
export const PIO_WORDS = PIO_ACCESS.size / 4;
export const PIO_DATA = 4096;

/** A capability for one device, held by the driver's process. Everything in it ends with the descriptor. */
export class Grant {
  /** The call structure of `wait`, in place: set KICK and TIMEOUT before, read EVENTS and IRQS after. */
  readonly waitWords: Uint32Array<ArrayBuffer> = new Uint32Array(WAIT.size / 4);
  /** The accesses of `pio`, in place: `PIO_WORDS` words each, see `r3_pio_access`. */
  readonly pioWords: Uint32Array<ArrayBuffer> = new Uint32Array(MAX_PIO * PIO_WORDS);
  /** What repeated accesses read and write; their `buffer` is a place in it. */
  readonly pioData: Uint8Array<ArrayBuffer> = new Uint8Array(PIO_DATA);
  readonly #library: GrantCalls;
  readonly #fd: number;
  #info?: Value<typeof INFO>;

  constructor(library: GrantCalls, fd: number) {
    this.#library = library;
    this.#fd = fd;
    this.waitWords[WAIT_WORD.ARGSZ] = WAIT.size;
  }

  /** What the grant holds, which never changes. */
  info(): Value<typeof INFO> {
    const action = "Cannot read the grant";
    return this.#info ??= call(this.#library, this.#fd, { number: CALL.INFO, layout: INFO, action }).out;
  }

  /**
   * Maps `length` bytes at an mmap offset that the kernel gave. The mapping stays as long as the buffer.
   * @throws {KernelError} EPERM once mapping is sealed.
   */
  map(offset: bigint, length: number): SharedArrayBuffer {
    return mapMemory(this.#library, this.#fd, { offset, length, action: "Cannot map granted memory" });
  }

  /** Zeroed memory for the device and the driver; its bus address and mmap offset. */
  dmaAlloc(length: number): { length: number; address: bigint; mmapOffset: bigint } {
    const { out } = call(this.#library, this.#fd, {
      number: CALL.DMA_ALLOC,
      layout: DMA_ALLOC,
      values: { length: BigInt(length) },
      action: `Cannot allocate ${length} bytes of DMA memory`,
    });
    return { length: Number(out.length), address: out.address, mmapOffset: out.mmap_offset };
  }

  /** Lets the device master the bus, or stops it. */
  busMaster(enable: boolean): void {
    call(this.#library, this.#fd, {
      number: CALL.BUS_MASTER,
      layout: BUS_MASTER,
      values: { enable: Number(enable) },
      action: "Cannot switch bus mastering",
    });
  }

  /** Attaches to the network port. */
  attachNet(net: Value<typeof NET_ATTACH>): void {
    call(this.#library, this.#fd, {
      number: CALL.PORT_ATTACH,
      layout: PORT_ATTACH_NET,
      values: { kind: PORT_KIND.net, net },
      action: "Cannot attach to the network port",
    });
  }

  /** Attaches to the block port. */
  attachBlock(block: Value<typeof BLOCK_ATTACH>): void {
    call(this.#library, this.#fd, {
      number: CALL.PORT_ATTACH,
      layout: PORT_ATTACH_BLOCK,
      values: { kind: PORT_KIND.block, block },
      action: "Cannot attach to the block port",
    });
  }

  /** What the kernel wants of the network device. */
  configNet(): Value<typeof NET_CONFIG> {
    return call(this.#library, this.#fd, {
      number: CALL.PORT_CONFIG,
      layout: PORT_CONFIG_NET,
      action: "Cannot read the network port's configuration",
    }).out.net;
  }

  /** Reports link and counters of the network device. */
  reportNet(net: Value<typeof NET_REPORT>): void {
    call(this.#library, this.#fd, {
      number: CALL.PORT_REPORT,
      layout: PORT_REPORT_NET,
      values: { kind: PORT_KIND.net, net },
      action: "Cannot report to the network port",
    });
  }

  /**
   * Runs the first `count` accesses of `pioWords`, in order; those that read hold their values after.
   * @throws {KernelError} EINVAL for an access outside the grant's I/O windows.
   */
  pio(count: number): void {
    const { pioWords, pioData } = this;
    const result = this.#library.r3_pio(this.#fd, pioWords, count, pioData, PIO_DATA);
    if (result < 0) throw new KernelError("Cannot access the device's I/O ports", -result);
  }

  /** Milliseconds of the kernel's monotonic clock: a tenth of what `performance.now` costs. */
  now(): number {
    return this.#library.r3_now();
  }

  /**
   * The data path's one call, with `waitWords`. A signal to the process ends it without events.
   * @throws {KernelError} ENODEV the device is gone, EKEYREVOKED the grant has been taken back.
   */
  wait(): void {
    const result = this.#library.r3_call(this.#fd, CALL.WAIT, this.waitWords);
    if (result === 0) return;
    if (result !== -ERRNO.EINTR) throw new KernelError("Cannot wait for the device", -result);
    this.waitWords[WAIT_WORD.EVENTS] = 0;
    this.waitWords[WAIT_WORD.IRQS] = 0;
  }
}
