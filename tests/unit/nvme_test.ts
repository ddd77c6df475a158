/** The NVMe driver against a model of the controller and the kernel's side of its port. */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import nvme from "../../drivers/nvme/driver.ts";
import { useClock } from "../../src/driver/clock.ts";
import { BLOCK_ERROR, DeviceError, OPERATION } from "../../src/driver/mod.ts";
import { loadManifest } from "../../src/manifest/mod.ts";
import { FakeBlockPort, type FakeRequest } from "../fakes/block_port.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeDevice } from "../fakes/device.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakeNvme, type NvmeOptions } from "../fakes/nvme.ts";
import { pollUntilIdle } from "../fakes/port.ts";

const { READ, WRITE, FLUSH, DISCARD, ZEROES } = OPERATION;
const BUDGET = 64;
const PAGE = 4096;

interface Options extends NvmeOptions {
  options?: Record<string, unknown>;
  rings?: number;
  queues?: number;
  vectors?: number;
  dmaQuota?: number;
}

/** A controller, a port and a driver, run as the host runs them. */
class Rig {
  readonly clock = new FakeClock();
  readonly bus = new BusMemory();
  readonly disk: FakeNvme;
  port: FakeBlockPort;
  device: FakeDevice;
  readonly #options: Options;
  #state: Awaited<ReturnType<typeof nvme.bringUp>> | undefined;

  constructor(options: Options = {}) {
    useClock(this.clock);
    this.#options = options;
    this.disk = new FakeNvme(this.clock, this.bus, options);
    this.port = new FakeBlockPort(this.bus, options);
    this.device = new FakeDevice(this.disk, this.bus, options);
  }

  static async up(options: Options = {}): Promise<Rig> {
    const rig = new Rig(options);
    await rig.bringUp();
    return rig;
  }

  async bringUp(): Promise<void> {
    this.#state = await this.clock.settle(nvme.bringUp(this.device, this.port));
  }

