/** What the kernel keeps of a driver's death and of the next one's start: times, and the rings' counters. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { LAST } from "../../../src/driver/rings.ts";
import { KernelError } from "../../../src/kernel/mod.ts";
import { claimWithPort, FakeDriver, frames, REPORT, RING, send, sysfs, up } from "./fake_driver.ts";
import { assertErrno, claimCard, grantOf, libc, type RawClaim, runCases } from "./harness.ts";

/** STATUS' times, milliseconds. */
function times(claim: RawClaim): { ended: number; attached: number; carried: number } {
  const { ended_ns, attached_ns, carried_ns } = claim.status();
  const ms = (ns: bigint) => Number(ns) / 1e6;
  return { ended: ms(ended_ns), attached: ms(attached_ns), carried: ms(carried_ns) };
}

/** Fails unless each is later than the one before it. */
function assertRising(values: number[]): void {
  for (let i = 1; i < values.length; i++) assert(values[i - 1] < values[i], `not rising: ${values}`);
}

/** Has one frame sent. */
async function sendOne(driver: FakeDriver): Promise<void> {
  await send(1);
  for (const { token } of await frames(driver, 1)) driver.tx.complete(token, 0);
  driver.kick();
}

await runCases({
  "the times of an end, an attach and a first frame rise in that order": async () => {
    using claim = claimWithPort();
    const start = libc.monotonicMs();
    const first = new FakeDriver(claim);
    const attached = times(claim);
    assertEquals([attached.ended, attached.carried], [0, 0]);
    await up(first);
    assertEquals(times(claim), attached, "no frame yet");
    await sendOne(first);
    const { carried } = times(claim);
    assertRising([start, attached.attached, carried, libc.monotonicMs()]);
    await sendOne(first);
    assertEquals(times(claim).carried, carried, "only the first counts");

    const killed = libc.monotonicMs();
    first[Symbol.dispose]();
    const { ended } = times(claim);
    assertRising([killed, ended, libc.monotonicMs()]);
    assertEquals(times(claim), { ended, attached: attached.attached, carried });

    {
      using _grant = grantOf(claim);
      assertEquals(times(claim), { ended, attached: 0, carried: 0 }, "a new grant begins anew");
    }
    const between = times(claim).ended;
    using second = new FakeDriver(claim);
    second.rx.complete(second.takeBuffers()[0], 60 | LAST);
    second.kick();
    const last = times(claim);
    assertRising([ended, between, last.attached, last.carried, libc.monotonicMs()]);
    assertEquals(last.ended, between);
  },

  "a frame that the driver says was not sent, or drops, is not carried": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    driver.rx.complete(driver.takeBuffers()[0], 13 | LAST);
    driver.kick();
    assertEquals(times(claim).carried, 0);
  },

  "a grant that is refused is no end": () => {
    using claim = claimCard();
    assertThrows(() => grantOf(claim, { irqs: 2 }), KernelError);
    assertEquals(times(claim), { ended: 0, attached: 0, carried: 0 });
  },

  "CHANNELS tells the rings' counters while a driver lives and when it has ended": async () => {
    using claim = claimWithPort();
    assertErrno(-assertThrows(() => claim.channels(), KernelError).errno, "ENOENT");
    const driver = new FakeDriver(claim);
    const empty = { size: RING, submitted: 0, seen: 0, completed: 0, reaped: 0 };
    assertEquals(claim.channels(), [
      { ...empty, kind: "transmit" },
      { ...empty, kind: "receive", submitted: RING },
    ]);
    await up(driver);
    await send(3);
    const sent = await frames(driver, 3);
    driver.tx.complete(sent[0].token, 0);
    driver.kick();
    driver.tx.complete(sent[1].token, 0);
    driver.tx.publish();
    const [token] = driver.takeBuffers();
    driver.rx.complete(token, 60 | LAST);
    driver.rx.publish();
    const expected = [
      { kind: "transmit", size: RING, submitted: 3, seen: 3, completed: 2, reaped: 1 },
      { kind: "receive", size: RING, submitted: RING, seen: RING, completed: 1, reaped: 0 },
    ];
    assertEquals(claim.channels() as unknown[], expected);
    driver[Symbol.dispose]();
    assertEquals(claim.channels() as unknown[], expected);
    assertThrows(() => grantOf(claim, { irqs: 2 }), KernelError);
    assertEquals(claim.channels() as unknown[], expected, "a refused grant changes nothing");
    using _next = grantOf(claim);
    assertEquals(claim.channels().map(({ submitted }) => submitted), [0, 0], "the live one's come first");
  },

  "PORT_DOWN takes the link of a port that nobody serves, and the next driver brings it up": async () => {
    {
      using claim = claimCard();
      assertEquals(claim.portDown(), false, "without a port there is nothing to take down");
    }
    using claim = claimWithPort();
    assertEquals(claim.portDown(), true, "before the first driver it is down");
    {
      using driver = new FakeDriver(claim);
      await up(driver);
      assertEquals(await sysfs("carrier"), "1");
      assertErrno(-assertThrows(() => claim.portDown(), KernelError).errno, "EBUSY");
    }
    assertEquals(await sysfs("carrier"), "1", "it outlives its driver");
    assertEquals(claim.portDown(), true);
    assertEquals(await sysfs("carrier"), "0");
    await send(3);
    using driver = new FakeDriver(claim);
    assertEquals(await sysfs("carrier"), "0", "attached, it has not said yet that there is a link");
    driver.grant.reportNet(REPORT);
    assertEquals(await sysfs("carrier"), "1");
    await sendOne(driver);
  },

  "a grant without a port has no channels": () => {
    using claim = claimCard();
    {
      using _grant = grantOf(claim);
      assertErrno(-assertThrows(() => claim.channels(), KernelError).errno, "ENOENT");
    }
    assertErrno(-assertThrows(() => claim.channels(), KernelError).errno, "ENOENT");
  },
});
