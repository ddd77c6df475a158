/** Requests in a ring, the granted block port, and drivers of its class. */
import { assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import {
  BLOCK_ERROR,
  type BlockAttach,
  type BlockDriver,
  completeBlock,
  defineDriver,
  failBlock,
  isForced,
  type NetDriver,
  OPERATION,
  operationOf,
  requestEntries,
  sectorsOf,
  takeRequest,
} from "../../src/driver/mod.ts";
import { LoopClock } from "../../src/driver/clock.ts";
import { runDriver } from "../../src/host/run.ts";
import { ERRNO, Grant, type GrantCalls, uapi, WAIT_WORD } from "../../src/kernel/mod.ts";
import { FakeBlockPort } from "../fakes/block_port.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakeChannel } from "../fakes/port.ts";

const { READ, WRITE, FLUSH } = OPERATION;

Deno.test("the word of a context says operation, sectors and force", () => {
  const word = (0x40000000 | WRITE | 0x01000000 | 0xfffff) >>> 0;
  assertEquals([operationOf(word), sectorsOf(word), isForced(word)], [WRITE, 0xfffff, true]);
  assertEquals([operationOf(0xc0200000), sectorsOf(0xc0200000), isForced(0xc0200000)], [FLUSH, 0, false]);
});

Deno.test("a request is found when all of it is there, taken whole, and completed or failed", () => {
  const port = new FakeBlockPort(new BusMemory(), { rings: 64 });
  const [channel] = port.queues;
  assertStrictEquals(requestEntries(channel, channel.available()), 0);
  // More than once around the ring.
  for (let i = 0; i < 40; i++) {
    const read = port.submit({
      operation: READ,
      segments: [new Uint8Array(512), new Uint8Array(1024)],
      hold: true,
    });
    const flush = port.submit({ operation: FLUSH, sectors: 0, hold: true });
    port.show(2);
    assertStrictEquals(requestEntries(channel, channel.available()), 0);
    port.show();
    assertStrictEquals(requestEntries(channel, channel.available()), 3);
    takeRequest(channel, 3);
    assertStrictEquals(requestEntries(channel, channel.available()), 1);
    takeRequest(channel, 1);
    completeBlock(channel, flush, 0);
    failBlock(channel, read, BLOCK_ERROR.MEDIUM);
    channel.publish();
    port.reap();
    assertEquals([port.done.at(-1), port.failed.at(-1)], [flush, { token: read, error: 1 }]);
  }
  assertStrictEquals(port.out, 0);
});

Deno.test("a ring that is not what it must be is not read on", () => {
  for (const flags of [[0x80000000], [0x40000000, 0xc0000000]]) {
    const fake = new FakeChannel(64);
    for (const lengthFlags of flags) fake.submit({ low: 0, high: 0, lengthFlags, token: 1 });
    fake.show();
    assertThrows(() => requestEntries(fake.channel, fake.channel.available()), RangeError, "its context");
  }
});

const ATTACH: BlockAttach = {
  sectors: 2 ** 40 + 8,
  logicalBlock: 512,
  physicalBlock: 4096,
  maxSectors: 1024,
  maxSegments: 63,
  maxSegment: 65536,
  boundary: 65536,
  alignment: 4,
  depth: 31,
  queues: 2,
  maxDiscard: 4096,
  features: { cache: true, discard: true, rotational: true },
  model: "  A model\tof forty characters, which fills it ",
  serial: " SN ",
};

/** A grant of a port of this kind, and what was asked of it; its WAIT ends the run. */
function grantOf(kind: number, kinds: number[]) {
  const calls: { number: number; bytes: Uint8Array }[] = [];
  const channel = (index: number) => ({
    kind: kinds[index] ?? 0,
    size: index < kinds.length ? 64 : 0,
    control: index * 256,
    submissions: 4096 + index * 2048,
    completions: 4096 + index * 2048 + 1024,
    buffer_size: 0,
  });
  const info = uapi.INFO.encode({
    argsz: uapi.INFO.size,
    address: "0000:00:10.0",
    irqs: 1,
    port_kind: kind,
    channels: kinds.length,
    port_mmap_length: 16384n,
    channel: Array.from({ length: 16 }, (_, index) => channel(index)),
  });
  const library = {
    r3_call: (_fd: number, number: number, args: AllowSharedBufferSource | null) => {
      const bytes = args as Uint8Array<ArrayBuffer>;
      if (number === uapi.CALL.WAIT) return -ERRNO.EKEYREVOKED;
      if (number === uapi.CALL.INFO) bytes.set(info);
      else calls.push({ number, bytes: bytes.slice() });
      return 0;
    },
    r3_map: () => 0,
    r3_now: () => 0,
    r3_pio: () => 0,
  };
  return { grant: new Grant(library as GrantCalls, -1), calls };
}

async function run(grant: Grant, driver: BlockDriver<unknown> | NetDriver<unknown>): Promise<string> {
  const nothing = () => {};
  const error = await assertRejects(() =>
    runDriver(grant, {
      start: { options: {}, dma: 0 },
      driver,
      clock: new LoopClock(),
      seal: nothing,
      log: nothing,
      onReady: nothing,
      onSignal: nothing,
    })
  );
  return (error as Error).message;
}

const block = (verbs: Partial<BlockDriver<unknown>> = {}): BlockDriver<unknown> =>
  defineDriver<unknown>({
    class: "block",
    bringUp: () => Promise.resolve(undefined),
    interrupt: () => {},
    poll: () => false,
    ...verbs,
  } as BlockDriver<unknown>);

Deno.test("a block driver gets a channel for each queue, and what it attaches with reaches the kernel", async () => {
  const { grant, calls } = grantOf(uapi.PORT_KIND.block, [3, 3]);
  const driver = block({
    bringUp(device, port) {
      assertEquals(port.queues.map(({ size }) => size), [64, 64]);
      assertStrictEquals(device.vectors, 1);
      port.queues[1].publish();
      port.attach(ATTACH);
      return Promise.resolve(undefined);
    },
  });
  assertEquals(await run(grant, driver), "Cannot wait for the device: the grant has been taken back");
  assertStrictEquals(grant.waitWords[WAIT_WORD.KICK], 2, "each queue has its own bit");
  assertEquals(calls.map(({ number }) => number), [uapi.CALL.PORT_ATTACH]);
  const { kind, block: told } = uapi.PORT_ATTACH_BLOCK.decode(calls[0].bytes);
  const { model, serial, ...numbers } = told;
  assertEquals([kind, numbers], [uapi.PORT_KIND.block, {
    sectors: BigInt(ATTACH.sectors),
    boundary: 65536n,
    logical_block: 512,
    physical_block: 4096,
    max_sectors: 1024,
    max_segments: 63,
    max_segment: 65536,
    alignment: 4,
    depth: 31,
    queues: 2,
    max_discard: 4096,
    features: 1 | 4 | 32,
  }]);
  assertEquals(new TextDecoder().decode(model), "A model?of forty characters, which fills");
  assertEquals(new TextDecoder().decode(serial), "SN".padEnd(24, "\0"));
});

Deno.test("a driver and a port of different classes are told apart", async () => {
  const net = defineDriver<unknown>({
    class: "net",
    bringUp: () => Promise.resolve(undefined),
    configure: () => {},
    interrupt: () => {},
    poll: () => false,
  });
  const wrong = async (kind: number, kinds: number[], driver: BlockDriver<unknown> | NetDriver<unknown>) =>
    await run(grantOf(kind, kinds).grant, driver);
  assertEquals(
    await wrong(uapi.PORT_KIND.net, [1, 2], block()),
    "Cannot run a block driver on 0000:00:10.0: the manifest grants a net port",
  );
  assertEquals(
    await wrong(uapi.PORT_KIND.block, [3], net),
    "Cannot run a net driver on 0000:00:10.0: the manifest grants a block port",
  );
  assertEquals(
    await wrong(uapi.PORT_KIND.none, [], block()),
    "Cannot run a block driver on 0000:00:10.0: the manifest grants no port",
  );
});

Deno.test("a driver of class block needs three verbs, and no class is made up", () => {
  assertThrows(
    () => block({ poll: undefined }),
    TypeError,
    "Cannot define the driver: a block driver needs poll",
  );
  assertThrows(
    () => defineDriver({ ...block(), class: "tape" } as unknown as BlockDriver<unknown>),
    TypeError,
    "class tape is none of block, net",
  );
});
