/** What each model of a fault does to a driver over a model of its device, from when on, and how often. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { DeviceError, type NetDriver } from "../../src/driver/mod.ts";
import { type DriverFault, modelsFor } from "../../src/faults/mod.ts";
import { DiskRig, DRIVERS, folderOf, load, NetRig, rigOf } from "../fakes/faulty_rig.ts";

const STATUS = 0x08, TDT = 0x3818, TDH = 0x3810, ICR = 0xc0;
/** The first registers of a network card's frames to be sent, and received, as the driver asks for memory. */
const RX = 0, TX = 1;

/** Lines that tell of faults. */
function told(rig: NetRig | DiskRig): string[] {
  return rig.device.lines.filter((line) => line.startsWith("fault "));
}

/** Carries frames or requests up to a fault; none of them may be disturbed, and nothing told. */
function carryTo(rig: NetRig | DiskRig, times: number): void {
  for (let i = 0; i < times; i++) assert(rig.carry(), `disturbed before the fault, at ${i}`);
  assertEquals(told(rig), []);
}

// ---- when ----

Deno.test("a fault comes after so many of what it counts, and not before", async () => {
  const asked = "this exception was asked for";
  const polls = await NetRig.up({ model: "code.throw", when: { after: 7, of: "polls" } });
  while (polls.polls < 7) polls.round();
  assertThrows(() => polls.round(), Error, asked);
  assertStrictEquals(polls.polls, 8);

  const interrupts = await NetRig.up({ model: "code.throw", when: { after: 3, of: "interrupts" } });
  carryTo(interrupts, 3);
  assertStrictEquals(interrupts.interrupts, 3);
  assertThrows(() => interrupts.carry(), Error, asked);
  assertStrictEquals(interrupts.interrupts, 4);

  const frames = await NetRig.up({ model: "code.throw", when: { after: 4, of: "frames" } });
  carryTo(frames, 2); // one of each pair is received, one is sent
  assertThrows(() => frames.carry(), Error, asked);
  assertEquals(told(frames), ["fault code.throw: throws, at one of its frames"]);

  const requests = await DiskRig.up("nvme", { model: "code.throw", when: { after: 4, of: "requests" } });
  carryTo(requests, 2);
  assertThrows(() => requests.carry(), Error, asked);

  for (const after of [0, 1, 25]) {
    const { driver } = await load<NetDriver<unknown>>("e1000", {
      model: "code.throw",
      when: { after, of: "accesses", since: "start" },
    });
    const rig = new NetRig(driver);
    await assertRejects(() => rig.bringUp(), Error, asked);
    const { loads, stores } = rig.device.registers!;
    assertStrictEquals(loads + stores, after);
  }
});

Deno.test("a fault by time comes when it is due, also to a driver with nothing to do", async () => {
  const rig = await NetRig.up({
    model: "registers.stuck",
    register: "STATUS",
    value: 0,
    when: { after: 300, of: "ms" },
  });
  await rig.clock.advance(299);
  rig.card.link = false;
  rig.settle();
  rig.card.link = true;
  rig.settle();
  assertEquals(rig.port.reports.map(({ link }) => link), [true, false, true]);
  await rig.clock.advance(2);
  rig.card.link = false;
  rig.card.link = true;
  rig.settle();
  assertStrictEquals(rig.port.reports.at(-1)!.link, false);
  const thrower = await NetRig.up({ model: "code.throw", when: { after: 300, of: "ms" } });
  await thrower.clock.advance(299);
  await assertRejects(() => thrower.clock.advance(2), Error, "this exception was asked for");
});

Deno.test("a fault can come in bring-up", async () => {
  await assertRejects(
    () => NetRig.up({ model: "registers.gone", when: { after: 0, of: "accesses", since: "start" } }),
    DeviceError,
    "the device is gone, STATUS reads all ones",
  );
});

Deno.test("a fault comes as often as it says", async () => {
  const rig = await NetRig.up({
    model: "registers.dropped",
    register: "TDT",
    when: { after: 2, of: "frames" },
    times: 2,
  });
  carryTo(rig, 1);
  assertEquals([rig.carry(), rig.carry()], [false, false]);
  assertStrictEquals(rig.port.sent.length, 1);
  rig.carry();
  assertStrictEquals(rig.port.sent.length, 4, "the next write of the tail sends what the lost ones did not");
  assert(rig.carry());
  assertEquals(told(rig), ["fault registers.dropped: TDT is not written"]);
});

