/** The benchmark of wake-ups: what it makes of times, its driver, and its programs as far as they run without a device. */
import { assert, assertAlmostEquals, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import edu from "../../bench/drivers/edu/driver.ts";
import { REG, WORD } from "../../bench/drivers/edu/registers.ts";
import {
  benchWakeup,
  formatWakeupBench,
  plotWakeupBench,
  type SideName,
  summarize,
  type Turn,
  type WakeupBench,
} from "../../bench/wakeup.ts";
import { buildBench } from "../../src/build.ts";
import { useClock } from "../../src/driver/clock.ts";
import { UserError } from "../../src/error.ts";
import { DEFAULT_HARDWARE } from "../../src/lab/mod.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeDevice } from "../fakes/device.ts";
import { BusMemory } from "../fakes/dma.ts";
import { FakePort } from "../fakes/port.ts";
import { FakeHardware } from "../fakes/registers.ts";
import { COMPARISON } from "./figures.ts";

const COUNT = 10_000;

/** Times of 1 to 10,000 times `unit` nanoseconds, the longest of which came while garbage was made. */
function turn(unit: number): Turn {
  return {
    ns: Array.from({ length: COUNT }, (_, index) => (COUNT - index) * unit),
    busy: [0],
    seconds: 10,
    cpu_ns: COUNT * 30_000,
    main_ns: COUNT * 20_000,
    waited_ns: COUNT * 1000,
    switches: COUNT,
    lots: 1000,
    took_us: 200_000,
    longest_us: 4000,
  };
}

const TURNS: Record<SideName, Turn[]> = {
  wait: [turn(90), turn(90)],
  read: [turn(100), turn(100)],
  ring3: [turn(100), turn(150)],
  garbage: [turn(300), turn(500)],
};

const RESULT: WakeupBench = {
  bench: "wakeup",
  ...COMPARISON,
  rounds: 2,
  interrupts: COUNT,
  ...summarize(TURNS),
};

Deno.test("times are told by their quantiles, round by round and together, and beside C's of the same round", () => {
  const { sides, garbage } = summarize(TURNS);
  assertEquals(sides.read.times.p50, { min: 500, median: 500, max: 500 });
  assertEquals(sides.ring3.times.p9999, { min: 999.9, median: 1249.875, max: 1499.85 });
  assertEquals(sides.ring3.ratio.p999, { min: 1, median: 1.25, max: 1.5 });
  assertEquals(sides.garbage.all.max, 5000);
  assertEquals(sides.ring3.all.p50, 600);
  assertEquals([sides.read.cpu.median, sides.read.main.median, sides.read.waited.median], [30, 20, 1]);
  assertEquals(sides.read.sleeps.median, 1);
  assertEquals([garbage.lots, garbage.mean, garbage.longest, garbage.share], [2000, 0.2, 4, 0.02]);
  assertAlmostEquals(garbage.met, 1 / COUNT);
  assertEquals(garbage.others.max, 0.5 * (COUNT - 1), "without the one that came while garbage was made");
});

Deno.test("a tail goes down to one of all, in no more points than can be seen", () => {
  const { tail } = summarize(TURNS).sides.read;
  assert(tail.length > 100 && tail.length < 1000, `${tail.length} points`);
  assertEquals(tail[0][1], 1);
  // Both rounds had each time once: the last share is of two of 20,000.
  assertEquals(tail.at(-1), [999.9, 2 / (2 * COUNT)]);
  assert(tail.every(([us, share], i) => i === 0 || us > tail[i - 1][0] - 1e-9 && share < tail[i - 1][1]));
});

Deno.test("wake-ups are tables of all sides, with what became of the goal and what went wrong", () => {
  const text = formatWakeupBench(RESULT);
  assertStringIncludes(text, "medians of 2 rounds in one boot, 10,000 interrupts each");
  assertStringIncludes(text, "ring3: p99.9 is 1.25 times C's, within the goal of 2.");
  assertStringIncludes(text, "ring3 with garbage: p99.9 is 4.00 times C's, above the goal of 2.");
  assertStringIncludes(text, "1249 (999–1499)");
  assertStringIncludes(text, "1.25 (1.00–1.50)");
  assertStringIncludes(
    text,
    "2000 lots, one every 10 ms; one took 0.20 ms, the longest 4.0 ms, all of them 2.0 %",
  );
  assertStringIncludes(text, "0.01 % of the interrupts came during one.");
  assert(text.endsWith("\nring3's driver ended"));
  assertStringIncludes(plotWakeupBench(RESULT), "C in read()");
});

Deno.test("on one processor nobody could raise interrupts, which is said before a lab is booted", async () => {
  const options = {
    hardware: { ...DEFAULT_HARDWARE, smp: 1 },
    yes: false,
    progress: () => {},
    signal: new AbortController().signal,
  };
  await assertRejects(
    () => benchWakeup({ ...options, rounds: 1, interrupts: 1, warm: 0, first: 0 }),
    UserError,
    "--smp 2",
  );
});

/** Its registers, its memory, and what it attached to. */
async function rig() {
  const clock = new FakeClock();
  useClock(clock);
  const bus = new BusMemory();
  const hardware = Object.assign(new FakeHardware(), { busMaster: false });
  const device = new FakeDevice(hardware, bus);
  const port = new FakePort(bus);
  hardware.values.set(REG.STATUS.offset, 5);
  const state = await clock.settle(edu.bringUp(device, port));
  return { clock, hardware, port, state, words: state.words };
}

Deno.test("the driver quiets its device, says that it was woken before all else, and quiets it again", async () => {
  const { hardware, port, state, words } = await rig();
  assertEquals(hardware.values.get(REG.ACKNOWLEDGE.offset), 5);
  assertEquals([hardware.busMaster, port.attached?.maxMtu], [true, 1500]);
  let answered: number | undefined;
  hardware.onLoad.set(REG.STATUS.offset, () => answered ??= words[WORD.ANSWER]);
  hardware.values.set(REG.STATUS.offset, 1);
  edu.interrupt(state, 1);
  assertEquals([answered, words[WORD.ANSWER]], [1, 1], "before it touched a register");
  assertEquals(hardware.values.get(REG.ACKNOWLEDGE.offset), 1);
  port.fill();
  assertEquals([edu.poll(state, 64), port.idle], [false, true]);
});

Deno.test("the driver makes garbage when asked to at an interrupt, and no more when asked again", async () => {
  const { clock, state, words } = await rig();
  words[WORD.GARBAGE] = 10;
  assertEquals(clock.nextDueMs(), Infinity);
  edu.interrupt(state, 1);
  await clock.advance(35);
  assertEquals([words[WORD.LOTS], words[WORD.BUSY]], [3, 0]);
  assert(words[WORD.TOOK] >= words[WORD.LONGEST]);
  words[WORD.GARBAGE] = 0;
  edu.interrupt(state, 1);
  await clock.advance(100);
  assertEquals([words[WORD.LOTS], clock.nextDueMs()], [3, Infinity]);
});

Deno.test("the driver in C, and what raises, know the registers and words by the same numbers", async () => {
  const text = await Deno.readTextFile(new URL("../../bench/inside/wakeup.h", import.meta.url));
  const defined = Object.fromEntries(
    [...text.matchAll(/^#define (REG|WORD)_(\w+)\s+\(?(\w+)/gm)].map(([, kind, name, value]) => [
      `${kind}.${name}`,
      Number(value),
    ]),
  );
  assertEquals(defined, {
    "REG.STATUS": REG.STATUS.offset,
    "REG.RAISE": REG.RAISE.offset,
    "REG.ACKNOWLEDGE": REG.ACKNOWLEDGE.offset,
    ...Object.fromEntries(Object.entries(WORD).map(([name, word]) => [`WORD.${name}`, word])),
  });
});

Deno.test("the programs say what they take, and what is not there", async () => {
  const built = await buildBench();
  const run = async (program: string, ...args: string[]) => {
    const { code, stderr } = await new Deno.Command(`${built}/${program}`, { args }).output();
    return [code, new TextDecoder().decode(stderr)];
  };
  assertEquals(await run("wait"), [64, "usage: wait ADDRESS wait|read\n"]);
  assertEquals(await run("raise"), [64, "usage: raise PID CPU WARM COUNT GARBAGE\n"]);
  assertEquals(await run("raise", `${Deno.pid}`, "0", "0", "1", "0"), [
    1,
    "raise: the process has no grant\n",
  ]);
});
