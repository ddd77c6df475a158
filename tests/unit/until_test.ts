import { assert, assertEquals, assertRejects, assertStrictEquals, assertThrows } from "@std/assert";
import { buildFfi } from "../../src/build.ts";
import { DeviceError, every, sleep, until } from "../../src/driver/mod.ts";
import { LoopClock, takeStirred, useClock } from "../../src/driver/clock.ts";
import { driverTimers } from "../../src/host/timers.ts";
import { Grant, openLibrary } from "../../src/kernel/mod.ts";
import { FakeClock } from "../fakes/clock.ts";

function clock(): FakeClock {
  const fake = new FakeClock();
  useClock(fake);
  return fake;
}

Deno.test("until returns without a pause if the condition holds", async () => {
  const time = clock();
  await until(() => true, { ms: 20, what: "nothing" });
  assertEquals([time.now(), time.nextDueMs()], [0, Infinity]);
});

Deno.test("until looks again after 50 µs, then ever more slowly, at least every millisecond", async () => {
  const time = clock();
  const looks: number[] = [];
  await time.settle(until(() => (looks.push(time.now()), time.now() >= 5), { ms: 20, what: "5 ms" }));
  const pauses = looks.slice(1).map((at, i) => Math.round((at - looks[i]) * 1000));
  assertEquals(pauses.slice(0, 6), [50, 100, 200, 400, 800, 1000]);
  assertStrictEquals(Math.max(...pauses), 1000);
  assertStrictEquals(time.now() < 6.1, true);
});

Deno.test("until says what it awaited and for how long", async () => {
  const time = clock();
  const error = await assertRejects(
    () => time.settle(until(() => false, { ms: 20, what: "CTRL.RST to clear after reset" })),
    DeviceError,
  );
  assertStrictEquals(error.message, "Waited for CTRL.RST to clear after reset: gave up after 20 ms");
  assertStrictEquals(time.now() >= 20 && time.now() <= 21, true);
});

Deno.test("until looks once more after the deadline", async () => {
  const time = clock();
  let looks = 0;
  // The process is not scheduled for a second between its look and its clock.
  const condition = () => {
    looks++;
    if (looks === 1) time.skip(1000);
    return looks > 1;
  };
  await until(condition, { ms: 20, what: "the scheduler" });
  assertStrictEquals(looks, 2);
});

Deno.test("until passes on what the condition throws", async () => {
  clock();
  await assertRejects(
    () =>
      until(() => {
        throw new DeviceError("gone");
      }, { ms: 20, what: "x" }),
    DeviceError,
    "gone",
  );
});

Deno.test("sleep and every keep to the clock", async () => {
  const time = clock();
  const ticks: number[] = [];
  let slept = -1;
  const timer = every(10, () => ticks.push(time.now()));
  sleep(15).then(() => slept = time.now());
  await time.advance(9.9);
  assertEquals([ticks.length, slept], [0, -1]);
  await time.advance(25.2);
  assertEquals([ticks, slept], [[10, 20, 30], 15]);
  timer[Symbol.dispose]();
  await time.advance(100);
  assertStrictEquals(ticks.length, 3);
  assertThrows(() => every(0, () => {}), RangeError, "Cannot repeat every 0 ms");
});

Deno.test("every does not make up for what a busy loop missed", async () => {
  const time = clock();
  let ticks = 0;
  using _timer = every(10, () => ticks++);
  time.skip(1000);
  time.runDue();
  assertStrictEquals(ticks, 1);
  await time.advance(10);
  assertStrictEquals(ticks, 2);
});

Deno.test("every may be disposed from within, and a throw passes through runDue", () => {
  const time = clock();
  let ticks = 0;
  const once = every(1, () => {
    ticks++;
    once[Symbol.dispose]();
  });
  time.skip(5);
  time.runDue();
  time.skip(5);
  time.runDue();
  assertStrictEquals(ticks, 1);
  every(1, () => {
    throw new DeviceError("the device is gone");
  });
  time.skip(2);
  assertThrows(() => time.runDue(), DeviceError, "the device is gone");
});

Deno.test("a loop clock says how long the loop may block", () => {
  const loop = new LoopClock(() => 100);
  assertStrictEquals(loop.nextDueMs(), Infinity);
  assertStrictEquals(loop.nextDueUs(), Infinity);
  loop.sleep(7.0001);
  assertStrictEquals(loop.nextDueUs(), 7001);
  loop.sleep(7);
  const timer = loop.every(3, () => {});
  assertStrictEquals(loop.nextDueMs(), 3);
  timer[Symbol.dispose]();
  assertStrictEquals(loop.nextDueMs(), 7);
  loop.sleep(-1);
  assertStrictEquals(loop.nextDueMs(), 0);
  assertStrictEquals(loop.nextDueUs(), 0);
});

Deno.test("a loop clock runs on real time unless told otherwise", async () => {
  const loop = new LoopClock();
  let awake = false;
  loop.sleep(1).then(() => awake = true);
  loop.runDue();
  await null;
  assertStrictEquals(awake, false);
  while (loop.nextDueMs() > 0);
  loop.runDue();
  await null;
  assertStrictEquals(awake, true);
});

Deno.test("the clock of a grant counts milliseconds", async () => {
  const grant = new Grant(openLibrary(`${await buildFfi()}/libring3.so`), -1);
  const before = grant.now();
  const start = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 20));
  const passed = grant.now() - before;
  assert(passed >= performance.now() - start - 1 && passed < 5000, `${passed} ms`);
});

Deno.test("sleep, until and queueMicrotask tell the loop that promises may have to go on", async () => {
  const { queueMicrotask } = driverTimers();
  for (
    const stirs of [
      () => sleep(1),
      () => until(() => true, { ms: 1, what: "nothing" }),
      () => new Promise<void>((resolve) => queueMicrotask(resolve)),
    ]
  ) {
    const time = clock();
    assertEquals(takeStirred(), false);
    const done = stirs();
    assertEquals([takeStirred(), takeStirred()], [true, false]);
    await time.settle(done);
  }
});