// ---- code ----

Deno.test("blocked and slow drivers take their time", async () => {
  const timed = (fn: () => void) => {
    const start = performance.now();
    fn();
    return performance.now() - start;
  };
  const blocked = await NetRig.up({ model: "code.block", ms: 60, when: { after: 3, of: "polls" } });
  while (blocked.polls < 3) assert(timed(() => blocked.round()) < 50);
  assert(timed(() => blocked.round()) >= 60);
  assert(blocked.carry());
  const slow = await NetRig.up({ model: "code.slow", ms: 20, when: { after: 2, of: "polls" } });
  slow.round();
  for (let i = 0; i < 3; i++) assert(timed(() => slow.round()) >= 20);
  assertEquals(told(slow), ["fault code.slow: each poll takes 20 ms longer"]);
});

// ---- registers ----

Deno.test("a register reads with a bit flipped, once", async () => {
  const rig = await NetRig.up({
    model: "registers.flipped",
    register: "STATUS",
    bit: 1,
    when: { after: 0, of: "polls" },
  });
  const links = (up: boolean) => {
    rig.card.link = up;
    rig.settle();
    return rig.port.reports.at(-1)!.link;
  };
  assertEquals([links(false), links(true), links(false)], [true, true, false]);
});

Deno.test("a register reads as it did before, and as it did first", async () => {
  for (
    const [model, seen] of [["registers.stale", [true, false]], ["registers.stuck", [true, true]]] as const
  ) {
    const rig = await NetRig.up({ model, register: "STATUS", when: { after: 0, of: "polls" } });
    // The first read after the fault is of a link that is up, but for a stale one, which has been read before.
    if (model === "registers.stuck") {
      rig.card.link = false;
      rig.card.link = true;
      rig.settle();
    }
    rig.card.link = false;
    rig.settle();
    const first = rig.port.reports.at(-1)!.link;
    rig.card.link = true;
    rig.card.link = false;
    rig.settle();
    assertEquals([first, rig.port.reports.at(-1)!.link], [...seen]);
    assertStrictEquals(rig.card.load(STATUS) & 2, 0);
  }
});

Deno.test("a device that is gone reads all ones and takes nothing", async () => {
  const rig = await NetRig.up({ model: "registers.gone", when: { after: 4, of: "frames" } });
  carryTo(rig, 2);
  const tail = rig.card.peek(TDT);
  assertThrows(
    () => {
      rig.carry();
      rig.carry();
    },
    Error,
    "the device is gone, ICR reads all ones",
  );
  assertStrictEquals(rig.card.peek(TDT), tail);
  const ide = await DiskRig.up("ide", { model: "registers.gone", when: { after: 1, of: "requests" } });
  carryTo(ide, 1);
  ide.carry(); // the drive does not get the command, and so does not interrupt
  await assertRejects(
    () => ide.clock.advance(20_000).then(() => ide.settle()),
    DeviceError,
    "the device is gone, STATUS of bus master 0 reads all ones",
  );
});

Deno.test("a write comes late, after others", async () => {
  const rig = await NetRig.up({
    model: "registers.delayed",
    register: "TDT",
    accesses: 1,
    when: { after: 2, of: "frames" },
  });
  carryTo(rig, 1);
  assertStrictEquals(rig.carry(), false);
  const [head, tail] = [rig.card.peek(TDH), rig.card.peek(TDT)];
  rig.card.link = false; // reads of ICR and STATUS: the second of them finds the write due
  rig.settle();
  assertEquals([rig.card.peek(TDH), rig.card.peek(TDT)], [head + 1, tail + 1]);
});

Deno.test("a write comes as often as it says", async () => {
  const rig = await NetRig.up({
    model: "registers.repeated",
    register: "TDT",
    writes: 4,
    when: { after: 2, of: "frames" },
  });
  carryTo(rig, 1);
  const before = rig.card.tailStores;
  assert(rig.carry());
  assert(rig.carry());
  assertStrictEquals(rig.card.tailStores, before + 5);
});

Deno.test("ports have the same faults: what a queued read is to look like is decided in the driver's order", async () => {
  // The drive is busy, the driver sees that it is not, or the other way round.
  const rig = await DiskRig.up("ide", {
    model: "registers.flipped",
    register: "ALT_STATUS",
    bit: 7,
    when: { after: 2, of: "requests" },
  });
  carryTo(rig, 1);
  assertStrictEquals(rig.carry(), false, "a command that is done looks as if it were not");
  assertEquals(told(rig), ["fault registers.flipped: ALT_STATUS reads with bit 7 flipped"]);
  const dropped = await DiskRig.up("ide", {
    model: "registers.dropped",
    register: "COMMAND",
    when: { after: 2, of: "requests" },
    times: "always",
  });
  carryTo(dropped, 1);
  assertStrictEquals(dropped.carry(), false);
});

