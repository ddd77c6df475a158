/** The device that the host makes of a grant. */
import { assertEquals, assertThrows } from "@std/assert";
import { long, ports, registers, ro, rw } from "../../src/driver/mod.ts";
import { GrantedDevice } from "../../src/host/device.ts";
import { type Grant, uapi } from "../../src/kernel/mod.ts";

const REG = registers({ FIRST: rw(0x0), LAST: rw(0xffc) });

/** A grant over plain memory: BAR 2 from byte 4096 on, an I/O BAR, and whatever DMA memory is asked for. */
function memoryGrant(): { grant: Grant; asked: number[]; batches: number[][] } {
  const asked: number[] = [];
  const batches: number[][] = [];
  const grant = {
    info: () => ({
      ...uapi.INFO.decode(new Uint8Array(uapi.INFO.size)),
      address: "0000:00:10.0",
      windows: 2,
      irqs: 1,
      window: [
        { bar: 2, flags: 0, offset: 4096n, length: 4096n, mmap_offset: 1n },
        { bar: 4, flags: uapi.WINDOW_IO, offset: 0n, length: 16n, mmap_offset: 0n },
      ],
    }),
    pioWords: new Uint32Array(64 * 6),
    pioData: new Uint8Array(4096),
    pio(count: number) {
      batches.push([...this.pioWords.subarray(0, count * 6)]);
    },
    map: (_offset: bigint, length: number) => new SharedArrayBuffer(length),
    dmaAlloc: (length: number) => {
      asked.push(length);
      return { length, address: 0x1_ffff_f000n + BigInt(asked.length - 1) * 0x1000_0000n, mmapOffset: 0n };
    },
  };
  return { grant: grant as unknown as Grant, asked, batches };
}

function device(dma: number) {
  const { grant, asked, batches } = memoryGrant();
  return { device: new GrantedDevice(grant, dma, { options: { a: 1 }, log: () => {} }), asked, batches };
}

Deno.test("registers are found by their offset in the BAR, inside the granted window only", () => {
  const { device: granted } = device(0);
  const map = registers({ AT: rw(0x1ffc) });
  const regs = granted.bar(2, map);
  regs.write(map.AT, 0xffffffff);
  assertEquals(regs.read(map.AT), 0xffffffff);
  assertThrows(() => granted.bar(2, REG), Error, "lies outside the granted window");
  assertThrows(() => granted.bar(0, REG), Error, "the manifest grants no window of it");
  assertThrows(() => granted.bar(4, REG), Error, "the manifest grants no window of it");
});

Deno.test("I/O ports are those of a granted window, and run through the grant", () => {
  const { device: granted, batches } = device(0);
  const map = ports({ ADDRESS: long(rw(4)), STATUS: ro(2) });
  const io = granted.ports(4, map);
  io.write(map.ADDRESS, 0x12345678);
  io.read(map.STATUS);
  io.run();
  // The window is the grant's second; a write of 4 bytes at 4, a read of 1 at 2.
  assertEquals(batches, [[1 | 4 << 16 | 1 << 24, 4, 0x12345678, 0, 0, 0, 1 | 1 << 16, 2, 0, 0, 0, 0]]);
  assertThrows(() => granted.ports(4, ports({ LAST: ro(16) })), Error, "lies outside the granted window");
  assertThrows(() => granted.ports(2, map), Error, "the manifest grants no window of I/O ports there");
});

Deno.test("DMA memory is handed out aligned, with both halves of its address, and never twice", () => {
  const { device: granted } = device(8192);
  const first = granted.dma(20);
  const second = granted.dma(128, { align: 128 });
  assertEquals([first.high, first.low], [1, 0xfffff000]);
  assertEquals([second.high, second.low], [1, 0xfffff080]);
  assertEquals(first.words.length, 5);
  first.bytes.fill(1);
  assertEquals(second.bytes.every((byte) => byte === 0), true);
  // Past 4 GiB - 4 KiB the address carries into the upper half.
  const third = granted.dma(4096, { align: 4096 });
  assertEquals([third.high, third.low], [2, 0]);
});

Deno.test("the quota is the end of it, and it is taken in pieces that can be contiguous", () => {
  const { device: granted, asked } = device(2.5 * 1024 * 1024 + 100);
  assertEquals(asked, [1024 * 1024, 1024 * 1024, 512 * 1024]);
  granted.dma(1024 * 1024);
  granted.dma(1024 * 1024);
  assertThrows(() => granted.dma(600 * 1024), Error, "the manifest grants 2621440, 2097152 are used");
  granted.dma(512 * 1024);
  assertThrows(() => granted.dma(1), Error, "Cannot give 0000:00:10.0 1 bytes of DMA memory");
  assertThrows(() => device(4096).device.dma(0), RangeError);
  assertThrows(() => device(4096).device.dma(8, { align: 24 }), RangeError);
});
