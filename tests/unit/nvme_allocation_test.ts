/** The NVMe data path allocates nothing once it is compiled, so that no collection interrupts it. */

import { assertEquals } from "@std/assert";
import nvme from "../../drivers/nvme/driver.ts";
import { useClock } from "../../src/driver/clock.ts";
import { type BlockPort, CONTEXT, FORCE, LAST, OPERATION, type Registers } from "../../src/driver/mod.ts";
import type { AnyRegisterMap } from "../../src/driver/registers.ts";
import { CONTROL } from "../../src/driver/rings.ts";
import { FakeClock } from "../fakes/clock.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakeNvme } from "../fakes/nvme.ts";
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

const RING = 256;
const ENTRIES = 128;

/** A read of three pages, a forced write with a gap, and a flush: eight entries, and four commands. */
const PATTERN: [low: number, high: number, lengthFlags: number][] = [
  [0xffffff00, 1, 24 | CONTEXT | OPERATION.READ],
  [0xfffff000, 1, 4096],
  [0xeffff000, 3, 4096],
  [0x00001000, 3, 4096 | LAST],
  [0xfffffffe, 1, 9 | CONTEXT | OPERATION.WRITE | FORCE],
  [0xfffff000, 1, 512],
  [0xfffff000, 1, 4096 | LAST],
  [0, 0, CONTEXT | LAST | OPERATION.FLUSH],
];
const REQUESTS = 3;
const COMMANDS = 4;
/** Patterns between two polls. */
const BATCH = 5;

const BAR_BYTES = 0x4000;

Deno.test("poll allocates nothing", () => pollAllocatesNothing(plainRegisters(BAR_BYTES)));

Deno.test("poll allocates nothing while its register accesses are recorded", () =>
  pollAllocatesNothing(recordedRegisters(BAR_BYTES)));

async function pollAllocatesNothing(bind: (map: AnyRegisterMap) => Registers): Promise<void> {
  const clock = new FakeClock();
  useClock(clock);
  const bus = new BusMemory();
  const device = new MemoryDevice({ model: new FakeNvme(clock, bus), bus, bind });
  const { control, ring } = plainChannel(
    RING,
    (words, i) => words.set([...PATTERN[i % PATTERN.length], 0xf0000000 + i], i << 2),
  );
  const port: BlockPort = { queues: [ring], attach: () => {} };
  const state = await clock.settle(nvme.bringUp(device, port));
  device.release();

  const [, , , commands, completed] = device.memories.map(({ words }) => words);
  let at = 0;
  let phase = 1 << 16;
  /** The controller has done all it was given; the kernel gives more. */
  const step = () => {
    Atomics.add(control, CONTROL.SUBMITTED, BATCH * PATTERN.length);
    nvme.poll(state, 64);
    for (let i = 0; i < BATCH * COMMANDS; i++) {
      completed[(at << 2) + 3] = commands[at << 4] >>> 16 | phase;
      at = (at + 1) & (ENTRIES - 1);
      if (at === 0) phase ^= 1 << 16;
    }
  };
  for (let i = 0; i < 20_000; i++) step();
  const before = Atomics.load(control, CONTROL.COMPLETED);
  const grown = growth(step);
  assertEquals(
    (Atomics.load(control, CONTROL.COMPLETED) - before) | 0,
    ROUNDS * CALLS * BATCH * REQUESTS,
    "every poll completes what the one before it began",
  );
  assertNothingGrew(grown, { step });
}
