/** The IDE data path allocates nothing once it is compiled, nor does the host's part of it. */

import { assertEquals } from "@std/assert";
import ide from "../../drivers/ide/driver.ts";
import { useClock } from "../../src/driver/clock.ts";
import { type BlockPort, CONTEXT, FORCE, LAST, OPERATION, type Ports } from "../../src/driver/mod.ts";
import type { AnyPortMap } from "../../src/driver/ports.ts";
import { CONTROL } from "../../src/driver/rings.ts";
import { GrantedPorts, PortBatch } from "../../src/host/ports.ts";
import { PIO_DATA, PIO_WORDS, uapi } from "../../src/kernel/mod.ts";
import { FakeClock } from "../fakes/clock.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakeDrive, FakePiix } from "../fakes/piix.ts";
import { assertNothingGrew, CALLS, growth, plainChannel, ROUNDS } from "../fakes/plain_memory.ts";
import { FakePortDevice } from "../fakes/ports.ts";

const RING = 256;
const BARS = [0, 1, 2, 3, 4];

/** A read in two pieces, a forced write of a whole region far up the disk, and a flush. */
const PATTERN: [low: number, high: number, lengthFlags: number][] = [
  [0x0ffffff0, 0, 16 | CONTEXT | OPERATION.READ],
  [0xfffff000, 0, 4096],
  [0x80000e00, 0, 4096 | LAST],
  [0xfffffffe, 0x1234, 129 | CONTEXT | OPERATION.WRITE | FORCE],
  [0xa0000000, 0, 0x10000],
  [0xfffffe00, 0, 512 | LAST],
  [0, 0, CONTEXT | LAST | OPERATION.FLUSH],
  [0, 0, CONTEXT | LAST | OPERATION.DISCARD],
];
const REQUESTS = 4;
const COMMANDS = 3;

/** Brought up on a model, and then on a kernel that answers every look with a command that is done. */
class PlainPortDevice extends FakePortDevice {
  readonly #plain = new PortBatch({
    pioWords: new Uint32Array(uapi.MAX_PIO * PIO_WORDS),
    pioData: new Uint8Array(PIO_DATA),
    pio(count) {
      for (let at = 0; at < count * PIO_WORDS; at += PIO_WORDS) {
        // Windows are numbered as BARs here: the bus master has interrupted, and the drive is ready.
        if (this.pioWords[at] >>> 24 === 0) {
          this.pioWords[at + 2] = (this.pioWords[at] & 0xff) === 4 ? 0x64 : 0x50;
        }
      }
    },
  });
  #released = false;

  override ports(index: number, map: AnyPortMap): Ports {
    const model = super.ports(index, map);
    const plain = new GrantedPorts(this.#plain, { map, index, offset: 0, length: 16, name: "plain ports" });
    const current = () => this.#released ? plain : model;
    return {
      get calls() {
        return current().calls;
      },
      read: (port) => current().read(port),
      write: (port, value) => current().write(port, value),
      readInto: (port, into) => current().readInto(port, into),
      run: () => current().run(),
      value: (read) => current().value(read),
    };
  }

  /** From now on ports are the kernel's. */
  release(): PortBatch {
    this.#released = true;
    return this.#plain;
  }
}

Deno.test("poll and interrupt allocate nothing", async () => {
  const clock = new FakeClock();
  useClock(clock);
  const bus = new BusMemory(0xf000_0000);
  const model = new FakePiix(clock, bus, [new FakeDrive({ sectors: 2 ** 47, fua: true })]);
  const device = new PlainPortDevice(model, bus, { bars: BARS, vectors: 2 });
  const { control, ring } = plainChannel(
    RING,
    (words, i) => words.set([...PATTERN[i % PATTERN.length], 0xf0000000 + i], i << 2),
  );
  const port: BlockPort = { queues: [ring], attach: () => {} };
  const state = await clock.settle(ide.bringUp(device, port));
  const batch = device.release();

  /** The kernel gives more requests, and the drive does each. */
  const step = () => {
    Atomics.add(control, CONTROL.SUBMITTED, PATTERN.length);
    ide.poll(state, 64);
    for (let i = 0; i < COMMANDS; i++) {
      ide.interrupt(state, 1);
      ide.poll(state, 64);
    }
  };
  for (let i = 0; i < 20_000; i++) step();
  const before = Atomics.load(control, CONTROL.COMPLETED);
  const calls = batch.calls;
  const grown = growth(step);
  const steps = ROUNDS * CALLS;
  assertEquals((Atomics.load(control, CONTROL.COMPLETED) - before) | 0, steps * REQUESTS);
  assertEquals(
    batch.calls - calls,
    steps * (2 * COMMANDS + 1),
    "a call to look and one to begin, and one to end the last",
  );
  assertNothingGrew(grown, { step });
});
