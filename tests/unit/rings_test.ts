import { assertEquals, assertStrictEquals } from "@std/assert";
import { CSUM, ENTRY, LAST } from "../../src/driver/mod.ts";
import { FakeChannel } from "../fakes/port.ts";

function submit(kernel: FakeChannel, count: number, first = 0): void {
  for (let i = 0; i < count; i++) {
    kernel.submit({ low: first + i, high: 5, lengthFlags: (LAST | 100) >>> 0, token: first + i });
  }
}

Deno.test("submissions are seen when the kernel shows them, in order", () => {
  const kernel = new FakeChannel(64);
  const ring = kernel.channel;
  submit(kernel, 3, 10);
  assertStrictEquals(ring.available(), 0);
  kernel.show();
  assertStrictEquals(kernel.seen, false);
  assertStrictEquals(ring.available(), 3);
  assertStrictEquals(kernel.seen, true);
  const ahead = ring.peek(2);
  const at = ring.take();
  assertEquals([...ring.submissions.subarray(at, at + 4)], [10, 5, (LAST | 100) >>> 0, 10]);
  ring.take();
  assertStrictEquals(ring.take(), ahead);
  assertStrictEquals(ring.available(), 0);
});

Deno.test("completions are seen when published, with token and flags unchanged", () => {
  const kernel = new FakeChannel(64);
  const ring = kernel.channel;
  submit(kernel, 2);
  kernel.show();
  ring.take();
  ring.complete(0xfffffffe, LAST | CSUM | 1500);
  assertEquals([...kernel.reap()], []);
  ring.publish();
  assertEquals([...kernel.reap()], [{ token: 0xfffffffe, lengthFlags: (LAST | CSUM | 1500) >>> 0 }]);
  assertEquals([...kernel.reap()], []);
});

Deno.test("rings wrap, full and empty, thousands of times", () => {
  const kernel = new FakeChannel(64);
  const ring = kernel.channel;
  let next = 0;
  for (let round = 0; round < 2000; round++) {
    const count = round % 65; // 64 fill it
    submit(kernel, count, next);
    kernel.show();
    assertStrictEquals(ring.available(), count);
    for (let i = 0; i < count; i++) {
      const token = ring.submissions[ring.take() + ENTRY.TOKEN];
      assertStrictEquals(token, next + i);
      ring.complete(token, i);
    }
    ring.publish();
    assertEquals(
      [...kernel.reap()].map(({ token }) => token),
      Array.from({ length: count }, (_, i) => next + i),
    );
    kernel.outstanding -= count;
    next += count;
  }
});