  /** The driver has died: the kernel takes all back, and another is brought up. */
  async restart(): Promise<void> {
    this.disk.busMaster = false;
    this.port.takeBack();
    this.device = new FakeDevice(this.disk, this.bus, this.#options);
    await this.bringUp();
  }

  poll(budget = BUDGET): boolean {
    return nvme.poll(this.#state!, budget);
  }

  /** What the host does from one sleep to the next. */
  run(): void {
    if (this.disk.vectors !== 0) nvme.interrupt(this.#state!, this.disk.vectors);
    pollUntilIdle(this.port, () => this.poll());
  }

  /** Runs until the device has nothing more to say. */
  settle(): void {
    do this.run(); while (this.disk.vectors !== 0);
  }

  /** Submits a request and sees it done; gives its error, or undefined. */
  ask(request: FakeRequest): number | undefined {
    const token = this.port.submit(request);
    const before = this.port.done.length;
    this.settle();
    assertStrictEquals(this.port.out, 0);
    if (this.port.done.length > before) return undefined;
    return this.port.failed.find((one) => one.token === token)!.error;
  }
}

/** Bytes unlike those of another seed. */
function content(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + seed * 13 + (i >> 8) * 3) & 0xff);
}

// ---- bring-up ----

Deno.test("bring-up resets, identifies and attaches, whatever the last driver left", async () => {
  const rig = await Rig.up();
  assertEquals(rig.port.attached, {
    sectors: 4096,
    logicalBlock: 512,
    physicalBlock: 512,
    maxSectors: 1024,
    maxSegments: 127,
    maxSegment: 524288,
    alignment: 512,
    depth: 127,
    queues: 1,
    maxDiscard: 65536,
    features: { cache: true, fua: true, discard: true, zeroes: true, readOnly: false },
    model: "A model of a disk",
    serial: "SN-0042",
  });
  assertEquals(rig.device.lines, []);
  assertStrictEquals(rig.disk.busMaster, true);
  assertEquals(rig.disk.queues, [{ id: 1, entries: 128, vector: 0 }]);
  assert(rig.clock.now() < 50, `${rig.clock.now()} ms`);
});

Deno.test("the bus is mastered only once the controller is disabled", async () => {
  const rig = new Rig();
  let enabled: number | undefined;
  Object.defineProperty(rig.disk, "busMaster", {
    get: () => enabled !== undefined,
    set: () => enabled = rig.disk.load(0x1c) & 1,
  });
  await rig.bringUp();
  assertStrictEquals(enabled, 0);
});

Deno.test("what the disk is decides what requests may be", async () => {
  const of = async (options: Options) => (await Rig.up(options)).port.attached!;
  const large = await of({ blockBytes: 4096, mdts: 0, rings: 64, oncs: 0x04, cache: false, granularity: 1 });
  assertEquals(
    [large.sectors, large.logicalBlock, large.physicalBlock, large.alignment, large.maxSectors],
    [32768, 4096, 8192, 4096, 1024],
  );
  assertEquals([large.maxSegments, large.maxDiscard], [63, 524288]);
  assertEquals(large.features, { cache: false, fua: false, discard: true, zeroes: false, readOnly: false });
  assertStrictEquals((await of({ granularity: 4095 })).physicalBlock, 512, "more than the port takes");
  const small = await of({ mdts: 1, mqes: 31, oncs: 0, writeProtected: true, granularity: 2 });
  assertEquals([small.maxSectors, small.maxSegment, small.physicalBlock], [16, 8192, 512]);
  assertEquals([small.depth, small.maxSegments, small.maxDiscard], [31, 31, undefined]);
  assertEquals(small.features, { cache: true, fua: true, discard: false, zeroes: false, readOnly: true });
});

Deno.test("there are as many queues as the port, the grant and the controller have", async () => {
  const of = async (options: Options) => {
    const rig = await Rig.up({ dmaQuota: 1 << 22, ...options });
    assertStrictEquals(rig.port.attached!.queues, rig.disk.queues.length);
    return rig.disk.queues.map(({ vector }) => vector);
  };
  assertEquals(await of({ queues: 4, vectors: 4 }), [0, 1, 2, 3]);
  assertEquals(await of({ queues: 4, vectors: 2 }), [0, 1]);
  assertEquals(await of({ queues: 2, vectors: 8 }), [0, 1]);
  assertEquals(await of({ queues: 4, vectors: 4, pairs: 3 }), [0, 1, 2]);
});

Deno.test("entries is an option, bounded by the controller's own", async () => {
  assertEquals((await Rig.up({ options: { entries: 16 } })).disk.queues[0].entries, 16);
  assertEquals(
    (await Rig.up({ options: { entries: 1024 }, mqes: 99, dmaQuota: 1 << 21 })).disk.queues[0].entries,
    64,
  );
  for (const entries of [8, 100, 2048, "128"]) {
    const rig = new Rig({ options: { entries } });
    await assertRejects(
      () => rig.bringUp(),
      DeviceError,
      `option entries is ${JSON.stringify(entries)}, not a power of two from 16 to 1024`,
    );
    assertStrictEquals(rig.device.registers, undefined);
  }
});

/** Brings up a controller with a fault; gives the message of the error. */
async function failure(prepare: (rig: Rig) => void, options: Options = {}): Promise<string> {
  const rig = new Rig(options);
  prepare(rig);
  const error = await assertRejects(() => rig.bringUp(), DeviceError);
  assertStrictEquals(rig.port.attached, undefined);
  return error.message;
}

Deno.test("each fault of bring-up ends with its own message", async () => {
  const device = "Cannot use 0000:00:10.0";
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.resetNeverEnds = true),
    "Waited for CSTS.RDY to clear after reset: gave up after 2000 ms",
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.neverReady = true),
    "Waited for CSTS.RDY of a controller that was enabled: gave up after 2000 ms",
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.fatalWhenEnabled = true),
    `${device}: the controller has failed, CSTS.CFS is set`,
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.gone = true),
    `${device}: the device is gone, CSTS reads all ones`,
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.neverAnswers = true),
    "Waited for IDENTIFY of the controller: gave up after 5000 ms",
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.idOffset = 5),
    "Cannot use the controller: IDENTIFY of the controller: it completed command 6, not 1",
  );
  assertStrictEquals(
    await failure(({ disk }) => disk.faults.adminStatus = { 0x05: 0x108 }),
    "Cannot use the controller: CREATE I/O COMPLETION QUEUE 1 failed with status 1/08h",
  );
  assertStrictEquals(await failure(() => {}, { namespace: 0 }), `${device}: it has no active namespace`);
  assertStrictEquals(
    await failure(() => {}, { mpsmin: 1 }),
    `${device}: it has not the NVM command set, or no pages of 4 KiB`,
  );
  const disk = "Cannot use namespace 7 of 0000:00:10.0";
  assertStrictEquals(
    await failure(() => {}, { namespace: 7, metadata: 8 }),
    `${disk}: it is formatted with metadata or protection`,
  );
  assertStrictEquals(
    await failure(() => {}, { namespace: 7, protection: 1 }),
    `${disk}: it is formatted with metadata or protection`,
  );
  assertStrictEquals(
    await failure(() => {}, { namespace: 7, blockBytes: 8192, blocks: 1 }),
    `${disk}: its blocks have 2^13 bytes, not 512 to 4096`,
  );
  assertStrictEquals(await failure(() => {}, { namespace: 7, blocks: 0 }), `${disk}: it has 0 blocks`);
  assertStrictEquals(
    await failure(() => {}, { dmaQuota: 6000 }),
    "Cannot allocate 8192 bytes: 624 are left",
  );
});

