/** The raw port, with the real e1000 driver on a model of the card at one end and a program at the other. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import macswap from "../../bench/forward/macswap.ts";
import e1000 from "../../drivers/e1000/driver.ts";
import { useClock } from "../../src/driver/clock.ts";
import { defineProgram, DeviceError, LAST, type Program } from "../../src/driver/mod.ts";
import type { TrafficMessage } from "../../src/host/messages.ts";
import { RawPort } from "../../src/host/raw_port.ts";
import { rawMemory } from "../../src/net/raw.ts";
import { Fake8254x } from "../fakes/8254x.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeDevice } from "../fakes/device.ts";
import { BusMemory } from "../fakes/dma.ts";
import { assertNothingGrew, growth, MemoryDevice, plainRegisters } from "../fakes/plain_memory.ts";

const BUDGET = 64;
/** What the driver takes for its rings, bytes. */
const DRIVERS_OWN = 8192;

/** A card, a raw port and a driver, run as the host runs them. */
class Rig {
  readonly clock = new FakeClock();
  readonly bus = new BusMemory();
  readonly card = new Fake8254x(this.clock, this.bus);
  readonly told: TrafficMessage[] = [];
  readonly port: RawPort;
  readonly #device: FakeDevice;
  #state: Awaited<ReturnType<typeof e1000.bringUp>> | undefined;

