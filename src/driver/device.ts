import type { AnyPortMap, Ports } from "./ports.ts";
import type { AnyRegisterMap, Registers } from "./registers.ts";

/**
 * Memory that the device and the driver share, zeroed and contiguous for the device. It is given back
 * when the driver ends, after the device has been quieted: nothing frees it earlier.
 */
export interface DmaMemory {
  /** The whole of it as 32-bit words. */
  readonly words: Uint32Array;
  /** The whole of it as bytes. */
  readonly bytes: Uint8Array;
  /** Bus address of its first byte, low and high 32 bits. */
  readonly low: number;
  readonly high: number;
}

/** The device as its manifest grants it. */
export interface Device {
  /** PCI address, as in `0000:00:10.0`. */
  readonly address: string;
  /** PCI vendor and device id. */
  readonly vendor: number;
  readonly device: number;
  /** Interrupt vectors granted, numbered from 0. */
  readonly vectors: number;
  /** `options` of the manifest, not interpreted by the host. */
  readonly options: Readonly<Record<string, unknown>>;

  /**
   * Access to the registers of `map` in a BAR.
   * @throws {DeviceError} if the manifest grants no window of that BAR, or one that does not hold them all.
   */
  bar(index: number, map: AnyRegisterMap): Registers;

  /**
   * Access to the I/O ports of `map` in a BAR.
   * @throws {DeviceError} if the manifest grants no window of that BAR, or one that does not hold them all, or
   * it is memory.
   */
  ports(index: number, map: AnyPortMap): Ports;

  /**
   * DMA memory out of the manifest's quota, aligned to `align` bytes (default 16).
   * @throws {DeviceError} if the quota is used up.
   */
  dma(bytes: number, options?: { align?: number }): DmaMemory;

  /** Lets the device master the bus. Off until called: reset the device first. */
  busMaster(enabled: boolean): void;

  /** A line for the supervisor's log. */
  log(message: string): void;
}