Deno.test("a controller that failed under the last driver is reset as any other", async () => {
  const rig = new Rig();
  rig.disk.faults.fatal = true;
  const store = rig.disk.store.bind(rig.disk);
  rig.disk.store = (offset, value) => {
    if (offset === 0x14 && (value & 1) === 0) rig.disk.faults.fatal = false;
    store(offset, value);
  };
  await rig.bringUp();
  assert(rig.port.attached);
});

Deno.test("doorbells are where the controller has them", async () => {
  const rig = await Rig.up({ dstrd: 3, queues: 2, vectors: 2 });
  assertStrictEquals(rig.ask({ operation: READ, segments: [new Uint8Array(512)], queue: 1 }), undefined);
});

// ---- reads and writes ----

Deno.test("what is written is read back, at every size and in every place of a page", async () => {
  const rig = await Rig.up({ namespace: 9 });
  let seed = 0;
  for (const length of [512, 3584, 4096, 4608, 8192, 8704, 12288, 65536, 524288]) {
    for (const offset of [0, 512, 3584]) {
      const written = content(length, ++seed);
      const base = 0x1_0000_0000 * (seed + 1) - PAGE * 2; // pages on both sides of a multiple of 4 GiB
      const sector = seed * 17;
      const at = [base + offset];
      assertStrictEquals(
        rig.ask({ operation: WRITE, sector, segments: [written], addresses: at }),
        undefined,
      );
      assertEquals(rig.disk.disk.subarray(sector * 512, sector * 512 + length), written);
      const read = new Uint8Array(length);
      assertStrictEquals(rig.ask({ operation: READ, sector, segments: [read], addresses: at }), undefined);
      assertEquals(read, written);
    }
  }
  assertStrictEquals(rig.disk.commands.length, 2 * seed, "one command each");
  assert(rig.disk.commands.every(({ fua }) => !fua));
});

