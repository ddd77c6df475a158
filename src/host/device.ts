/** The device as a driver sees it, made of the memory that a grant allows. */
import { DeviceError } from "../driver/error.ts";
import type { Device, DmaMemory } from "../driver/device.ts";
import type { AnyPortMap, Ports } from "../driver/ports.ts";
import { type AnyRegisterMap, MappedRegisters, type Registers } from "../driver/registers.ts";
import { type Grant, uapi } from "../kernel/mod.ts";
import { GrantedPorts, PortBatch } from "./ports.ts";
import { RecordedRegisters, type Recorder } from "./recorder.ts";

/** DMA memory is taken from the kernel in pieces of at most this, as larger ones may not be contiguous. */
const LARGEST_PIECE = 1024 * 1024;
const PAGE = 4096;

interface Window {
  readonly bar: number;
  /** Where it begins in the BAR, bytes. */
  readonly offset: number;
  readonly words: Uint32Array;
}

interface IoWindow {
  readonly bar: number;
  /** Its number among the grant's windows. */
  readonly index: number;
  /** Where it begins in the BAR, and its length, bytes. */
  readonly offset: number;
  readonly length: number;
}

/** A piece of DMA memory, handed out from its start. */
interface Piece {
  readonly buffer: SharedArrayBuffer;
  readonly address: bigint;
  readonly length: number;
  used: number;
}

/** Maps everything that a grant holds. Made before mapping is sealed; maps nothing afterwards. */
export class GrantedDevice implements Device {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  readonly options: Readonly<Record<string, unknown>>;
  /** Interrupt vectors granted. */
  readonly vectors: number;
  readonly #grant: Grant;
  readonly #windows: Window[];
  readonly #ioWindows: IoWindow[];
  readonly #ports: PortBatch;
  readonly #pieces: Piece[] = [];
  readonly #log: (message: string) => void;
  readonly #recorder?: Recorder;

  /**
   * @param dma Bytes of DMA memory that the manifest grants.
   * @param recorder Keeps the register accesses, if they are to be kept.
   */
  constructor(grant: Grant, dma: number, { options, log, recorder }: {
    options: Record<string, unknown>;
    log: (message: string) => void;
    recorder?: Recorder;
  }) {
    const info = grant.info();
    this.address = info.address;
    this.vendor = info.vendor;
    this.device = info.device;
    this.vectors = info.irqs;
    this.options = Object.freeze(options);
    this.#grant = grant;
    this.#log = log;
    this.#recorder = recorder;
    this.#ports = new PortBatch(grant);
    this.#ioWindows = info.window
      .map(({ bar, flags, offset, length }, index) => ({
        bar,
        flags,
        index,
        offset: Number(offset),
        length: Number(length),
      }))
      .filter(({ flags }) => flags & uapi.WINDOW_IO);
    this.#windows = info.window
      .filter(({ flags }) => !(flags & uapi.WINDOW_IO))
      .map(({ bar, offset, length, mmap_offset }) => ({
        bar,
        offset: Number(offset),
        words: new Uint32Array(grant.map(mmap_offset, Number(length)), 0, Number(length) / 4),
      }));
    // Only whole pages can be had, and the kernel counts those.
    for (let left = Math.floor(dma / PAGE) * PAGE; left > 0;) {
      const { length, address, mmapOffset } = grant.dmaAlloc(Math.min(left, LARGEST_PIECE));
      this.#pieces.push({ buffer: grant.map(mmapOffset, length), address, length, used: 0 });
      left -= length;
    }
  }

  bar(index: number, map: AnyRegisterMap): Registers {
    const window = this.#windows.find(({ bar }) => bar === index);
    if (!window) {
      throw new DeviceError(
        `Cannot use BAR ${index} of ${this.address}: the manifest grants no window of it`,
      );
    }
    const options = { map, window: window.offset, name: `BAR ${index} of ${this.address}` };
    return this.#recorder
      ? new RecordedRegisters(window.words, { ...options, bar: index, recorder: this.#recorder })
      : new MappedRegisters(window.words, options);
  }

  ports(index: number, map: AnyPortMap): Ports {
    const window = this.#ioWindows.find(({ bar }) => bar === index);
    if (!window) {
      throw new DeviceError(
        `Cannot use the ports of BAR ${index} of ${this.address}: the manifest grants no window of I/O ports there`,
      );
    }
    return new GrantedPorts(this.#ports, { ...window, map, name: `BAR ${index} of ${this.address}` });
  }

  dma(bytes: number, { align = 16 } = {}): DmaMemory {
    if (
      !(Number.isSafeInteger(bytes) && bytes > 0) || !(Number.isInteger(Math.log2(align)) && align <= PAGE)
    ) {
      throw new RangeError(`Cannot give ${bytes} bytes of DMA memory aligned to ${align}`);
    }
    for (const piece of this.#pieces) {
      const at = Math.ceil(piece.used / align) * align;
      if (at + bytes > piece.length) continue;
      piece.used = at + bytes;
      const address = piece.address + BigInt(at);
      return {
        words: new Uint32Array(piece.buffer, at, bytes >>> 2),
        bytes: new Uint8Array(piece.buffer, at, bytes),
        low: Number(address & 0xffffffffn),
        high: Number(address >> 32n),
      };
    }
    const granted = this.#pieces.reduce((sum, { length }) => sum + length, 0);
    const used = this.#pieces.reduce((sum, piece) => sum + piece.used, 0);
    throw new DeviceError(
      `Cannot give ${this.address} ${bytes} bytes of DMA memory: the manifest grants ${granted}, ${used} are used`,
    );
  }

  busMaster(enabled: boolean): void {
    this.#grant.busMaster(enabled);
  }

  log(message: string): void {
    this.#log(message);
  }
}
