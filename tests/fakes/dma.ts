/** What a device can reach: memory at bus addresses, as an IOMMU has it mapped. */

import type { DmaMemory } from "../../src/driver/mod.ts";

interface Mapping {
  address: number;
  bytes: Uint8Array;
  writable: boolean;
}

/** Bus addresses are plain numbers here, below 2^53. Reaching what is not mapped throws. */
export class BusMemory {
  readonly #mappings = new Map<number, Mapping>();
  #next: number;

  /** @param start First address: unless said, many need their high word, and one piece of memory crosses to it. */
  constructor(start = 0xffff_0000) {
    this.#next = start;
  }

  /** Maps `bytes` at the next free address, or at `address`; returns the address. */
  map(bytes: Uint8Array, options: { writable: boolean; address?: number }): number {
    const address = options.address ?? this.#next;
    if (options.address === undefined) this.#next += Math.ceil(bytes.length / 4096 + 1) * 4096;
    this.#mappings.set(address, { address, bytes, writable: options.writable });
    return address;
  }

  unmap(address: number): void {
    if (!this.#mappings.delete(address)) throw new Error(`Nothing is mapped at 0x${address.toString(16)}`);
  }

  /** Memory that driver and device share. */
  allocate(bytes: number, align: number): DmaMemory {
    const memory = new Uint8Array(new SharedArrayBuffer(bytes));
    const address = this.map(memory, { writable: true });
    if (address % align !== 0) throw new Error(`0x${address.toString(16)} is not aligned to ${align}`);
    return {
      bytes: memory,
      words: new Uint32Array(memory.buffer),
      low: address % 2 ** 32,
      high: Math.floor(address / 2 ** 32),
    };
  }

  /** What a device reads or, with `write`, writes: a view of the memory itself. */
  reach(address: number, length: number, write: boolean): Uint8Array {
    for (const mapping of this.#mappings.values()) {
      const offset = address - mapping.address;
      if (offset < 0 || offset + length > mapping.bytes.length) continue;
      if (write && !mapping.writable) break;
      return mapping.bytes.subarray(offset, offset + length);
    }
    const what = write ? "write" : "read";
    throw new Error(`DMA fault: ${what} of ${length} bytes at 0x${address.toString(16)}`);
  }
}
