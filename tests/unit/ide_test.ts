/** The IDE driver against a model of the controller and its drives, and the kernel's side of its port. */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import ide from "../../drivers/ide/driver.ts";
import { concat } from "../../src/bytes.ts";
import { useClock } from "../../src/driver/clock.ts";
import { BLOCK_ERROR, DeviceError, OPERATION } from "../../src/driver/mod.ts";
import { FakeBlockPort, type FakeRequest } from "../fakes/block_port.ts";
import { FakeClock } from "../fakes/clock.ts";
import { BusMemory } from "../fakes/dma.ts";
import { ABRT, FakeDrive, FakePiix, ICRC, NM, UNC } from "../fakes/piix.ts";
import { FakePortDevice } from "../fakes/ports.ts";

const { READ, WRITE, FLUSH, DISCARD, ZEROES } = OPERATION;
const BARS = [0, 1, 2, 3, 4];
/** Bus addresses that the test gives to segments, clear of those that are given by themselves. */
const SEGMENTS = 0x4000_0000;

interface Options {
  drives?: (FakeDrive | undefined)[];
  options?: Record<string, unknown>;
  bars?: number[];
  rings?: number;
  /** Where the device's memory begins. */
  memory?: number;
}

/** A controller, a port and a driver, run as the host runs them. */
class Rig {
  readonly clock = new FakeClock();
  readonly bus: BusMemory;
  readonly piix: FakePiix;
  readonly port: FakeBlockPort;
  readonly device: FakePortDevice;
  readonly drive: FakeDrive;
  #state: Awaited<ReturnType<typeof ide.bringUp>> | undefined;

  constructor(options: Options = {}) {
    useClock(this.clock);
    const { drives = [new FakeDrive()], bars = BARS } = options;
    this.drive = drives.find((drive) => drive) ?? new FakeDrive();
    this.bus = new BusMemory(options.memory ?? 0x10_0000);
    this.piix = new FakePiix(this.clock, this.bus, drives);
    this.port = new FakeBlockPort(this.bus, { rings: options.rings ?? 2048 });
    this.device = new FakePortDevice(this.piix, this.bus, { bars, vectors: 2, options: options.options });
  }

  static async up(options: Options = {}): Promise<Rig> {
    const rig = new Rig(options);
    await rig.bringUp();
    rig.drive.commands.length = 0;
    return rig;
  }

  async bringUp(): Promise<void> {
    this.#state = await this.clock.settle(ide.bringUp(this.device, this.port));
  }

