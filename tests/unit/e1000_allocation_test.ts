/** The e1000 data path allocates nothing once it is compiled, so that no collection interrupts it. */

import { assert } from "@std/assert";
import e1000 from "../../drivers/e1000/driver.ts";
import { useClock } from "../../src/driver/clock.ts";
import { CONTEXT, CSUM, LAST, type NetPort, type Registers } from "../../src/driver/mod.ts";
import type { AnyRegisterMap } from "../../src/driver/registers.ts";
import { CONTROL } from "../../src/driver/rings.ts";
import { Fake8254x } from "../fakes/8254x.ts";
import { FakeClock } from "../fakes/clock.ts";
import { BusMemory } from "../fakes/dma.ts";
import {
  assertNothingGrew,
  CALLS,
  growth,
  MemoryDevice,
  plainChannel,
  plainRegisters,
  recordedRegisters,
  ROUNDS,
} from "../fakes/plain_memory.ts";

const RINGS = 256;
/** What tokens begin with once each has been used often. */
const TOKEN = 0xfffe0000;

const BAR_BYTES = 0x20000;

Deno.test("interrupt and poll allocate nothing", () => pollAllocatesNothing(plainRegisters(BAR_BYTES)));

Deno.test("interrupt and poll allocate nothing while their register accesses are recorded", () =>
  pollAllocatesNothing(recordedRegisters(BAR_BYTES)));

async function pollAllocatesNothing(bind: (map: AnyRegisterMap) => Registers): Promise<void> {
  const clock = new FakeClock();
  useClock(clock);
  const bus = new BusMemory();
  const device = new MemoryDevice({ model: new Fake8254x(clock, bus), bus, bind });
  const rx = plainChannel(
    RINGS,
    (words, i) => words.set([0xfff00000 + i * 4096, 1, 4096, TOKEN + i], i << 2),
  );
  // Pairs of a context and its data: TCP at 34 in all of them.
  const tx = plainChannel(RINGS, (words, i) =>
    words.set(
      i % 2 === 0
        ? [34 | 50 << 16, 0, (1000 | CONTEXT | CSUM) >>> 0, TOKEN + (i >> 1)]
        : [0xfff00000 + i, 1, (1000 | LAST) >>> 0, TOKEN + (i >> 1)],
      i << 2,
    ));
  const port: NetPort = { tx: tx.ring, rx: rx.ring, rxBufferSize: 4096, attach: () => {}, report: () => {} };
  const state = await clock.settle(e1000.bringUp(device, port));
  const features = { txChecksum: true };
  const mac = new Uint8Array(6);
  const config = {
    up: true,
    promiscuous: false,
    allMulticast: false,
    mac,
    multicast: [],
    mtu: 1500,
    features,
  };
  await clock.settle(e1000.configure(state, config) ?? undefined);
  device.release();

  const [rxWords, txWords] = device.memories.map(({ words }) => words);
  Atomics.add(rx.control, CONTROL.SUBMITTED, RINGS - 1);
  e1000.poll(state, 64);
  let received = 0;
  let sent = 0;
  /** The card receives 40 frames, has sent all it was given, and interrupts; the kernel gives 40 of each. */
  const step = () => {
    for (let i = 0; i < 40; i++) {
      const at = (received++ & (RINGS - 1)) << 2;
      rxWords[at + 2] = 1000;
      rxWords[at + 3] = 0x27;
    }
    for (let at = 3; at < txWords.length; at += 4) txWords[at] |= 1;
    Atomics.add(rx.control, CONTROL.SUBMITTED, 40);
    Atomics.add(tx.control, CONTROL.SUBMITTED, 80);
    e1000.interrupt(state, 1);
    e1000.poll(state, 64);
    sent += 40;
  };
  for (let i = 0; i < 20_000; i++) step();
  const before = Atomics.load(rx.control, CONTROL.COMPLETED);
  const grown = growth(step);
  const polls = ROUNDS * CALLS;
  assert(Atomics.load(rx.control, CONTROL.COMPLETED) - before === polls * 40, "every poll received");
  assert(
    Atomics.load(tx.control, CONTROL.COMPLETED) >= sent - 40,
    "every poll completed what it sent before",
  );
  assertNothingGrew(grown, { step });
}