Deno.test("segments that meet at pages are one command, others one more for each gap", async () => {
  const rig = await Rig.up();
  const cases: { sizes: number[]; addresses: number[]; commands: [block: number, blocks: number][] }[] = [
    { sizes: [4096, 4096, 4096], addresses: [0x10000, 0x30000, 0x20000], commands: [[8, 24]] },
    { sizes: [1024, 8192, 512], addresses: [0x10c00, 0x30000, 0x20000], commands: [[8, 19]] },
    { sizes: [512, 4096], addresses: [0x10000, 0x20000], commands: [[8, 1], [9, 8]] },
    { sizes: [4096, 512, 512], addresses: [0x10000, 0x20200, 0x30e00], commands: [[8, 8], [16, 1], [17, 1]] },
    { sizes: [4608, 3584, 4096], addresses: [0x10000, 0x20200, 0x30000], commands: [[8, 9], [17, 15]] },
  ];
  for (const [i, { sizes, addresses, commands }] of cases.entries()) {
    const segments = sizes.map((size, j) => content(size, i * 10 + j));
    assertStrictEquals(rig.ask({ operation: WRITE, sector: 8, segments, addresses }), undefined);
    assertEquals(rig.disk.commands.splice(0).map(({ block, blocks }) => [block, blocks]), commands);
    const read = sizes.map((size) => new Uint8Array(size));
    assertStrictEquals(rig.ask({ operation: READ, sector: 8, segments: read, addresses }), undefined);
    assertEquals(read, segments);
    rig.disk.commands.splice(0);
  }
});

Deno.test("a request of several commands is completed once, when all are done, and fails if one does", async () => {
  const rig = await Rig.up();
  rig.disk.faults.completesLater = true;
  const submit = () =>
    rig.port.submit({
      operation: READ,
      segments: [0, 1, 2].map(() => new Uint8Array(512)),
      addresses: [0x10000, 0x20000, 0x30000],
    });
  const first = submit();
  rig.run();
  rig.disk.finish({ count: 1 }); // the slot that holds what is known of the request
  rig.run();
  const between = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.run();
  rig.disk.finish({ reversed: true });
  assertEquals(rig.port.done, []);
  rig.run();
  assertEquals(rig.port.done.sort(), [first, between].sort());
  const second = submit();
  rig.run();
  rig.disk.finish({ count: 1 });
  rig.disk.faults.status = 0x281;
  rig.disk.finish({ count: 1 });
  rig.disk.faults.status = 0x020; // the first error is the request's
  rig.disk.finish();
  rig.run();
  assertEquals(rig.port.failed, [{ token: second, error: BLOCK_ERROR.MEDIUM }]);
  assertEquals(rig.device.lines, ["A command failed with status 2/81h"]);
});

Deno.test("a format of 4 KiB counts in its own blocks, beyond 32 bits too", async () => {
  const rig = await Rig.up({ blockBytes: 4096, blocks: 512 });
  const written = content(8192, 3);
  assertStrictEquals(rig.ask({ operation: WRITE, sector: 24, segments: [written] }), undefined);
  assertEquals(rig.disk.disk.subarray(3 * 4096, 5 * 4096), written);
  assertStrictEquals(rig.ask({ operation: ZEROES, sector: 24, sectors: 8 }), undefined);
  assertEquals(rig.disk.disk.subarray(3 * 4096, 4 * 4096), new Uint8Array(4096));
  assertStrictEquals(rig.ask({ operation: DISCARD, sector: 8, sectors: 16 }), undefined);
  assertEquals(rig.disk.disk.subarray(4096, 3 * 4096), new Uint8Array(8192).fill(0xff));
  const far = 2 ** 34 + 40;
  assertStrictEquals(
    rig.ask({ operation: READ, sector: far, segments: [new Uint8Array(4096)] }),
    BLOCK_ERROR.IO,
  );
  assertStrictEquals(rig.disk.commands.at(-1)!.block, far / 8);
});

Deno.test("blocks of 512 bytes beyond 32 bits, and a gap where the low half carries", async () => {
  const rig = await Rig.up();
  const segments = [new Uint8Array(512), new Uint8Array(512)];
  rig.ask({ operation: READ, sector: 2 ** 33 - 1, segments, addresses: [0x10000, 0x20000] });
  assertEquals(rig.disk.commands.map(({ block }) => block), [2 ** 33 - 1, 2 ** 33]);
});

// ---- the other operations ----