// ---- interrupts ----

Deno.test("interrupts are lost, doubled, made up, and left alone", async () => {
  const rig = (model: DriverFault["model"], of: "interrupts" | "polls") =>
    NetRig.up({ model, when: { after: of === "polls" ? 4 : 1, of } } as DriverFault);
  /** Loads of ICR while something arrives, which the card's own interrupts account for. */
  const loads = (rig: NetRig, what: () => void) => {
    let loads = 0;
    const { load } = rig.card;
    rig.card.load = (offset) => (loads += offset === ICR ? 1 : 0, load.call(rig.card, offset));
    what();
    rig.card.load = load;
    return loads;
  };
  const lost = await rig("interrupts.lost", "interrupts");
  carryTo(lost, 1);
  const [reaped, polled] = [lost.port.received.length, lost.polls];
  lost.card.receive(new Uint8Array(60).fill(0xff));
  assertStrictEquals(loads(lost, () => lost.round()), 0);
  assertEquals([lost.port.received.length, lost.polls], [reaped, polled + 1]);
  assertStrictEquals(loads(lost, () => lost.round()), 1, "the line is still up: the next one is not lost");
  assertStrictEquals(lost.port.received.length, reaped + 1);

  const doubled = await rig("interrupts.duplicated", "interrupts");
  carryTo(doubled, 1);
  assertStrictEquals(loads(doubled, () => doubled.carry()), 2);

  const madeUp = await rig("interrupts.spurious", "polls");
  while (madeUp.polls < 4) madeUp.round();
  assertStrictEquals(loads(madeUp, () => madeUp.round()), 1);
  assertStrictEquals(madeUp.card.interrupting, false);
  assertStrictEquals(loads(madeUp, () => madeUp.round()), 0);

  const stuck = await rig("interrupts.stuck", "interrupts");
  carryTo(stuck, 1);
  assertStrictEquals(loads(stuck, () => assert(stuck.carry(), "it polls all the same")), 0);
  assert(stuck.card.interrupting, "nobody has asked the card why");
});

Deno.test("a storm is the device's: as soon as it is looked after it interrupts again", async () => {
  const rig = await NetRig.up({
    model: "interrupts.storm",
    offset: 0xc8,
    value: 0x80,
    when: { after: 4, of: "polls" },
  });
  while (rig.polls < 4) rig.round();
  assertStrictEquals(rig.card.interrupting, false);
  const before = rig.interrupts;
  for (let i = 0; i < 10; i++) rig.round();
  assertStrictEquals(rig.interrupts, before + 9);
  assert(rig.carry());
});

// ---- DMA ----

Deno.test("a word for the device has a bit flipped", async () => {
  const rig = await NetRig.up({
    model: "dma.corrupted",
    memory: TX,
    bit: 30,
    when: { after: 2, of: "frames" },
  });
  carryTo(rig, 1);
  assertThrows(() => rig.carry(), Error, "DMA fault: read of");
});

Deno.test("an address for the device is of other memory", async () => {
  const rig = await NetRig.up({
    model: "dma.address",
    memory: TX,
    words: 4,
    word: 0,
    address: 0xfff00000,
    when: { after: 2, of: "frames" },
  });
  carryTo(rig, 1);
  assertThrows(() => rig.carry(), Error, "DMA fault: read of");
  assertMatch(
    told(rig)[0],
    /^fault dma\.address: the address in descriptor 1 of memory 1 becomes 0xfff00000$/,
  );
});

Deno.test("a length for the device is another", async () => {
  const net = await NetRig.up({
    model: "dma.length",
    memory: TX,
    words: 4,
    word: 2,
    by: -1,
    when: { after: 2, of: "frames" },
  });
  carryTo(net, 1);
  assertStrictEquals(net.carry(), false);
  assertMatch(told(net)[0], /^fault dma\.length: length 64 of descriptor 1 becomes 63$/);
  assertStrictEquals(net.card.wire.at(-1)!.length, 63);
  assert(net.carry());
  const nvme = await DiskRig.up("nvme", {
    model: "dma.length",
    memory: 3,
    words: 16,
    word: 12,
    by: -1,
    when: { after: 2, of: "requests" },
  });
  carryTo(nvme, 1);
  assertStrictEquals(nvme.carry(), false, "half of it was not written");
  assertEquals(nvme.port.failed, []);
});

