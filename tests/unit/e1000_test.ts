/** The e1000 driver against a model of the card and the kernel's side of its port. */

import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import e1000 from "../../drivers/e1000/driver.ts";
import { concat } from "../../src/bytes.ts";
import { useClock } from "../../src/driver/clock.ts";
import { CSUM, DeviceError, type NetConfig, TSO } from "../../src/driver/mod.ts";
import { Fake8254x, internetSum } from "../fakes/8254x.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeDevice } from "../fakes/device.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakePort, pollUntilIdle } from "../fakes/port.ts";

const MAC = Uint8Array.of(0x52, 0x54, 0x00, 0x12, 0x34, 0x56);
const UP: NetConfig = {
  up: true,
  promiscuous: false,
  allMulticast: false,
  mac: MAC,
  multicast: [],
  mtu: 1500,
  features: { txChecksum: true, tso4: true, rxChecksum: true },
};
const BUDGET = 64;
const RCTL = 0x100, TCTL = 0x400, TDH = 0x3810, TDT = 0x3818;

interface Options {
  options?: Record<string, unknown>;
  rings?: number;
  rxBufferSize?: number;
  dmaQuota?: number;
}

/** A card, a port and a driver, run as the host runs them. */
class Rig {
  readonly clock = new FakeClock();
  readonly bus = new BusMemory();
  readonly card = new Fake8254x(this.clock, this.bus);
  readonly port: FakePort;
  readonly device: FakeDevice;
  #state: Awaited<ReturnType<typeof e1000.bringUp>> | undefined;

  constructor(options: Options = {}) {
    useClock(this.clock);
    this.port = new FakePort(this.bus, options);
    this.device = new FakeDevice(this.card, this.bus, options);
  }

  static async up(options: Options & { config?: Partial<NetConfig> } = {}): Promise<Rig> {
    const rig = new Rig(options);
    await rig.bringUp();
    await rig.configure({ ...UP, ...options.config });
    rig.port.fill();
    rig.run();
    return rig;
  }

  async bringUp(): Promise<void> {
    this.#state = await this.clock.settle(e1000.bringUp(this.device, this.port));
  }