Deno.test("a flush takes what was written to the medium; a forced write is there at once", async () => {
  const rig = await Rig.up();
  const one = content(512, 1), two = content(512, 2);
  rig.ask({ operation: WRITE, sector: 0, segments: [one] });
  assertEquals(rig.disk.medium.subarray(0, 512), new Uint8Array(512));
  assertStrictEquals(rig.ask({ operation: FLUSH, sectors: 0 }), undefined);
  assertEquals(rig.disk.medium.subarray(0, 512), one);
  rig.ask({ operation: WRITE, sector: 1, segments: [two], force: true });
  assertEquals(rig.disk.medium.subarray(512, 1024), two);
  assertEquals(rig.disk.commands.map(({ fua }) => fua), [false, false, true]);
  // Every command of a request that needs several.
  const segments = [content(512, 3), content(512, 4)];
  rig.ask({ operation: WRITE, sector: 2, segments, addresses: [0x10000, 0x20000], force: true });
  assertEquals(rig.disk.medium.subarray(1024, 1536), segments[0]);
  assertEquals(rig.disk.medium.subarray(1536, 2048), segments[1]);
});

Deno.test("zeroes and discards name their blocks and carry no data", async () => {
  const rig = await Rig.up();
  rig.disk.disk.fill(1);
  assertStrictEquals(rig.ask({ operation: ZEROES, sector: 100, sectors: 3000 }), undefined);
  assertStrictEquals(rig.disk.disk.indexOf(0), 100 * 512);
  assertStrictEquals(rig.disk.disk.lastIndexOf(0), 3100 * 512 - 1);
  assertStrictEquals(rig.ask({ operation: DISCARD, sector: 4000, sectors: 96 }), undefined);
  assertStrictEquals(rig.disk.disk.indexOf(0xff), 4000 * 512);
  assertStrictEquals(rig.ask({ operation: DISCARD, sector: 4095, sectors: 2 }), BLOCK_ERROR.IO);
});

Deno.test("what no command does is refused, and does not hold up what comes after it", async () => {
  const rig = await Rig.up();
  assertStrictEquals(rig.ask({ operation: 0x00500000, sectors: 8 }), BLOCK_ERROR.UNSUPPORTED);
  rig.port.failed.length = 0;
  const none = rig.port.submit({ operation: 0x00500000, sectors: 8 });
  const empty = rig.port.submit({ operation: READ, sectors: 8 });
  const good = rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  rig.settle();
  assertEquals(rig.port.failed, [none, empty].map((token) => ({ token, error: BLOCK_ERROR.UNSUPPORTED })));
  assertEquals(rig.port.done, [good]);
});

Deno.test("each status is the kernel's error for it", async () => {
  const rig = await Rig.up();
  const cases: [number, number][] = [
    [0x001, BLOCK_ERROR.UNSUPPORTED],
    [0x002, BLOCK_ERROR.UNSUPPORTED],
    [0x004, BLOCK_ERROR.IO],
    [0x006, BLOCK_ERROR.IO],
    [0x007, BLOCK_ERROR.TIMEOUT],
    [0x00b, BLOCK_ERROR.GONE],
    [0x020, BLOCK_ERROR.PROTECTED],
    [0x080, BLOCK_ERROR.IO],
    [0x182, BLOCK_ERROR.PROTECTED],
    [0x280, BLOCK_ERROR.MEDIUM],
    [0x281, BLOCK_ERROR.MEDIUM],
    [0x287, BLOCK_ERROR.MEDIUM],
    [0x300, BLOCK_ERROR.IO],
    [0x7ff, BLOCK_ERROR.IO],
  ];
  for (const [status, error] of cases) {
    rig.disk.faults.status = status;
    assertStrictEquals(rig.ask({ operation: READ, segments: [new Uint8Array(512)] }), error);
  }
  assertEquals(rig.device.lines, ["A command failed with status 0/01h"]);
  await rig.clock.advance(500);
  assertEquals(rig.device.lines[1], `${cases.length - 1} more commands failed`);
});