  interrupt(vectors: number): void {
    ide.interrupt(this.#state!, vectors);
  }

  poll(): void {
    if (ide.poll(this.#state!, 64)) throw new Error("There is never more to do at once");
    this.port.reap();
    if (!this.port.idle) throw new Error("The driver left submissions unseen: WAIT would not sleep");
  }

  /** What the host does until nothing happens any more. */
  run(): void {
    this.poll();
    for (let edges = this.piix.takeEdges(); edges !== 0; edges = this.piix.takeEdges()) {
      this.interrupt(edges);
      this.poll();
    }
  }

  /** Moves time; the host polls after whatever came due. */
  async wait(ms: number): Promise<void> {
    for (let i = 0; i < ms; i += 100) {
      await this.clock.advance(100);
      this.poll();
    }
  }

  /** Submits and runs; the error of the request, undefined for none. */
  do(request: FakeRequest): number | undefined {
    const token = this.port.submit(request);
    this.run();
    return this.ended(token);
  }

  /** How a request ended. */
  ended(token: number): number | undefined {
    if (this.port.done.includes(token)) return undefined;
    const failed = this.port.failed.find((one) => one.token === token);
    if (!failed) throw new Error("The request is not done");
    return failed.error;
  }
}

/** Bytes each unlike their neighbours. */
function pattern(length: number, seed = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13 + (i >> 9)) & 0xff);
}

// ---- bring-up ----

Deno.test("bring-up resets, identifies, and attaches", async () => {
  const rig = new Rig({ drives: [new FakeDrive({ sectors: 123456, model: "QEMU HARDDISK", fua: true })] });
  await rig.bringUp();
  assertEquals(rig.port.attached, {
    sectors: 123456,
    logicalBlock: 512,
    physicalBlock: 512,
    maxSectors: 8192,
    maxSegments: 512,
    maxSegment: 65536,
    boundary: 65536,
    alignment: 4,
    depth: 2,
    queues: 1,
    features: { cache: true, fua: true, rotational: true },
    model: "QEMU HARDDISK",
    serial: "QM00001",
  });
  assertEquals(rig.device.lines, [
    "QEMU HARDDISK at channel 0, drive 0: 123456 sectors, 48-bit addresses, Ultra DMA mode 5",
  ]);
  assertEquals(rig.piix.state(0), { active: false, interrupts: true, capable: 0x60, line: false });
  assertEquals(rig.piix.state(1), { active: false, interrupts: false, capable: 0x60, line: false });
  assertStrictEquals(rig.piix.busMaster, true);
  assertStrictEquals(rig.piix.takeEdges(), 0);
  assert(rig.clock.now() < 60, `it took ${rig.clock.now()} ms`);
});

Deno.test("the bus is mastered only when both channels are quiet", async () => {
  const rig = new Rig();
  let active: boolean[] | undefined;
  Object.defineProperty(rig.piix, "busMaster", {
    get: () => active !== undefined,
    set: () => active = [rig.piix.state(0).active, rig.piix.state(1).active],
  });
  await rig.bringUp();
  assertEquals(active, [false, false]);
});

Deno.test("the first disk is found on either channel, master or slave", async () => {
  for (let at = 0; at < 4; at++) {
    const drives: (FakeDrive | undefined)[] = [undefined, undefined, undefined, undefined];
    drives[at] = new FakeDrive({ serial: `S${at}` });
    const rig = await Rig.up({ drives });
    assertStrictEquals(rig.port.attached?.serial, `S${at}`);
    assertStrictEquals(rig.piix.state(at >> 1).interrupts, true);
    assertStrictEquals(rig.do({ operation: WRITE, sector: 9, segments: [pattern(1024)] }), undefined);
    assertEquals(drives[at]!.read(9, 2), pattern(1024));
  }
});

Deno.test("drives that take packets are passed over, and so are those that cannot be used", async () => {
  const bad = new FakeDrive();
  bad.identity[255] ^= 0x100;
  const rig = await Rig.up({
    drives: [new FakeDrive({ packet: true }), bad, new FakeDrive({ serial: "GOOD" })],
  });
  assertStrictEquals(rig.port.attached?.serial, "GOOD");
  assertEquals(rig.device.lines.slice(0, 2), [
    "the drive at channel 0, drive 0 takes packets: it is no disk",
    "Cannot use the drive at channel 0, drive 1: the checksum of its IDENTIFY data is off by 1",
  ]);
});

Deno.test("options choose channel and drive, and need no ports of the other channel", async () => {
  const drives = ["A", "B", "C", "D"].map((serial) => new FakeDrive({ serial }));
  const chosen = async (options: Record<string, unknown>, bars = BARS) =>
    (await Rig.up({ drives, options, bars })).port.attached?.serial;
  assertStrictEquals(await chosen({}), "A");
  assertStrictEquals(await chosen({ drive: 1 }), "B");
  assertStrictEquals(await chosen({ channel: 1 }, [2, 3, 4]), "C");
  assertStrictEquals(await chosen({ channel: 1, drive: 1 }), "D");
  for (
    const [options, message] of [
      [{ channel: 2 }, "option channel is 2, not 0 or 1"],
      [{ drive: "0" }, 'option drive is "0", not 0 or 1'],
      [{ commandSeconds: 0 }, "option commandSeconds is 0, not from 1 to 120"],
    ] as const
  ) {
    const rig = new Rig({ options });
    await assertRejects(() => rig.bringUp(), DeviceError, `Cannot use 0000:00:10.0: ${message}`);
    assertEquals(rig.device.batch.runs, [], "it is refused before the device is touched");
  }
});

/** Brings up a controller with a fault; gives the message of the error and what was logged before. */
async function failure(prepare: (rig: Rig) => void, options: Options = {}): Promise<string[]> {
  const rig = new Rig(options);
  prepare(rig);
  const error = await assertRejects(() => rig.bringUp(), DeviceError);
  assertStrictEquals(rig.port.attached, undefined);
  assertStrictEquals(rig.piix.busMaster, false, "a device that does not come up must not master the bus");
  return [...rig.device.lines, error.message];
}

/** Brings up a controller with one drive, whose identity is changed before. */
async function upWith(
  options: ConstructorParameters<typeof FakeDrive>[0],
  change = (_: Uint16Array) => {},
): Promise<Rig> {
  const drive = new FakeDrive(options);
  change(drive.identity);
  drive.seal();
  return await Rig.up({ drives: [drive] });
}

const NO_DISK = "Cannot use 0000:00:10.0: there is no disk that can be used at channel 0, drive 0; " +
  "channel 0, drive 1; channel 1, drive 0; channel 1, drive 1";

Deno.test("each fault of bring-up ends with its own message", async () => {
  assertEquals(await failure(() => {}, { drives: [] }), [NO_DISK]);
  assertEquals(await failure(({ piix }) => piix.faults.gone = true), [
    "Cannot use 0000:00:10.0: the device is gone, STATUS of bus master 0 reads all ones",
  ]);
  assertEquals(
    await failure(({ piix }) => piix.faults.resetNeverEnds = true, { options: { channel: 0, drive: 0 } }),
    [
      "Waited for the drive at channel 0, drive 0 to be ready after reset: gave up after 31000 ms",
      "Cannot use 0000:00:10.0: there is no disk that can be used at channel 0, drive 0",
    ],
  );
  assertEquals(
    await failure(({ piix }) => piix.faults.identifyNeverEnds = true, { options: { channel: 0, drive: 0 } }),
    [
      "Waited for IDENTIFY DEVICE of the drive at channel 0, drive 0: gave up after 5000 ms",
      "Cannot use 0000:00:10.0: there is no disk that can be used at channel 0, drive 0",
    ],
  );
  assertEquals(
    (await failure(({ piix }) => piix.faults.identityWithoutEnd = true))[0],
    "Cannot use the drive at channel 0, drive 0: its IDENTIFY data does not end",
  );
  assertEquals(
    (await failure(() => {}, { bars: [0, 1, 2, 3] }))[0],
    "Cannot use the ports of BAR 4 of 0000:00:10.0: the manifest grants none",
  );
  assertEquals(
    (await failure(() => {}, { memory: 2 ** 32 }))[0],
    'Cannot use 0000:00:10.0: its DMA memory lies above 4 GiB; grant it "addressBits": 32',
  );
});

Deno.test("a drive that the driver cannot use is told why", async () => {
  for (
    const [change, reason] of [
      [(words: Uint16Array) => words[0] |= 0x8000, "it is no disk"],
      [(words: Uint16Array) => words[49] &= ~0x200, "it has no LBA"],
      [(words: Uint16Array) => words[49] &= ~0x100, "it has no DMA"],
      [
        (words: Uint16Array) => words[88] &= 0xff,
        "it is set to no DMA mode; have the firmware, or once the kernel's ata_piix, set it up",
      ],
      [
        (words: Uint16Array) => words.set([0x5000], 106) ?? words.set([2048, 0], 117),
        "its sectors are 4096 bytes, not 512",
      ],
      [(words: Uint16Array) => words.fill(0, 100, 104), "0 is no number of sectors"],
      [(words: Uint16Array) => words[103] = 2, "562949953425408 is no number of sectors"],
    ] as [(words: Uint16Array) => void, string][]
  ) {
    const lines = await failure(({ drive }) => {
      change(drive.identity);
      drive.seal();
    });
    assertStrictEquals(lines[0], `Cannot use the drive at channel 0, drive 0: ${reason}`);
  }
});

Deno.test("what is attached follows IDENTIFY", async () => {
  const attached = async (...drive: Parameters<typeof upWith>) => {
    const { port, device } = await upWith(...drive);
    return { ...port.attached!, line: device.lines.at(-1), lines: device.lines.length };
  };
  const small = await attached({ lba48: false, fua: true, cache: false });
  assertEquals([small.sectors, small.maxSectors, small.features], [
    4096,
    256,
    { cache: false, fua: false, rotational: true },
  ]);
  const large = await attached({ sectors: 2 ** 33 });
  assertStrictEquals(large.sectors, 2 ** 33);
  const advanced = await attached({}, (words) => (words[106] = 0x6003, words[217] = 1));
  assertEquals([advanced.physicalBlock, advanced.features.rotational], [4096, false]);
  const multiword = await attached({}, (words) => (words[88] = 0, words[63] = 0x0407));
  assert(multiword.line?.endsWith("multiword DMA mode 2"), multiword.line);
  const unflushed = await attached({}, (words) => words[83] = 0x4400);
  assertEquals([unflushed.features.cache, unflushed.lines], [false, 2]);
  const disabled = await attached({}, (words) => words[85] = 0x4000);
  assertStrictEquals(disabled.features.cache, false);
  const old = await attached({}, (words) => (words[53] = 0, words[63] = 0x0207));
  assert(old.line?.endsWith("multiword DMA mode 1"), old.line);
  const plain = await attached({}, (words) => words[82] = words[83] = words[84] = 0xffff);
  assertEquals([plain.features.fua, plain.maxSectors], [false, 256], "words that are not valid say nothing");
});

// ---- requests ----

Deno.test("what is written is read, in pieces of any form", async () => {
  const rig = await Rig.up();
  const pieces = [pattern(4096, 1), pattern(512, 2), pattern(8, 3), pattern(1016, 4), pattern(2048, 5)];
  assertStrictEquals(rig.do({ operation: WRITE, sector: 100, segments: pieces }), undefined);
  assertEquals(rig.drive.read(100, 15), concat(pieces));
  const back = [new Uint8Array(7168), new Uint8Array(512)];
  assertStrictEquals(rig.do({ operation: READ, sector: 100, segments: back }), undefined);
  assertEquals(concat(back), concat(pieces));
  assertEquals(rig.drive.commands, [
    { code: 0xca, lba: 100, count: 15 },
    { code: 0xc8, lba: 100, count: 15 },
  ]);
  assertStrictEquals(rig.port.out, 0);
});

Deno.test("the largest request, in regions of 64 KiB and in as many as there may be", async () => {
  const rig = await Rig.up({ drives: [new FakeDrive({ sectors: 20000 })] });
  const data = pattern(8192 * 512, 4);
  const cut = (bytes: Uint8Array, size: number) =>
    Array.from({ length: bytes.length / size }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
  const transfer = (bytes: Uint8Array, { size, at, step }: { size: number; at: number; step: number }) => {
    const segments = cut(bytes, size);
    const addresses = segments.map((_, i) => at + i * step);
    assertStrictEquals(rig.do({ operation: WRITE, sector: 1000, segments, addresses }), undefined);
    assertEquals(rig.drive.read(1000, bytes.length / 512), bytes);
    const into = segments.map(() => new Uint8Array(size));
    assertStrictEquals(rig.do({ operation: READ, sector: 1000, segments: into, addresses }), undefined);
    assertEquals(concat(into), bytes);
  };
  transfer(data, { size: 0x10000, at: SEGMENTS, step: 0x10000 });
  assertEquals(rig.drive.commands.at(-1), { code: 0x25, lba: 1000, count: 8192 });
  transfer(data.subarray(0, 512 * 4096), { size: 4096, at: SEGMENTS + 0xf000, step: 0x10000 });
  // Up to the end of 32 bits of address.
  transfer(data.subarray(0, 512 * 4096), { size: 4096, at: 2 ** 32 - 512 * 4096, step: 4096 });
});

Deno.test("a segment beyond the limits ends the driver before the drive hears of it", async () => {
  for (
    const [segments, addresses] of [
      [[pattern(4096)], [SEGMENTS + 0xf004]],
      [[pattern(0x10000), pattern(0x10200)], [SEGMENTS, SEGMENTS + 0x10000]],
      [[pattern(513), pattern(511)], [SEGMENTS, SEGMENTS + 0x10000]],
      [[pattern(512), new Uint8Array(0)], [SEGMENTS, SEGMENTS + 0x10000]],
    ] as const
  ) {
    const rig = await Rig.up();
    rig.port.submit({ operation: WRITE, segments: [...segments], addresses: [...addresses] });
    assertThrows(() => rig.poll(), RangeError, "a segment is not within the limits that were given");
    assertEquals(rig.drive.commands, []);
  }
  const many = await Rig.up();
  many.port.submit({ operation: WRITE, segments: Array.from({ length: 513 }, () => pattern(512)) });
  assertThrows(() => many.poll(), RangeError, "a request of too many segments");
});

Deno.test("48 bits of address are used where 28 do not reach, and not elsewhere", async () => {
  const rig = await Rig.up({ drives: [new FakeDrive({ sectors: 2 ** 47 })] });
  const at = (sector: number, sectors: number) => {
    const segments = Array.from({ length: sectors }, (_, i) => pattern(512, i));
    assertStrictEquals(rig.do({ operation: WRITE, sector, segments }), undefined);
    assertEquals(rig.drive.read(sector, sectors), concat(segments));
    return rig.drive.commands.at(-1);
  };
  assertEquals(at(0x0ffffffd, 1), { code: 0xca, lba: 0x0ffffffd, count: 1 });
  assertEquals(at(0x0ffffffe, 1), { code: 0x35, lba: 0x0ffffffe, count: 1 });
  assertEquals(at(0x0ffffff0, 16), { code: 0x35, lba: 0x0ffffff0, count: 16 });
  assertEquals(at(0x0fffffff, 1), { code: 0x35, lba: 0x0fffffff, count: 1 });
  assertEquals(at(0x12345678, 1), { code: 0x35, lba: 0x12345678, count: 1 });
  assertEquals(at(0x6543_89abcdef, 3), { code: 0x35, lba: 0x6543_89abcdef, count: 3 });
  assertEquals(at(2 ** 47 - 1, 1), { code: 0x35, lba: 2 ** 47 - 1, count: 1 });
  assertEquals(at(7, 256), { code: 0xca, lba: 7, count: 256 });
  assertEquals(at(7, 257), { code: 0x35, lba: 7, count: 257 });
});

Deno.test("a disk without 48 bits is used to its last sector, and nothing beyond reaches it", async () => {
  const rig = await Rig.up({ drives: [new FakeDrive({ sectors: 0x0fffffff, lba48: false })] });
  assertStrictEquals(rig.do({ operation: WRITE, sector: 0x0ffffffe, segments: [pattern(512)] }), undefined);
  assertEquals(rig.drive.commands.at(-1), { code: 0xca, lba: 0x0ffffffe, count: 1 });
  for (const sector of [0x0fffffff, 0x10000005, 2 ** 32 + 5]) {
    assertStrictEquals(rig.do({ operation: WRITE, sector, segments: [pattern(512)] }), BLOCK_ERROR.IO);
  }
  assertStrictEquals(rig.drive.commands.length, 1);
  assertEquals([...rig.drive.content.keys()], [0x0ffffffe]);
});

Deno.test("flush and forced writes become the commands that the drive has", async () => {
  const flush = async (...drive: Parameters<typeof upWith>) => {
    const rig = await upWith(...drive);
    return [rig.do({ operation: FLUSH, sectors: 0 }), ...rig.drive.commands.map(({ code }) => code)];
  };
  assertEquals(await flush({}), [undefined, 0xea]);
  assertEquals(await flush({ lba48: false }), [undefined, 0xe7]);
  assertEquals(await flush({}, (words) => words[83] = 0x5400), [undefined, 0xe7]);
  assertEquals(await flush({}, (words) => words[83] = 0x4400), [BLOCK_ERROR.UNSUPPORTED]);

  const rig = await Rig.up({ drives: [new FakeDrive({ fua: true })] });
  assertStrictEquals(
    rig.do({ operation: WRITE, sector: 3, segments: [pattern(512)], force: true }),
    undefined,
  );
  assertEquals(rig.drive.commands, [{ code: 0x3d, lba: 3, count: 1 }]);
  assertEquals(rig.drive.read(3, 1), pattern(512));
  const without = await Rig.up();
  assertStrictEquals(
    without.do({ operation: WRITE, segments: [pattern(512)], force: true }),
    BLOCK_ERROR.UNSUPPORTED,
  );
  for (const operation of [DISCARD, ZEROES]) {
    assertStrictEquals(without.do({ operation, sectors: 8 }), BLOCK_ERROR.UNSUPPORTED);
  }
  assertEquals(without.drive.commands, []);
  assertStrictEquals(without.do({ operation: READ, segments: [new Uint8Array(512)] }), undefined);
});

Deno.test("one command at a time, in order; one call begins each, and ends the one before", async () => {
  const rig = await Rig.up();
  rig.piix.faults.later = true;
  const tokens = [0, 1, 2].map((i) =>
    rig.port.submit({ operation: WRITE, sector: i, segments: [pattern(512, i)] })
  );
  tokens.push(rig.port.submit({ operation: FLUSH, sectors: 0 }));
  const { runs } = rig.device.batch;
  runs.length = 0;
  rig.poll();
  assertEquals(runs, [10], "ports of a command of 28 bits");
  for (let i = 0; i < 4; i++) {
    assertStrictEquals(rig.drive.commands.length, i + 1);
    rig.poll();
    assertStrictEquals(rig.drive.commands.length, i + 1, "a poll without an interrupt changes nothing");
    rig.piix.finish(0);
    runs.length = 0;
    rig.interrupt(rig.piix.takeEdges());
    rig.poll();
    assertEquals(
      runs,
      [2, i < 2 ? 3 + 10 : i === 2 ? 3 + 3 : 3],
      "one look, and one call that ends and begins",
    );
    assertEquals(rig.port.done, tokens.slice(0, i + 1));
  }
  assertEquals(rig.piix.state(0), { active: false, interrupts: true, capable: 0x60, line: false });
});

Deno.test("a command of 48 bits takes one call too", async () => {
  const rig = await Rig.up({ drives: [new FakeDrive({ sectors: 2 ** 40 })] });
  rig.piix.faults.later = true;
  rig.device.batch.runs.length = 0;
  rig.port.submit({ operation: READ, sector: 2 ** 35, segments: [new Uint8Array(512)] });
  rig.poll();
  assertEquals(rig.device.batch.runs, [14]);
});

Deno.test("a request that is not all there yet waits for the rest", async () => {
  const rig = await Rig.up();
  const token = rig.port.submit({ operation: WRITE, segments: [pattern(512), pattern(512, 1)], hold: true });
  rig.port.show(1);
  rig.run();
  assertEquals(rig.drive.commands, []);
  rig.port.show();
  rig.run();
  assertStrictEquals(rig.ended(token), undefined);
});

Deno.test("thousands of requests go around the ring", async () => {
  const rig = await Rig.up({ rings: 64 });
  let x = 1;
  for (let i = 0; i < 3000; i++) {
    x = (x * 48271) % 0x7fffffff;
    const segments = Array.from({ length: 1 + x % 20 }, (_, j) => pattern(512 * (1 + j % 3), i + j));
    const sector = x % 4000;
    assertStrictEquals(rig.do({ operation: WRITE, sector, segments }), undefined);
    const back = segments.map(({ length }) => new Uint8Array(length));
    assertStrictEquals(rig.do({ operation: READ, sector, segments: back }), undefined);
    assertEquals(back, segments);
  }
});

Deno.test("a ring that is not what it must be ends the driver", async () => {
  const rig = await Rig.up();
  rig.port.submit({ operation: WRITE, sectors: 2, segments: [pattern(512)] });
  assertThrows(() => rig.poll(), RangeError, "the segments of a request do not come to its length");
  const high = await Rig.up();
  high.port.submit({ operation: WRITE, segments: [pattern(512)], addresses: [2 ** 32] });
  assertThrows(() => high.poll(), DeviceError, 'a request lies above 4 GiB; grant it "addressBits": 32');
});

// ---- errors ----

Deno.test("errors of the drive become the kernel's, with all that is known in the log", async () => {
  const failed = async (bits: number, operation: number, sector = 100) => {
    const rig = await Rig.up({ drives: [new FakeDrive({ sectors: 2 ** 40 })] });
    rig.drive.bad.set(sector + 3, bits);
    const error = rig.do({ operation, sector, segments: [new Uint8Array(4096)] });
    assertStrictEquals(rig.piix.state(0).active, false);
    assertStrictEquals(
      rig.do({ operation: READ, sector: sector + 4, segments: [new Uint8Array(512)] }),
      undefined,
    );
    assertStrictEquals(rig.clock.now() < 60, true, "it is not reset for that");
    return [error, rig.device.lines.at(-1)];
  };
  assertEquals(await failed(UNC, READ), [
    BLOCK_ERROR.MEDIUM,
    "READ DMA, 8 sectors from 100 failed: status 0x51 (DRDY ERR), error 0x40 (UNC) at sector 103, " +
    "bus master 0x65 (INTERRUPT ACTIVE)",
  ]);
  assertEquals(await failed(UNC, READ, 0x1234_5678_9a), [
    BLOCK_ERROR.MEDIUM,
    `READ DMA EXT, 8 sectors from ${0x1234_5678_9a} failed: status 0x51 (DRDY ERR), error 0x40 (UNC) ` +
    `at sector ${0x1234_5678_9d}, bus master 0x65 (INTERRUPT ACTIVE)`,
  ]);
  assertEquals((await failed(UNC, WRITE))[0], BLOCK_ERROR.PROTECTED);
  assertEquals((await failed(0x10, READ))[0], BLOCK_ERROR.MEDIUM);
  assertEquals((await failed(ABRT, WRITE))[0], BLOCK_ERROR.IO);
  assertEquals((await failed(NM | ABRT, READ))[0], BLOCK_ERROR.GONE);
});

Deno.test("a disk that fails again and again does not fill the log", async () => {
  const rig = await Rig.up();
  rig.drive.bad.set(0, UNC);
  for (let i = 0; i < 100; i++) {
    assertStrictEquals(rig.do({ operation: READ, segments: [new Uint8Array(512)] }), BLOCK_ERROR.MEDIUM);
  }
  assertStrictEquals(rig.device.lines.length, 2);
  await rig.wait(1000);
  assertEquals(rig.device.lines.slice(2), ["99 more commands failed"]);
  rig.do({ operation: READ, segments: [new Uint8Array(512)] });
  assertStrictEquals(rig.device.lines.length, 4);
});

Deno.test("what was read before the sector that is bad is not taken for all", async () => {
  const rig = await Rig.up();
  rig.drive.bad.set(1, UNC);
  const token = rig.port.submit({ operation: READ, segments: [new Uint8Array(1024)] });
  const next = rig.port.submit({ operation: READ, sector: 2, segments: [new Uint8Array(512)] });
  rig.run();
  assertEquals([rig.ended(token), rig.ended(next)], [BLOCK_ERROR.MEDIUM, undefined]);
});

Deno.test("a command is begun anew after errors on the cable, three times", async () => {
  const rig = await Rig.up();
  rig.piix.faults.cableErrors = 3;
  assertStrictEquals(rig.do({ operation: WRITE, sector: 5, segments: [pattern(512)] }), undefined);
  assertEquals(rig.drive.read(5, 1), pattern(512));
  assertStrictEquals(rig.drive.commands.length, 4);
  rig.piix.faults.cableErrors = 3;
  assertStrictEquals(rig.do({ operation: READ, segments: [new Uint8Array(512)] }), undefined);
  rig.piix.faults.cableErrors = 4;
  assertStrictEquals(rig.do({ operation: WRITE, sector: 5, segments: [pattern(512)] }), BLOCK_ERROR.IO);
  assert(rig.device.lines.at(-1)?.includes("error 0x84 (ICRC ABRT) at sector 5"), rig.device.lines.at(-1));
  assertStrictEquals(ICRC, 0x80);
});

Deno.test("a drive that fails by itself fails the request", async () => {
  const rig = await Rig.up();
  rig.piix.faults.deviceFault = true;
  assertStrictEquals(rig.do({ operation: READ, segments: [new Uint8Array(512)] }), BLOCK_ERROR.IO);
  assertStrictEquals(rig.do({ operation: FLUSH, sectors: 0 }), BLOCK_ERROR.IO);
});

Deno.test("a drive or a bus master that breaks the protocol is reset before the request fails", async () => {
  for (const fault of ["masterError", "keepsAsking", "noTransfer"] as const) {
    const rig = await Rig.up();
    rig.piix.faults[fault] = true;
    const token = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
    const next = rig.port.submit({ operation: WRITE, sector: 1, segments: [pattern(512)] });
    rig.run();
    assertStrictEquals(rig.port.out, 2, "its memory may still be written");
    assertEquals(rig.drive.commands.map(({ code }) => code), [0xc8]);
    rig.piix.faults[fault] = false;
    await rig.wait(100);
    rig.run();
    assertEquals([rig.ended(token), rig.ended(next)], [BLOCK_ERROR.IO, undefined]);
    assertEquals(rig.drive.commands.map(({ code }) => code), [0xc8, 0xec, 0xca]);
    assertEquals(rig.drive.read(1, 1), pattern(512));
  }
});

// ---- time ----

Deno.test("a command without an answer times out: the channel is reset, and the next request goes on", async () => {
  const rig = await Rig.up({ options: { commandSeconds: 2 } });
  rig.piix.faults.later = true;
  const token = rig.port.submit({ operation: READ, sector: 7, segments: [new Uint8Array(512)] });
  const next = rig.port.submit({ operation: FLUSH, sectors: 0 });
  rig.run();
  await rig.wait(1900);
  assertStrictEquals(rig.port.out, 2);
  rig.piix.faults.later = false;
  await rig.wait(1400);
  rig.run();
  assertEquals([rig.ended(token), rig.ended(next)], [BLOCK_ERROR.TIMEOUT, undefined]);
  assertEquals(rig.device.lines.slice(1), [
    "READ DMA, 1 sectors from 7: no answer within 2 s; the channel is reset",
  ]);
});

Deno.test("each command has all of the time", async () => {
  const rig = await Rig.up({ options: { commandSeconds: 2 } });
  rig.piix.faults.later = true;
  for (let i = 0; i < 3; i++) {
    const token = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
    rig.run();
    await rig.wait(1900);
    rig.piix.finish(0);
    rig.run();
    assertStrictEquals(rig.ended(token), undefined);
  }
});

Deno.test("an interrupt that is lost costs time, and nothing else", async () => {
  const rig = await Rig.up();
  const token = rig.port.submit({ operation: WRITE, sector: 7, segments: [pattern(512)] });
  rig.poll();
  rig.piix.takeEdges();
  await rig.wait(2100);
  assertStrictEquals(rig.ended(token), undefined);
  assertEquals(rig.device.lines.slice(1), ["WRITE DMA, 1 sectors from 7: the interrupt was lost"]);
});

Deno.test("a drive that stays busy through a reset ends the driver, with its memory still mapped", async () => {
  const rig = await Rig.up({ options: { commandSeconds: 1 } });
  rig.piix.faults.later = rig.piix.faults.resetNeverEnds = true;
  rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.run();
  await assertRejects(
    () => rig.wait(40_000),
    DeviceError,
    "Waited for the drive at channel 0, drive 0 to be ready after reset: gave up after 31000 ms",
  );
  assertStrictEquals(rig.port.out, 1);
});

Deno.test("a drive that is another one after a reset ends the driver", async () => {
  for (const word of [10, 100]) {
    const rig = await Rig.up();
    rig.piix.faults.keepsAsking = true;
    rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
    rig.run();
    rig.drive.identity[word] ^= 1;
    rig.drive.seal();
    await assertRejects(() => rig.wait(200), DeviceError, "it is another one since the reset");
  }
});

Deno.test("an idle driver has no timer", async () => {
  const rig = await Rig.up();
  assertStrictEquals(rig.clock.nextDueMs(), Infinity);
  rig.do({ operation: READ, segments: [new Uint8Array(512)] });
  await rig.wait(1500);
  rig.do({ operation: READ, segments: [new Uint8Array(512)] });
  assert(rig.clock.nextDueMs() <= 1000);
  await rig.wait(3000);
  assertStrictEquals(rig.clock.nextDueMs(), Infinity);
  assertStrictEquals(rig.do({ operation: READ, segments: [new Uint8Array(512)] }), undefined);
});

// ---- interrupts ----

Deno.test("interrupts from nowhere change nothing, with or without a command", async () => {
  const rig = await Rig.up();
  rig.piix.interruptFromNowhere(0);
  rig.piix.interruptFromNowhere(1);
  rig.run();
  rig.piix.faults.later = true;
  const token = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.run();
  rig.piix.interruptFromNowhere(0);
  rig.piix.interruptFromNowhere(1);
  rig.run();
  assertStrictEquals(rig.port.out, 1);
  rig.piix.finish(0);
  rig.piix.interruptFromNowhere(1);
  rig.run();
  assertStrictEquals(rig.ended(token), undefined);
});

Deno.test("an interrupt before the command is done does not end it, nor does the other channel's", async () => {
  const rig = await Rig.up();
  rig.piix.faults.later = true;
  const token = rig.port.submit({ operation: FLUSH, sectors: 0 });
  rig.run();
  rig.piix.interruptEarly(0);
  rig.run();
  assertStrictEquals(rig.port.out, 1);
  const looks = rig.device.batch.runs.length;
  rig.interrupt(2);
  assertStrictEquals(rig.device.batch.runs.length, looks);
  rig.piix.finish(0);
  rig.interrupt(1);
  rig.poll();
  assertStrictEquals(rig.ended(token), undefined);
});

Deno.test("an interrupt in the middle of a reset is left alone", async () => {
  const rig = await Rig.up({ options: { commandSeconds: 1 } });
  rig.piix.faults.later = true;
  const token = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.run();
  for (let i = 0; i < 4000 && rig.device.lines.length < 2; i++) await rig.clock.advance(1);
  await rig.clock.advance(1);
  rig.interrupt(1); // the model throws at a look at its status now
  rig.poll();
  rig.piix.faults.later = false;
  await rig.wait(200);
  assertStrictEquals(rig.ended(token), BLOCK_ERROR.TIMEOUT);
  assertStrictEquals(rig.do({ operation: READ, segments: [new Uint8Array(512)] }), undefined);
});

Deno.test("a device that is gone ends the driver", async () => {
  const rig = await Rig.up();
  rig.piix.faults.later = true;
  rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.run();
  rig.piix.faults.gone = true;
  assertThrows(
    () => rig.interrupt(1),
    DeviceError,
    "the device is gone, STATUS of bus master 0 reads all ones",
  );
});