Deno.test("done never, too early, and twice", async () => {
  const never = await NetRig.up({ model: "dma.never", memory: RX, when: { after: 3, of: "frames" } });
  carryTo(never, 2);
  assertEquals([never.carry(), never.carry()], [false, false]);
  assertStrictEquals(never.port.received.length, 2, "the driver waits for the one that it never sees done");
  assertStrictEquals(never.port.sent.length, 4);

  const early = await NetRig.up({ model: "dma.early", memory: RX, when: { after: 3, of: "frames" } });
  carryTo(early, 2);
  early.round();
  assertStrictEquals(early.port.received.length, 3);
  assertStrictEquals(early.port.received[2].data.length, 0, "nothing has been received into it yet");

  const twice = await NetRig.up({ model: "dma.twice", memory: RX, when: { after: 3, of: "frames" } });
  carryTo(twice, 2);
  twice.round();
  assertStrictEquals(twice.port.received.length, 3);
  assertStrictEquals(twice.port.received[2].data.length, twice.port.received[1].data.length);

  for (const model of ["dma.early", "dma.twice"] as const) {
    const nvme = await DiskRig.up("nvme", { model, memory: 4, when: { after: 4, of: "requests" } });
    carryTo(nvme, 2);
    assertThrows(() => nvme.carry(), Error, "which is not under way");
  }
  const hidden = await DiskRig.up("nvme", { model: "dma.never", when: { after: 3, of: "requests" } });
  carryTo(hidden, 2);
  assertEquals([hidden.carry(), hidden.carry(), hidden.port.done.length], [false, false, 4]);
});

// ---- rings ----

Deno.test("completions name what they are not of, and counters are off", async () => {
  const faults: [DriverFault, RegExp][] = [
    [{ model: "rings.id", by: 1 }, /Token \d+ is not out/],
    [{ model: "rings.generation", by: 1 }, /Token \d+ is not out/],
    [{ model: "rings.index", by: 1 }, /Token \d+ is not out/],
  ];
  for (const name of ["ide", "nvme"] as const) {
    for (const [fault, says] of faults) {
      const rig = await DiskRig.up(name, { ...fault, when: { after: 4, of: "requests" } } as DriverFault);
      carryTo(rig, 2);
      const error = assertThrows(() => rig.carry(), Error);
      assertMatch(error.message, says);
      assertStrictEquals(told(rig).length, 1);
    }
  }
  const rx = await NetRig.up({ model: "rings.id", channel: 1, by: 2, when: { after: 2, of: "frames" } });
  carryTo(rx, 1);
  assertThrows(() => rx.carry(), Error, "RX: token");
  const seen = await NetRig.up({
    model: "rings.index",
    channel: 1,
    counter: "seen",
    by: -1,
    when: { after: 2, of: "frames" },
  });
  carryTo(seen, 1);
  seen.carry();
  assertEquals(told(seen), ["fault rings.index: counter seen of channel 1 is off by -1"]);
});

Deno.test("two faults at once come each at its own time", async () => {
  const rig = await NetRig.up([
    { model: "registers.dropped", register: "TDT", when: { after: 2, of: "frames" } },
    { model: "code.throw", when: { after: 8, of: "frames" } },
  ]);
  carryTo(rig, 1);
  assertStrictEquals(rig.carry(), false);
  rig.carry();
  assert(rig.carry());
  assertEquals(told(rig), ["fault registers.dropped: TDT is not written"]);
  assertThrows(() => rig.carry(), Error, "this exception was asked for");
});

Deno.test("a fault whose time never comes disturbs nothing, whatever it would be", async () => {
  const shapes: Record<string, object> = {
    "interrupts.storm": { offset: 0xc8, value: 0x80 },
    "dma.length": { words: 4, word: 2 },
    "dma.address": { words: 4, word: 0 },
  };
  for (const name of DRIVERS) {
    for (const { name: model, kind } of await modelsFor(folderOf(name))) {
      if (kind !== "wrapped") continue;
      const fault = { model, when: { after: 1e9, of: "polls" }, ...shapes[model] } as DriverFault;
      const rig = await rigOf(name, fault);
      carryTo(rig, 5);
    }
  }
});