// ---- rings ----

Deno.test("queues wrap around, in any order of completion, and every request gets its own data", async () => {
  const rig = await Rig.up({ options: { entries: 16 }, rings: 64 });
  rig.disk.faults.completesLater = true;
  const { disk } = rig.disk;
  disk.set(content(disk.length, 5));
  const reads = new Map<number, { sector: number; segments: Uint8Array[] }>();
  let random = 1;
  const next = (n: number) => (random = Math.imul(random, 48271) >>> 1) % n;
  let total = 0;
  while (total < 1000) {
    while (rig.port.room() >= 4 && next(5) > 0) {
      const sector = next(4000);
      const segments = Array.from({ length: 1 + next(3) }, () => new Uint8Array(512 * (1 + next(20))));
      reads.set(rig.port.submit({ operation: READ, sector, segments }), { sector, segments });
      total++;
    }
    rig.run();
    rig.disk.finish({ count: next(8), reversed: next(2) === 0 });
    rig.run();
  }
  for (let i = 0; rig.port.out > 0; i++) {
    assert(i < 100, "requests are left");
    rig.disk.finish();
    rig.settle();
  }
  assertStrictEquals(rig.port.done.length, total);
  for (const { sector, segments } of reads.values()) {
    let at = sector * 512;
    for (const segment of segments) {
      assertEquals(segment, disk.subarray(at, at + segment.length));
      at += segment.length;
    }
  }
});

Deno.test("a batch rings each doorbell once", async () => {
  const rig = await Rig.up();
  rig.disk.faults.completesLater = true;
  for (let i = 0; i < 20; i++) {
    rig.port.submit({ operation: READ, sector: i, segments: [new Uint8Array(512)] });
  }
  rig.run();
  assertEquals([rig.disk.tailStores, rig.disk.headStores, rig.disk.commands.length], [1, 0, 20]);
  rig.disk.finish();
  rig.run();
  assertEquals([rig.disk.tailStores, rig.disk.headStores, rig.port.done.length], [1, 1, 20]);
  rig.run();
  assertEquals([rig.disk.tailStores, rig.disk.headStores], [1, 1]);
});

Deno.test("what there is no room for waits for completions, and a budget ends a poll with more to do", async () => {
  const rig = await Rig.up({ options: { entries: 16 } });
  rig.disk.faults.completesLater = true;
  for (let i = 0; i < 40; i++) {
    rig.port.submit({ operation: READ, sector: i, segments: [new Uint8Array(512)] });
  }
  assertStrictEquals(rig.poll(4), true);
  assertStrictEquals(rig.disk.commands.length, 4);
  rig.run();
  assertStrictEquals(rig.disk.commands.length, 15, "one entry of the queue stays free");
  assert(rig.port.idle);
  rig.disk.finish({ count: 3 });
  rig.run();
  assertStrictEquals(rig.disk.commands.length, 18);
  for (let i = 0; i < 3; i++) {
    rig.disk.finish();
    rig.run();
  }
  assertStrictEquals(rig.port.done.length, 40);
});

Deno.test("a request is begun only when the kernel has submitted all of it", async () => {
  const rig = await Rig.up();
  const segments = [new Uint8Array(4096), new Uint8Array(4096)];
  rig.port.submit({ operation: READ, segments, hold: true });
  for (const except of [2, 1]) {
    rig.port.show(except);
    rig.run();
    assertStrictEquals(rig.disk.commands.length, 0);
  }
  rig.port.show();
  rig.settle();
  assertStrictEquals(rig.port.done.length, 1);
});