  private constructor(program: Program, ring: number) {
    useClock(this.clock);
    this.#device = new FakeDevice(this.card, this.bus, { dmaQuota: rawMemory(ring) + DRIVERS_OWN });
    this.port = new RawPort(this.#device, { ring, program, onTraffic: (traffic) => this.told.push(traffic) });
  }

  static async up(
    { program = macswap, ring = 256 }: { program?: Program; ring?: number } = {},
  ): Promise<Rig> {
    const rig = new Rig(program, ring);
    rig.#state = await rig.clock.settle(e1000.bringUp(rig.#device, rig.port));
    await rig.clock.settle(e1000.configure(rig.#state, rig.port.config()) ?? undefined);
    rig.run();
    return rig;
  }

  /** What the host does from one sleep to the next; how many rounds it took. */
  run(): number {
    if (this.card.interrupting) e1000.interrupt(this.#state!, 1);
    for (let rounds = 1;; rounds++) {
      if (!this.port.poll((budget) => e1000.poll(this.#state!, budget), BUDGET)) return rounds;
      if (rounds === 100) throw new Error("poll never has enough");
    }
  }
}

/** A frame of `length` bytes, unlike all others of the first 65,536. */
function frame(length: number, serial: number): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + serial * 13) & 0xff);
  bytes.set([
    0x02,
    0x11,
    0x22,
    0x33,
    serial >> 8,
    serial & 0xff,
    0x02,
    0x99,
    0x88,
    0x77,
    serial & 0xff,
    serial >> 8,
  ]);
  return bytes;
}

function swapped(frame: Uint8Array): Uint8Array {
  const bytes = frame.slice();
  bytes.set(frame.subarray(6, 12), 0);
  bytes.set(frame.subarray(0, 6), 6);
  return bytes;
}

Deno.test("frames come back swapped, in order, none lost and none twice, in bursts up to full rings", async () => {
  const rig = await Rig.up();
  let sent = 0;
  for (let round = 0; round < 120; round++) {
    // All the buffers that the card has: at first, and after it has used some, as they are given back in batches.
    const burst = round === 0 ? 255 : round % 10 === 0 ? 224 : 1 + (round * 37) % 100;
    const frames = Array.from({ length: burst }, (_, i) => frame(14 + (sent + i) * 31 % 1501, sent + i));
    for (const one of frames) assert(rig.card.receive(one), "the card has a buffer");
    rig.run();
    // The card pads short frames, so what was sent begins with what was asked for.
    const wire = rig.card.wire.splice(0);
    assertEquals(wire.length, burst);
    for (const [i, one] of frames.entries()) assertEquals(wire[i].subarray(0, one.length), swapped(one));
    sent += burst;
  }
  assert(sent > 5000);
});

Deno.test("a card that sends late loses nothing: frames wait, and then go on in order", async () => {
  const rig = await Rig.up({ ring: 64 });
  rig.card.faults.sendsLater = true;
  const came: Uint8Array[] = [];
  for (let serial = 0; serial < 600; serial++) {
    const one = frame(60 + serial % 900, serial);
    if (rig.card.receive(one)) came.push(swapped(one));
    if (serial % 40 === 39) rig.run();
  }
  assert(came.length < 600, "with nothing sent the card must run out of buffers");
  assert(came.length >= 128, "before that each buffer holds a frame");
  rig.card.faults.sendsLater = false;
  rig.card.transmit(Infinity);
  for (let i = 0; i < 10; i++) rig.run();
  assertEquals(rig.card.wire, came);
  for (let serial = 600; serial < 660; serial++) {
    assert(rig.card.receive(frame(64, serial)), "all are free again");
  }
  rig.run();
  assertEquals(rig.card.wire.length, came.length + 60);
});

Deno.test("a program drops frames, and sends others shorter or longer than they came", async () => {
  const lengths: number[] = [];
  const rig = await Rig.up({
    program: defineProgram({
      frame(bytes, at, length) {
        lengths.push(length);
        if (bytes[at + 5] % 3 === 0) return 0;
        if (bytes[at + 5] % 3 === 1) return 100;
        bytes.fill(0xee, at + length, at + 1500);
        return 1500;
      },
    }),
  });
  // More than there are buffers, all in all: those of dropped frames are used again.
  for (let serial = 0; serial < 900; serial++) {
    assert(rig.card.receive(frame(200, serial)));
    if (serial % 50 === 49) rig.run();
  }
  assertEquals(lengths, Array(900).fill(200));
  assertEquals(
    rig.card.wire.map(({ length }) => length),
    Array.from({ length: 900 }, (_, serial) => (serial & 0xff) % 3).filter((kind) => kind > 0).map((kind) =>
      kind === 1 ? 100 : 1500
    ),
  );
  assertEquals(rig.card.wire[1].subarray(200), new Uint8Array(1300).fill(0xee));
});

Deno.test("a program that drops everything lets the card go on", async () => {
  const rig = await Rig.up({ ring: 64, program: defineProgram({ frame: () => 0 }) });
  for (let serial = 0; serial < 2000; serial++) {
    assert(rig.card.receive(frame(64, serial)));
    if (serial % 30 === 29) rig.run();
  }
  assertEquals(rig.card.wire, []);
});

Deno.test("frames that the card found wrong, or that fill several buffers, reach no program", async () => {
  let calls = 0;
  const rig = await Rig.up({ program: defineProgram({ frame: (_, __, length) => (calls++, length) }) });
  rig.card.receive(frame(100, 1), { errors: 1 });
  rig.card.receive(frame(100, 2));
  rig.run();
  assertEquals([calls, rig.card.wire.length], [1, 1]);
  const pieces = new RawPort(new FakeDevice(rig.card, rig.bus, { dmaQuota: rawMemory(64) }), {
    ring: 64,
    program: defineProgram({ frame: (_, __, length) => (calls++, length) }),
    onTraffic: () => {},
  });
  // Three buffers of one frame, and one of another.
  const flags = [2048, 2048, LAST | 10, LAST | 60];
  pieces.poll(() => {
    pieces.tx.available();
    for (; pieces.rx.available() > 0 && flags.length > 0;) {
      pieces.rx.complete(pieces.rx.submissions[pieces.rx.take() + 3], flags.shift()!);
    }
    pieces.rx.publish();
    return false;
  }, BUDGET);
  assertEquals(calls, 2);
});

Deno.test("an idle port has nothing to do and sets no timer; a busy one tells what it carried, and once more", async () => {
  const rig = await Rig.up();
  assertEquals(rig.told.map(({ link }) => link), [{ up: true, speed: 1000 }]);
  await rig.clock.advance(5000);
  assertEquals([rig.clock.nextDueMs(), rig.run(), rig.told.length], [Infinity, 1, 1]);
  for (let serial = 0; serial < 10; serial++) rig.card.receive(frame(100, serial));
  rig.run();
  assert(rig.clock.nextDueMs() <= 1000);
  await rig.clock.advance(60_000);
  assertEquals(rig.clock.nextDueMs(), Infinity);
  assertEquals(rig.told.at(-1), {
    type: "traffic",
    link: { up: true, speed: 1000 },
    counters: { rxPackets: 10, rxBytes: 1000, rxDropped: 0, txPackets: 10, txBytes: 1000, txDropped: 0 },
  });
  assertEquals(rig.told.length, 3);
  rig.card.link = false;
  rig.run();
  assertEquals(rig.told.length, 4, "a change of the link is told at once");
  assertEquals(rig.told[3].link, { up: false, speed: 0 });
});

Deno.test("what a program returns is checked", async () => {
  for (const wrong of [13, 2049, -1, 60.5, NaN, undefined as unknown as number, "60" as unknown as number]) {
    const rig = await Rig.up({ program: defineProgram({ frame: () => wrong }) });
    rig.card.receive(frame(100, 1));
    assertThrows(
      () => rig.run(),
      RangeError,
      `Cannot send ${wrong} bytes: a program returns 0, or 14 to 2048`,
    );
  }
  assertThrows(
    () => defineProgram({} as Program),
    TypeError,
    "Cannot define the program: it needs frame",
  );
});

Deno.test("a buffer that the driver completes twice, or does not have, ends it", async () => {
  const rig = await Rig.up({ ring: 64 });
  const complete = (token: number) => {
    rig.port.rx.complete(token, LAST | 60);
    rig.port.rx.publish();
    rig.run();
  };
  // The last of the 128 buffers is the first that it gets.
  complete(127);
  for (const token of [127, 0, 128, 2 ** 31]) {
    assertThrows(
      () => complete(token),
      DeviceError,
      `Cannot take back buffer ${token | 0}: the driver completed`,
    );
  }
});

Deno.test("memory that the manifest does not grant is missed when the port is made", async () => {
  const { bus, card } = await Rig.up({ ring: 64 });
  const device = new FakeDevice(card, bus, { dmaQuota: rawMemory(64) - 1 });
  const make = () => new RawPort(device, { ring: 64, program: macswap, onTraffic: () => {} });
  await assertRejects(() => Promise.try(make), DeviceError, "Cannot allocate 131072 bytes");
});

Deno.test("forwarding allocates nothing", async () => {
  const RING = 256;
  const clock = new FakeClock();
  useClock(clock);
  const bus = new BusMemory();
  const device = new MemoryDevice({
    model: new Fake8254x(clock, bus),
    bus,
    bind: plainRegisters(0x20000),
    dmaQuota: rawMemory(RING) + DRIVERS_OWN,
  });
  const told: TrafficMessage[] = [];
  const port = new RawPort(device, {
    ring: RING,
    program: macswap,
    onTraffic: (traffic) => told.push(traffic),
  });
  const state = await clock.settle(e1000.bringUp(device, port));
  await clock.settle(e1000.configure(state, port.config()) ?? undefined);
  device.release();
  const [rxWords, txWords] = device.memories.slice(-2).map(({ words }) => words);
  const drive = (budget: number) => e1000.poll(state, budget);
  port.poll(drive, BUDGET);
  let received = 0;
  /** The card receives 40 frames, has sent all it was given, and interrupts. */
  const step = () => {
    for (let i = 0; i < 40; i++) {
      const at = (received++ & (RING - 1)) << 2;
      rxWords[at + 2] = 64;
      rxWords[at + 3] = 0x07;
    }
    for (let at = 3; at < txWords.length; at += 4) txWords[at] |= 1;
    e1000.interrupt(state, 1);
    port.poll(drive, BUDGET);
  };
  for (let i = 0; i < 20_000; i++) step();
  assertNothingGrew(growth(step), { step });
  await clock.advance(1000);
  const { rxPackets, txPackets, txBytes } = told.at(-1)!.counters;
  assertEquals(rxPackets, received, "every poll received");
  assert(txPackets >= received - 40, "every poll took back what was sent before");
  assertEquals(txBytes, txPackets * 64);
});