  async configure(config: Partial<NetConfig>): Promise<void> {
    await this.clock.settle(e1000.configure(this.#state!, { ...UP, ...config }) ?? undefined);
    this.port.reap();
  }

  interrupt(): void {
    e1000.interrupt(this.#state!, 1);
  }

  poll(budget = BUDGET): boolean {
    return e1000.poll(this.#state!, budget);
  }

  /** What the host does from one sleep to the next. */
  run(): void {
    if (this.card.interrupting) this.interrupt();
    pollUntilIdle(this.port, () => this.poll());
  }
}

/** An Ethernet frame of `length` bytes to `to`, each unlike the others. */
function frame(length: number, options: { to?: Uint8Array; seed?: number } = {}): Uint8Array {
  const bytes = Uint8Array.from({ length }, (_, i) => (i * 7 + (options.seed ?? 0) * 13 + (i >> 8)) & 0xff);
  bytes.set(options.to ?? MAC);
  bytes.set([0x52, 0x54, 0, 0, 0, 1, 0x08, 0x00], 6);
  return bytes;
}

// ---- bring-up ----

Deno.test("bring-up resets, reads the address, attaches and reports the link", async () => {
  const rig = new Rig();
  await rig.bringUp();
  assertEquals(rig.port.attached, {
    mac: MAC,
    maxMtu: 9000,
    features: { txChecksum: true, tso4: true, rxChecksum: true },
    maxSegments: 18,
  });
  assertEquals(rig.port.reports, [
    {
      link: true,
      speed: 1000,
      fullDuplex: true,
      rxMissed: 0,
      rxCrcErrors: 0,
      rxLengthErrors: 0,
      collisions: 0,
    },
  ]);
  assertEquals(rig.device.lines, []);
  assertStrictEquals(rig.card.busMaster, true);
  assertStrictEquals(rig.card.peek(RCTL) & 2, 0, "nothing is received before the interface is up");
  assertStrictEquals(rig.card.negotiations, 0, "a link that stands is kept");
  assertStrictEquals(rig.clock.now() < 10, true);
});

Deno.test("the bus is mastered only after reset, with the rings in place", async () => {
  const rig = new Rig();
  let tails: number[] | undefined;
  Object.defineProperty(rig.card, "busMaster", {
    get: () => tails !== undefined,
    set: () => tails = [0x2810, 0x2818, 0x3810, 0x3818, RCTL].map((offset) => rig.card.peek(offset)),
  });
  await rig.bringUp();
  assertEquals(tails, [0, 0, 0, 0, 0]);
});

Deno.test("ITR follows interruptsPerSecond", async () => {
  for (const [rate, itr] of [[undefined, 488], [4000, 977], [0, 0], [60, 65104]]) {
    const rig = new Rig({ options: { interruptsPerSecond: rate } });
    await rig.bringUp();
    assertStrictEquals(rig.card.throttle, itr);
  }
});

Deno.test("options that make no sense are refused before the device is touched", async () => {
  for (
    const [options, message] of [
      [{ rings: 100 }, "option rings is 100, not a power of two from 64 to 4096"],
      [{ rings: 32 }, "option rings is 32, not a power of two from 64 to 4096"],
      [{ rings: "256" }, 'option rings is "256", not a power of two from 64 to 4096'],
      [
        { interruptsPerSecond: 59 },
        "option interruptsPerSecond is 59, not 0, for no limit, or from 60 to 1000000",
      ],
    ] as const
  ) {
    const rig = new Rig({ options });
    await assertRejects(() => rig.bringUp(), DeviceError, `Cannot use 0000:00:10.0: ${message}`);
    assertStrictEquals(rig.device.registers, undefined);
  }
});

/** Brings up a card with a fault; gives the message of the error. */
async function failure(prepare: (rig: Rig) => void, options: Options = {}): Promise<string> {
  const rig = new Rig(options);
  prepare(rig);
  const error = await assertRejects(() => rig.bringUp(), DeviceError);
  assertStrictEquals(rig.port.attached, undefined);
  assertStrictEquals(rig.card.busMaster, false, "a device that does not come up must not master the bus");
  return error.message;
}

Deno.test("each fault of bring-up ends with its own message", async () => {
  assertStrictEquals(
    await failure(({ card }) => card.faults.resetNeverEnds = true),
    "Waited for CTRL.RST to clear after reset: gave up after 20 ms",
  );
  assertStrictEquals(
    await failure(({ card }) => card.faults.gone = true),
    "Cannot use 0000:00:10.0: the device is gone, STATUS reads all ones",
  );
  assertStrictEquals(
    await failure(({ card }) => card.sealEeprom(0x1234)),
    "Cannot use 0000:00:10.0: its EEPROM adds up to 0x1234, not 0xbaba",
  );
  assertStrictEquals(
    await failure(({ card }) => card.faults.phyNeverReady = true),
    "Waited for MDIC.R of PHY register 1: gave up after 20 ms",
  );
  assertStrictEquals(
    await failure(({ card }) => card.faults.phyError = true),
    "Cannot use the PHY: MDIC.E is set for register 1",
  );
  assertStrictEquals(
    await failure(() => {}, { rxBufferSize: 128 }),
    "Cannot use 0000:00:10.0: receive buffers of 128 bytes, not 256 or more",
  );
  assertStrictEquals(
    await failure(() => {}, { dmaQuota: 6000 }),
    "Cannot allocate 4096 bytes: 1904 are left",
  );
});

Deno.test("an EEPROM that does not answer leaves the address that the card loaded", async () => {
  const rig = new Rig();
  rig.card.faults.eepromNeverDone = true;
  await rig.bringUp();
  assertEquals(rig.port.attached!.mac, MAC);
  assertEquals(rig.device.lines, [
    "Waited for EERD.DONE of EEPROM word 0: gave up after 20 ms; taking the address from RAL and RAH",
  ]);
});

Deno.test("no address anywhere is an error", async () => {
  const message = await failure(({ card }) => {
    card.faults.eepromNeverDone = true;
    card.eeprom.fill(0, 0, 3);
  });
  assertStrictEquals(message, "Cannot use 0000:00:10.0: neither its EEPROM nor RAL and RAH hold an address");
});

Deno.test("a card that a reset does not clear comes up clean", async () => {
  const rig = new Rig();
  rig.card.faults.resetKeepsState = true;
  rig.card.store(RCTL, 0x8002 | 1 << 26 | 3 << 16 | 1 << 25);
  await rig.bringUp();
  await rig.configure(UP);
  assertStrictEquals(
    rig.card.rctlStores,
    1,
    "RCTL held what was wanted: a store to it costs a second of silence",
  );
  assertEquals([0x5208, 0x540c].map((offset) => rig.card.peek(offset)), [0, 0], "the filters are cleared");
  rig.port.fill();
  rig.run();
  assert(rig.card.receive(frame(100)));
  rig.run();
  assertStrictEquals(rig.port.received.length, 1);
});

// ---- link and statistics ----

Deno.test("without a link negotiation starts, and the link is reported when it comes", async () => {
  const rig = new Rig();
  rig.card.link = false;
  await rig.bringUp();
  assertStrictEquals(rig.card.negotiations, 1);
  assertEquals(rig.port.reports.map(({ link, speed }) => [link, speed]), [[false, 0]]);
  await rig.configure(UP);
  rig.card.link = true;
  rig.run();
  rig.card.link = false;
  rig.run();
  assertEquals(rig.port.reports.slice(1).map(({ link, speed }) => [link, speed]), [[true, 1000], [false, 0]]);
});

Deno.test("a link that was lost and came back before bring-up is kept", async () => {
  const rig = new Rig();
  rig.card.link = false;
  rig.card.link = true;
  await rig.bringUp();
  assertStrictEquals(rig.card.negotiations, 0);
});

Deno.test("counters are totals, whether or not reading clears them", async () => {
  for (const statisticsKeep of [false, true]) {
    const rig = new Rig();
    rig.card.faults.statisticsKeep = statisticsKeep;
    rig.card.faults.resetKeepsState = statisticsKeep;
    rig.card.count(0x4010, 1000); // from before
    await rig.bringUp();
    const totals: (number | undefined)[][] = [];
    for (
      const [offset, n] of [[0x4010, 3], [0x4000, 2], [0x4040, 5], [0x40a4, 1], [0x40ac, 1], [0x4028, 4], [
        0,
        0,
      ]]
    ) {
      if (n > 0) rig.card.count(offset, n);
      rig.interrupt();
      await rig.clock.advance(1000);
      const { rxMissed, rxCrcErrors, rxLengthErrors, collisions } = rig.port.reports.at(-1)!;
      totals.push([rxMissed, rxCrcErrors, rxLengthErrors, collisions]);
    }
    assertEquals(totals, [
      [3, 0, 0, 0],
      [3, 2, 0, 0],
      [3, 2, 5, 0],
      [3, 2, 6, 0],
      [3, 2, 7, 0],
      [3, 2, 7, 4],
      [3, 2, 7, 4],
    ], statisticsKeep ? "kept" : "cleared");
    assertStrictEquals(rig.port.reports.length, 8);
  }
});

Deno.test("reports come every second while there are interrupts, and an idle driver sets no timer", async () => {
  const rig = await Rig.up();
  await rig.clock.advance(10_000);
  assertStrictEquals(rig.clock.nextDueMs(), Infinity, "nothing is due before the first interrupt");
  const before = rig.port.reports.length;
  for (let second = 0; second < 3; second++) {
    for (let i = 0; i < 5; i++) rig.interrupt();
    await rig.clock.advance(1000);
  }
  assertStrictEquals(rig.port.reports.length - before, 3);
  await rig.clock.advance(60_000);
  assertStrictEquals(rig.port.reports.length - before, 4, "one more, for what came after the last");
  assertStrictEquals(rig.clock.nextDueMs(), Infinity);
  rig.interrupt();
  await rig.clock.advance(1000);
  assertStrictEquals(rig.port.reports.length - before, 5, "and on with the next interrupt");
});

Deno.test("a device that goes away is noticed at the next interrupt, and at the next report", async () => {
  const rig = await Rig.up();
  rig.interrupt();
  rig.card.faults.gone = true;
  const gone = "Cannot use 0000:00:10.0: the device is gone,";
  assertThrows(() => rig.interrupt(), DeviceError, `${gone} ICR reads all ones`);
  await assertRejects(() => rig.clock.advance(1000), DeviceError, `${gone} STATUS reads all ones`);
});

Deno.test("a card that has gone on and does not say so is noticed at the second report", async () => {
  for (const direction of ["receive", "send"] as const) {
    const rig = await Rig.up();
    const carry = () => {
      if (direction === "receive") rig.card.receive(frame(60));
      else rig.port.send([frame(60)]);
      rig.run();
      rig.interrupt();
    };
    carry();
    await rig.clock.advance(1000);
    rig.card.faults.neverFilled = rig.card.faults.neverReports = true;
    carry();
    await rig.clock.advance(1000);
    rig.interrupt();
    await assertRejects(() => rig.clock.advance(1000), DeviceError, `Cannot ${direction}: the card `);
  }
});

Deno.test("a card that does not know of what it was given is noticed at the second report", async () => {
  for (const direction of ["receive", "send"] as const) {
    const rig = await Rig.up();
    rig.card.faults.losesTails = true;
    if (direction === "receive") {
      while (rig.card.receive(frame(60))) {
        rig.run();
        rig.port.fill();
      }
    } else rig.port.send([frame(60)]);
    rig.run();
    rig.interrupt();
    await rig.clock.advance(1000);
    rig.interrupt();
    await assertRejects(() => rig.clock.advance(1000), DeviceError, `Cannot ${direction}: the card `);
  }
});

Deno.test("a card that says that frames are sent, and sends none, is noticed at the second report", async () => {
  const rig = await Rig.up();
  const send = () => {
    rig.port.send([frame(60)]);
    rig.run();
    rig.interrupt();
  };
  for (let second = 0; second < 3; second++) {
    send();
    await rig.clock.advance(1000);
  }
  rig.card.faults.sendsNothing = true;
  send();
  await rig.clock.advance(1000);
  send();
  await assertRejects(
    () => rig.clock.advance(1000),
    DeviceError,
    "Cannot send: frames are done, and the card counts none",
  );
});

Deno.test("a ring that moves between reports does not stand still, however often it comes by the same slot", async () => {
  const rig = await Rig.up();
  for (let second = 0; second < 5; second++) {
    for (let i = 0; i < 254; i++) {
      rig.card.receive(frame(60));
      rig.port.send([frame(60)]);
      rig.run();
      rig.port.fill();
      rig.run();
    }
    // One more each way, which nobody has looked at by the time of the report.
    rig.card.faults.sendsLater = true;
    rig.card.receive(frame(60));
    rig.port.send([frame(60)]);
    rig.poll();
    rig.card.receive(frame(60));
    rig.interrupt();
    await rig.clock.advance(1000);
    rig.card.faults.sendsLater = false;
    rig.card.transmit(1);
    rig.run();
  }
});

// ---- receive ----

Deno.test("frames are received as they came, thousands of them, around the ring", async () => {
  const rig = await Rig.up();
  let expected = 0;
  for (let round = 0; round < 300; round++) {
    const burst = 1 + round % 50;
    const frames = Array.from(
      { length: burst },
      (_, i) => frame(60 + (round * 31 + i) % 1455, { seed: expected + i }),
    );
    for (const one of frames) assert(rig.card.receive(one), `round ${round}`);
    assert(rig.card.interrupting);
    rig.run();
    assertEquals(rig.port.received.splice(0).map(({ data }) => data), frames);
    expected += burst;
    rig.port.fill();
    rig.run();
  }
  assertStrictEquals(rig.port.buffersOut, 256);
});

Deno.test("the card is given all buffers but one, and loses what finds none", async () => {
  const rig = await Rig.up();
  for (let i = 0; i < 255; i++) assert(rig.card.receive(frame(60, { seed: i })), `frame ${i}`);
  assertStrictEquals(rig.card.receive(frame(60)), false);
  rig.run();
  assertStrictEquals(rig.port.received.length, 255);
  rig.port.fill();
  rig.run();
  assert(rig.card.receive(frame(60)));
  rig.run();
  await rig.clock.advance(1000);
  assertStrictEquals(rig.port.reports.at(-1)!.rxMissed, 1);
});

Deno.test("a kernel short of buffers gets every one of them used", async () => {
  const rig = new Rig();
  await rig.bringUp();
  await rig.configure(UP);
  for (let i = 0; i < 600; i++) {
    rig.port.supply(1);
    rig.run();
    assert(rig.card.receive(frame(60, { seed: i })));
    rig.run();
  }
  assertEquals([rig.port.received.length, rig.port.buffersOut], [600, 0]);
});

Deno.test("receive keeps to its budget and says that there is more", async () => {
  const rig = await Rig.up();
  for (let i = 0; i < 25; i++) rig.card.receive(frame(60, { seed: i }));
  for (const [more, total] of [[true, 10], [true, 20], [false, 25]]) {
    assertStrictEquals(rig.poll(10), more);
    rig.port.reap();
    assertStrictEquals(rig.port.received.length, total);
  }
});

Deno.test("a batch costs one store to each tail and one load of ICR", async () => {
  const rig = await Rig.up();
  for (let i = 0; i < 60; i++) rig.card.receive(frame(60));
  rig.run();
  rig.port.fill();
  for (let i = 0; i < 20; i++) rig.port.send([frame(60)]);
  const { registers } = rig.device;
  const before = { loads: registers!.loads, stores: registers!.stores };
  rig.card.receive(frame(60));
  rig.run();
  assertEquals(
    [registers!.loads - before.loads, registers!.stores - before.stores],
    [1, 2],
  );
  assertStrictEquals(rig.card.wire.length, 20);
});

Deno.test("jumbo frames arrive in several buffers", async () => {
  for (const rxBufferSize of [4096, 4095, 2048, 256]) {
    const rig = await Rig.up({ rxBufferSize, config: { mtu: 9000 } });
    const frames = [9014, 4096, 4097, 60, 8192, 2048].map((length, seed) => frame(length, { seed }));
    for (const one of frames) {
      assert(rig.card.receive(one), `${one.length} bytes in ${rxBufferSize}`);
      rig.run();
      rig.port.fill();
    }
    assertEquals(rig.port.received.map(({ data }) => data), frames);
  }
});

Deno.test("a frame may be seen in parts", async () => {
  const rig = await Rig.up({ config: { mtu: 9000 } });
  const whole = frame(9000);
  assert(rig.card.receive(whole));
  assertStrictEquals(rig.poll(1), true);
  rig.port.reap();
  assertEquals(rig.port.received.map(({ data }) => data), [whole]);
});

Deno.test("frames over the MTU are dropped", async () => {
  const rig = await Rig.up();
  assertStrictEquals(
    rig.card.receive(frame(1519)),
    false,
    "the card itself drops what is over 1522 with CRC",
  );
  assert(rig.card.receive(frame(1518)), "a full frame with a VLAN tag");
  await rig.configure({ mtu: 1600 });
  assert(rig.card.receive(frame(1618)));
  assert(rig.card.receive(frame(1619)));
  assert(rig.card.receive(frame(5000)));
  assert(rig.card.receive(frame(60)));
  rig.run();
  assertEquals(rig.port.received.map(({ data }) => data.length), [1518, 1618, 60]);
  assertStrictEquals(rig.port.dropped, 2);
  await rig.configure({ mtu: 1000 });
  assert(rig.card.receive(frame(1019)));
  rig.run();
  assertStrictEquals(rig.port.dropped, 3);
});

Deno.test("frames that the card marks bad are dropped", async () => {
  const rig = await Rig.up();
  for (const errors of [0x01, 0x02, 0x04, 0x10, 0x80]) rig.card.receive(frame(60), { errors });
  rig.card.receive(frame(60), { errors: 0x40 }); // an IPv4 header checksum: the kernel's to judge
  rig.run();
  assertEquals([rig.port.dropped, rig.port.received.length], [5, 1]);
});

Deno.test("a checksum counts as verified only when the card looked and found it right", async () => {
  const rig = await Rig.up();
  for (const verified of [true, false, undefined]) rig.card.receive(frame(60), { verified });
  await rig.configure({ features: {} });
  rig.card.receive(frame(60), { verified: true });
  rig.run();
  assertEquals(rig.port.received.map(({ verified }) => verified), [true, false, false, false]);
});

Deno.test("lengths that cannot be are the end of the device", async () => {
  const rig = await Rig.up();
  rig.card.faults.lengthClaimed = 4097;
  rig.card.receive(frame(60));
  assertThrows(
    () => rig.poll(),
    DeviceError,
    "Cannot receive: the device claims 4097 bytes in a buffer of 4096, 4097 in a frame",
  );
});

Deno.test("a frame that never ends is the end of the device", async () => {
  const rig = await Rig.up({ config: { mtu: 9000 } });
  rig.card.faults.neverEnds = true;
  const receive = () => {
    for (let i = 0; i < 5; i++) {
      assert(rig.card.receive(frame(4096)));
      rig.poll();
    }
  };
  assertThrows(receive, DeviceError, "4096 bytes in a buffer of 4096, 20480 in a frame");
});

// ---- filters ----

Deno.test("filters follow the configuration", async () => {
  const rig = await Rig.up();
  const group = Uint8Array.of(0x01, 0x00, 0x5e, 0x01, 0x02, 0x03);
  const other = Uint8Array.of(0x33, 0x33, 0x00, 0x00, 0x00, 0x01);
  const stranger = Uint8Array.of(0x52, 0x54, 0, 0, 0, 9);
  const mine = Uint8Array.of(0x02, 0xaa, 0xbb, 0xcc, 0xdd, 0xfe);
  const broadcast = new Uint8Array(6).fill(0xff);
  const all = { MAC, mine, broadcast, group, other, stranger };
  const accepted = () =>
    Object.entries(all).filter(([, to]) => rig.card.receive(frame(60, { to }))).map(([name]) => name).join(
      " ",
    );

  assertStrictEquals(accepted(), "MAC broadcast");
  const stores = rig.card.rctlStores;
  await rig.configure({ multicast: [group] });
  assertStrictEquals(accepted(), "MAC broadcast group");
  await rig.configure({ multicast: [group, other] });
  assertStrictEquals(accepted(), "MAC broadcast group other");
  await rig.configure({ multicast: [other], mac: mine });
  assertStrictEquals(accepted(), "mine broadcast other");
  assertStrictEquals(rig.card.rctlStores, stores, "groups and addresses do not touch RCTL");
  await rig.configure({ allMulticast: true });
  assertStrictEquals(accepted(), "MAC broadcast group other");
  await rig.configure({ promiscuous: true });
  assertStrictEquals(accepted(), "MAC mine broadcast group other stranger");
  await rig.configure({});
  assertStrictEquals(accepted(), "MAC broadcast");
});

// ---- transmit ----

Deno.test("frames are sent as they are, thousands of them, around the ring", async () => {
  const rig = await Rig.up();
  const tokens: number[] = [];
  for (let round = 0; round < 300; round++) {
    const frames = Array.from(
      { length: 1 + round % 40 },
      (_, i) => frame(60 + (round * 17 + i) % 1455, { seed: round + i }),
    );
    for (const [i, one] of frames.entries()) {
      const cut = Math.min(i * 20 + 14, one.length);
      const pieces = [one.subarray(0, cut), one.subarray(cut)].filter((piece) => piece.length > 0);
      tokens.push(rig.port.send(pieces));
    }
    rig.run();
    assertEquals(rig.card.wire.splice(0), frames);
  }
  assertEquals(rig.port.sent, tokens);
  assertEquals([rig.port.framesOut, rig.port.refused.length], [0, 0]);
});

Deno.test("a frame alone is completed in the poll that sends it, without an interrupt", async () => {
  const rig = await Rig.up();
  const token = rig.port.send([frame(60)]);
  assertStrictEquals(rig.poll(), false);
  rig.port.reap();
  assertEquals(rig.port.sent, [token]);
  assertStrictEquals(rig.card.interrupting, false);
});

Deno.test("what the card sends later is completed at its interrupt, none before it is sent", async () => {
  const rig = await Rig.up();
  rig.card.faults.sendsLater = true;
  const tokens = Array.from({ length: 40 }, (_, i) => rig.port.send([frame(60, { seed: i })]));
  rig.run();
  assertStrictEquals(rig.port.sent.length, 0);
  for (let sent = 1; sent <= 40; sent++) {
    rig.card.transmit(1);
    rig.run();
    assert(rig.port.sent.length <= sent, `${rig.port.sent.length} completed and ${sent} sent`);
    assert(rig.port.sent.length > sent - 16, `${rig.port.sent.length} completed and ${sent} sent`);
  }
  assertEquals(rig.port.sent, tokens);
  rig.port.send([frame(60)]);
  rig.run();
  assertStrictEquals(rig.card.interrupting, false);
  rig.card.transmit(1);
  assertStrictEquals(rig.card.interrupting, true);
});

Deno.test("a full ring holds frames back until there is room", async () => {
  const rig = await Rig.up({ options: { rings: 64 } });
  rig.card.faults.sendsLater = true;
  const frames = Array.from({ length: 200 }, (_, i) => frame(60 + i, { seed: i }));
  for (const one of frames) rig.port.send([one]);
  rig.run();
  for (let i = 0; rig.port.framesOut > 0; i++) {
    assert(i < 100, "frames are stuck");
    rig.card.transmit(10);
    rig.run();
  }
  assertEquals(rig.card.wire, frames);
});

Deno.test("transmit keeps to its budget and says that there is more", async () => {
  const rig = await Rig.up();
  for (let i = 0; i < 25; i++) rig.port.send([frame(60)]);
  for (const [more, total] of [[true, 10], [true, 20], [false, 25]]) {
    assertStrictEquals(rig.poll(10), more);
    assertStrictEquals(rig.card.wire.length, total);
  }
});

Deno.test("there is more to do after the budget, also when the card is slow", async () => {
  const rig = await Rig.up();
  rig.card.faults.sendsLater = true;
  for (let i = 0; i < 25; i++) rig.port.send([frame(60)]);
  assertEquals([rig.poll(10), rig.poll(10), rig.poll(10)], [true, true, false]);
  rig.card.transmit(Infinity);
  assertStrictEquals(rig.card.wire.length, 25);
});

Deno.test("the ring takes as many frames after it went round as at first", async () => {
  const rig = await Rig.up({ options: { rings: 64 } });
  rig.card.faults.sendsLater = true;
  for (let round = 0; round < 100; round++) {
    while (rig.port.framesOut < 100) rig.port.send([frame(60)]);
    rig.run();
    assertStrictEquals((rig.card.peek(TDT) - rig.card.peek(TDH) + 64) % 64, 62);
    rig.card.transmit(Infinity);
    rig.interrupt();
    rig.poll(0);
    rig.port.reap();
  }
});

Deno.test("more frames than the ring holds go out in one run when the card is quick", async () => {
  const rig = await Rig.up({ options: { rings: 64 } });
  for (let i = 0; i < 120; i++) rig.port.send([frame(30), frame(40)]);
  rig.run();
  assertEquals([rig.card.wire.length, rig.port.framesOut], [120, 0]);
});

Deno.test("a frame that is not all there yet waits for the rest", async () => {
  const rig = await Rig.up();
  rig.port.send([frame(60)]);
  const cut = frame(100);
  const kernel = rig.port.send([cut.subarray(0, 50), cut.subarray(50)], { hold: true });
  for (const missing of [2, 1]) {
    rig.port.show(missing);
    rig.run();
    assertStrictEquals(rig.card.wire.length, 1);
  }
  rig.port.show();
  rig.run();
  assertEquals(rig.card.wire[1], cut);
  assertStrictEquals(rig.port.sent[1], kernel);
});

Deno.test("large pieces are cut for the card, also across 4 GiB", async () => {
  const rig = await Rig.up({ config: { mtu: 9000 } });
  const whole = frame(9014);
  rig.port.send([whole], { addresses: [7 * 2 ** 32 - 5000] });
  rig.run();
  assertEquals(rig.card.wire, [whole]);
});

Deno.test("a frame that the card can never send is refused, and the next one is sent", async () => {
  const rig = await Rig.up({ options: { rings: 64 } });
  const offload = { start: 34, offset: 50, segmentSize: 100, headerLength: 54, flags: TSO };
  const refused = [
    rig.port.send([frame(60_000)], { offload }), // 400 bytes to a descriptor: 150 of them
    rig.port.send([frame(600)], { offload: { ...offload, segmentSize: 0 } }),
    rig.port.send([frame(600)], { offload: { ...offload, headerLength: 256 } }),
    rig.port.send([frame(54)], { offload }),
    rig.port.send([frame(600)], { offload: { start: 300, offset: 316, flags: CSUM } }),
    rig.port.send([new Uint8Array(0), frame(60)]),
    rig.port.send([frame(60), new Uint8Array(0)]),
  ];
  const many = frame(63 * 20);
  const pieces = Array.from({ length: 63 }, (_, i) => many.subarray(i * 20, i * 20 + 20));
  refused.push(rig.port.send(pieces));
  const sent = [rig.port.send([frame(60)]), rig.port.send(pieces.slice(0, 62))];
  rig.run();
  assertEquals(rig.port.refused, refused);
  assertEquals(rig.port.sent, sent);
  assertEquals(rig.card.wire, [frame(60), many.subarray(0, 62 * 20)]);
});

// ---- offload ----

/** A TCP or UDP over IPv4 frame as the kernel prepares it for offload: the sum of the pseudo header in place. */
function packet(payload: number, options: { protocol: 6 | 17; segments?: boolean; optionBytes?: number }) {
  const { protocol, segments = false, optionBytes = 0 } = options;
  const transport = protocol === 6 ? 20 + optionBytes : 8;
  const bytes = frame(14 + 20 + transport + payload);
  const view = new DataView(bytes.buffer);
  bytes[14] = 0x45;
  view.setUint16(16, segments ? 0 : bytes.length - 14);
  view.setUint16(18, 0xfffe); // identification
  bytes[23] = protocol;
  view.setUint16(24, 0);
  bytes.set([10, 0, 0, 1, 10, 0, 0, 2], 26);
  if (!segments) view.setUint16(24, ~internetSum(bytes.subarray(14, 34)) & 0xffff);
  if (protocol === 6) {
    view.setUint32(38, 0xfffffff0); // sequence
    bytes[46] = (transport / 4) << 4;
    bytes[47] = 0x19; // ACK, PSH, FIN
  } else {
    view.setUint16(38, transport + payload);
  }
  const offset = 34 + (protocol === 6 ? 16 : 6);
  const pseudo = concat([bytes.subarray(26, 34), Uint8Array.of(0, protocol, 0, 0)]);
  if (!segments) new DataView(pseudo.buffer).setUint16(10, bytes.length - 34);
  view.setUint16(offset, internetSum(pseudo));
  const offload = { start: 34, offset, flags: CSUM };
  return { bytes, offload, header: 34 + transport };
}

/** Checks the checksums and lengths of an IPv4 frame on the wire, as its receiver would. */
function check(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  assertStrictEquals(view.getUint16(16), bytes.length - 14, "IPv4 total length");
  assertStrictEquals(internetSum(bytes.subarray(14, 34)), 0xffff, "IPv4 header checksum");
  const pseudo = concat([bytes.subarray(26, 34), Uint8Array.of(0, bytes[23], 0, 0), bytes.subarray(34)]);
  new DataView(pseudo.buffer).setUint16(10, bytes.length - 34);
  assertStrictEquals(internetSum(pseudo), 0xffff, "TCP or UDP checksum");
}

Deno.test("checksums are inserted where the kernel says", async () => {
  const rig = await Rig.up();
  for (const [protocol, payload] of [[6, 0], [6, 1000], [17, 33], [6, 1], [17, 1]] as const) {
    const { bytes, offload } = packet(payload, { protocol });
    rig.port.send([bytes], { offload });
    rig.port.send([frame(60)]); // which needs none, and must not get any
  }
  rig.run();
  assertStrictEquals(rig.card.wire.length, 10);
  for (const [i, bytes] of rig.card.wire.entries()) {
    if (i % 2 === 0) check(bytes);
    else assertEquals(bytes, frame(60));
  }
});

Deno.test("a context that the card holds is not written again", async () => {
  const rig = await Rig.up();
  const send = (protocol: 6 | 17, tag: number) => {
    const { bytes, offload } = packet(100, { protocol });
    const tagged = concat([bytes.subarray(0, 12), new Uint8Array(tag), bytes.subarray(12)]);
    rig.port.send([tagged], { offload: { ...offload, start: 34 + tag, offset: offload.offset + tag } });
    rig.run();
    const wire = rig.card.wire.pop()!;
    check(concat([wire.subarray(0, 12), wire.subarray(12 + tag)]));
    return rig.card.contexts;
  };
  const sent = [[6, 0], [6, 0], [6, 4], [6, 4], [17, 4], [17, 0], [17, 0], [6, 0]] as const;
  assertEquals(sent.map(([protocol, tag]) => send(protocol, tag)), [1, 1, 2, 2, 3, 4, 4, 5]);
});

Deno.test("large TCP frames are cut into segments", async () => {
  const rig = await Rig.up();
  for (
    const [payload, segmentSize, optionBytes] of [[60_000, 1448, 12], [2896, 1448, 0], [100, 1460, 0], [
      40_001,
      536,
      8,
    ]]
  ) {
    const { bytes, offload, header } = packet(payload, { protocol: 6, segments: true, optionBytes });
    const pieces = [bytes.subarray(0, header), bytes.subarray(header, 5000), bytes.subarray(5000)]
      .filter((piece) => piece.length > 0);
    rig.port.send(pieces, { offload: { ...offload, flags: TSO | CSUM, segmentSize, headerLength: header } });
    rig.run();
    const wire = rig.card.wire.splice(0);
    assertStrictEquals(wire.length, Math.ceil(payload / segmentSize));
    assertEquals(concat(wire.map((one) => one.subarray(header))), bytes.subarray(header));
    for (const [i, one] of wire.entries()) {
      check(one);
      const view = new DataView(one.buffer);
      assertStrictEquals(view.getUint16(18), (0xfffe + i) & 0xffff, "identification");
      assertStrictEquals(view.getUint32(38), (0xfffffff0 + i * segmentSize) >>> 0, "sequence");
      assertStrictEquals(one[47], i === wire.length - 1 ? 0x19 : 0x10, "FIN and PSH");
    }
  }
  assertStrictEquals(rig.port.framesOut, 0);
});

Deno.test("the last piece of a segmented frame may have any length", async () => {
  const rig = await Rig.up();
  for (const last of [1, 4, 8, 9, 4091, 4092, 4093, 4095, 4096, 4097, 4099, 4100, 8192]) {
    const { bytes, offload, header } = packet(1000 + last, { protocol: 6, segments: true });
    const tso = { ...offload, flags: TSO | CSUM, segmentSize: 1460, headerLength: header };
    rig.port.send([bytes.subarray(0, -last), bytes.subarray(-last)], { offload: tso });
    rig.port.send([frame(last + 14)]);
    rig.run();
    assertEquals(rig.card.wire.pop(), frame(last + 14));
    assertEquals(concat(rig.card.wire.splice(0).map((one) => one.subarray(header))), bytes.subarray(header));
  }
});

Deno.test("a full ring of frames of all kinds loses none", async () => {
  const rig = await Rig.up({ options: { rings: 64 } });
  rig.card.faults.sendsLater = true;
  const tcp = packet(500, { protocol: 6 });
  const udp = packet(70, { protocol: 17 });
  const large = packet(12_000, { protocol: 6, segments: true });
  const tso = { ...large.offload, flags: TSO | CSUM, segmentSize: 1460, headerLength: large.header };
  const kinds = [
    () => rig.port.send([tcp.bytes], { offload: tcp.offload }),
    () => rig.port.send([udp.bytes.subarray(0, 42), udp.bytes.subarray(42)], { offload: udp.offload }),
    () => rig.port.send([large.bytes], { offload: tso }),
    () => rig.port.send([frame(9000)]),
    () => rig.port.send([frame(60)]),
  ];
  const frames = [1, 1, 9, 1, 1];
  const tokens: number[] = [];
  let expected = 0;
  for (let i = 0; i < 3000; i++) {
    while (rig.port.txRoom >= 3 && rig.port.framesOut < 40) {
      const kind = (tokens.length * 7 + (tokens.length >> 3)) % kinds.length;
      tokens.push(kinds[kind]());
      expected += frames[kind];
    }
    rig.run();
    rig.card.transmit(1 + i % 5);
    rig.run();
  }
  while (rig.port.framesOut > 0) {
    rig.card.transmit(1);
    rig.run();
  }
  assertEquals(rig.port.sent, tokens);
  assertEquals([rig.port.refused.length, rig.card.wire.length], [0, expected]);
});

Deno.test("plain, summed and segmented frames mix", async () => {
  const rig = await Rig.up();
  const tcp = packet(500, { protocol: 6 });
  const large = packet(9000, { protocol: 6, segments: true });
  const tso = { ...large.offload, flags: TSO | CSUM, segmentSize: 1460, headerLength: large.header };
  for (let i = 0; i < 100; i++) {
    rig.port.send([tcp.bytes], { offload: tcp.offload });
    rig.port.send([large.bytes], { offload: tso });
    rig.port.send([tcp.bytes], { offload: tcp.offload });
    rig.port.send([frame(60)]);
    rig.run();
    const wire = rig.card.wire.splice(0);
    assertStrictEquals(wire.length, 10);
    assertEquals(wire.pop(), frame(60));
    wire.forEach(check);
  }
  assertStrictEquals(rig.port.sent.length, 400);
});

// ---- up and down ----

Deno.test("down stops both ways, and up goes on with every buffer and frame", async () => {
  const rig = await Rig.up();
  for (let i = 0; i < 100; i++) rig.card.receive(frame(60, { seed: i }));
  rig.run();
  await rig.configure({ up: false });
  assertStrictEquals(rig.card.receive(frame(60)), false);
  assertEquals([rig.card.peek(RCTL) & 2, rig.card.peek(TCTL) & 2], [0, 0]);
  const waiting = rig.port.send([frame(77)]);
  rig.port.fill();
  rig.run();
  assertStrictEquals(rig.card.wire.length, 0);
  await rig.configure({});
  for (let i = 0; i < 255; i++) assert(rig.card.receive(frame(60, { seed: i })), `frame ${i} after up`);
  rig.run();
  assertEquals([rig.port.received.length, rig.port.sent], [355, [waiting]]);
  assertEquals(rig.card.wire, [frame(77)]);
});

Deno.test("down waits for frames on their way", async () => {
  const rig = await Rig.up();
  rig.card.faults.sendsLater = true;
  const token = rig.port.send([frame(60)]);
  rig.run();
  rig.clock.sleep(5).then(() => rig.card.transmit(1));
  await rig.configure({ up: false });
  assertEquals([rig.port.sent, rig.port.refused], [[token], []]);
});

Deno.test("down drops what cannot be sent, and up sends what comes after", async () => {
  const rig = await Rig.up();
  for (let round = 0; round < 5; round++) {
    rig.card.faults.sendsLater = true;
    const { bytes, offload } = packet(100, { protocol: 6 });
    const stuck = Array.from({ length: 20 }, () => rig.port.send([bytes], { offload }));
    rig.run();
    await rig.configure({ up: false });
    assertEquals(rig.port.refused.splice(0), stuck);
    assertStrictEquals(rig.port.framesOut, 0);
    rig.card.faults.sendsLater = false;
    await rig.configure({});
    assertStrictEquals(rig.card.wire.length, 0, "what was dropped must not be sent");
    rig.port.send([bytes], { offload });
    rig.run();
    check(rig.card.wire.pop()!);
  }
});

Deno.test("configuration may change while traffic flows", async () => {
  const rig = await Rig.up();
  const configs: Partial<NetConfig>[] = [
    { mtu: 9000 },
    { promiscuous: true },
    { allMulticast: true },
    { multicast: [Uint8Array.of(1, 0, 94, 0, 0, 1)] },
    { up: false },
    {},
  ];
  let received = 0;
  for (let round = 0; round < 200; round++) {
    for (let i = 0; i < 7; i++) {
      if (rig.card.receive(frame(60 + i))) received++;
      rig.port.send([frame(60)]);
    }
    if (round % 3 === 0) await rig.configure(configs[round / 3 % configs.length]);
    rig.run();
    rig.port.fill();
  }
  await rig.configure({});
  rig.run();
  assertStrictEquals(rig.port.received.length, received);
  assertEquals([rig.port.sent.length, rig.card.wire.length, rig.port.refused.length], [1400, 1400, 0]);
});

Deno.test("a card that never reports holds its frames until the interface goes down", async () => {
  const rig = await Rig.up();
  rig.card.faults.neverReports = true;
  const tokens = Array.from({ length: 10 }, () => rig.port.send([frame(60)]));
  rig.run();
  assertEquals([rig.port.sent, rig.port.refused], [[], []]);
  await rig.configure({ up: false });
  assertEquals(rig.port.refused, tokens);
});