Deno.test("two queues are served side by side, each with its own completions", async () => {
  const rig = await Rig.up({ queues: 2, vectors: 2 });
  rig.disk.faults.completesLater = true;
  const read = [0, 1, 0, 1].map((queue, i) =>
    rig.port.submit({ operation: READ, sector: i, segments: [new Uint8Array(512)], queue })
  );
  rig.run();
  assertEquals(rig.disk.commands.map(({ queue }) => queue), [1, 1, 2, 2]);
  rig.disk.finish({ count: 2 });
  assertStrictEquals(rig.disk.vectors, 1);
  rig.run();
  assertEquals(rig.port.done, [read[0], read[2]]);
  rig.disk.finish();
  assertStrictEquals(rig.disk.vectors, 2);
  rig.run();
  assertEquals(rig.port.done, [read[0], read[2], read[1], read[3]]);
});

// ---- a controller that breaks ----

Deno.test("a completion of a command that is not under way ends the driver", async () => {
  for (const fault of [{ idOffset: 1 }, { idOffset: 1024 }, { idOffset: 0x3ff }, { twice: true }]) {
    const rig = await Rig.up();
    Object.assign(rig.disk.faults, fault);
    rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
    assertThrows(() => rig.settle(), DeviceError, "which is not under way");
  }
});

Deno.test("an old completion is not taken for that of a later command in its slot", async () => {
  const rig = await Rig.up();
  rig.ask({ operation: READ, segments: [new Uint8Array(512)] });
  rig.disk.faults.idOffset = -1024;
  rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
  assertThrows(() => rig.settle(), DeviceError, "which is not under way");
});

Deno.test("a controller that fails or goes while it has work is found out; an idle one is left alone", async () => {
  for (
    const [fault, message] of [
      [{ fatal: true }, "the controller has failed, CSTS.CFS is set"],
      [{ gone: true }, "the device is gone, CSTS reads all ones"],
    ] as const
  ) {
    const rig = await Rig.up();
    rig.ask({ operation: READ, segments: [new Uint8Array(512)] });
    await rig.clock.advance(2000);
    assertStrictEquals(rig.clock.nextDueMs(), Infinity, "nothing wakes a driver that has nothing to do");
    rig.disk.faults.completesLater = true;
    for (let i = 0; i < 3; i++) {
      rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
      rig.run();
    }
    await rig.clock.advance(5000);
    rig.disk.finish();
    rig.run();
    await rig.clock.advance(5000);
    assertStrictEquals(rig.clock.nextDueMs(), Infinity, "one look at a time");
    rig.port.submit({ operation: READ, segments: [new Uint8Array(512)] });
    rig.run();
    Object.assign(rig.disk.faults, fault);
    await assertRejects(() => rig.clock.advance(500), DeviceError, message);
  }
});

Deno.test("the next driver resets a controller in the middle of its work, and goes on", async () => {
  const rig = await Rig.up({ queues: 2, vectors: 2 });
  rig.disk.faults.completesLater = true;
  const lost = [0, 1].map(() => new Uint8Array(4096));
  for (const [queue, segment] of lost.entries()) {
    rig.port.submit({ operation: READ, segments: [segment], queue });
  }
  rig.run();
  rig.disk.disk.fill(7);
  await rig.restart();
  rig.disk.finish();
  rig.settle();
  assertEquals(rig.port.done, []);
  rig.disk.faults.completesLater = false;
  const read = new Uint8Array(4096);
  assertStrictEquals(rig.ask({ operation: READ, segments: [read], queue: 1 }), undefined);
  assertEquals(read, new Uint8Array(4096).fill(7));
  assertEquals(lost, [new Uint8Array(4096), new Uint8Array(4096)]);
});

Deno.test("the shipped manifest grants what the driver needs, and no more queues than memory", async () => {
  const { grant } = await loadManifest(new URL("../../manifests/nvme.json", import.meta.url).pathname);
  const port = {
    kind: "block",
    queues: 2,
    ring: 1024,
    name: "r3b%d",
    onDeath: "reissue",
    hold: 60_000,
    request: 30_000,
  } as const;
  assertEquals(grant.port, port);
  const rig = await Rig.up({
    queues: port.queues,
    vectors: grant.interrupts.count,
    rings: port.ring,
    dmaQuota: grant.dma,
  });
  assertStrictEquals(rig.port.attached!.queues, 2);
});
