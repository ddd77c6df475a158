/** Stalls: which drivers the kernel gives up on, when, and which it leaves alone. */
import { assert, assertEquals } from "@std/assert";
import { ERRNO, uapi } from "../../../src/kernel/mod.ts";
import { claimWithPort, FakeDriver, frames, send, up } from "./fake_driver.ts";
import {
  assertErrno,
  Child,
  claimCard,
  eventually,
  grantOf,
  interrupt,
  libc,
  quiet,
  type RawClaim,
  type RawGrant,
  REG,
  runCases,
  sleep,
} from "./harness.ts";

const { EVENT } = uapi;

/** Stall limit of most cases, milliseconds. */
const LIMIT = 300;

/** How late an end may be. The promise is 100 ms; this is for a machine that others use too. */
const LATE = 2000;

/** Waits until the kernel has ended the grant as stalled, with these words and not before its time. */
async function assertStalls(
  claim: RawClaim,
  { text, since, limit = LIMIT }: { text: string; since: number; limit?: number },
): Promise<void> {
  await eventually(() => claim.status().live === 0, "the grant ends");
  const { end, text: said, ended_ns } = claim.status();
  assertEquals([end, said], [uapi.END.stalled, text]);
  const took = Number(ended_ns) / 1e6 - since;
  assert(took >= limit && took < limit + LATE, `ended ${took} ms after the work, with a limit of ${limit}`);
}

/** Whether a stall timer of the module's is armed. */
async function armed(): Promise<boolean> {
  return (await Deno.readTextFile("/proc/timer_list")).includes("r3_stall_expired");
}

/** Times that a process gave the processor up by itself: how often it was woken. */
async function switches(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(status)![1]);
}

/** A grant with the card's registers, the card quiet whatever the last driver left it at. */
function quietGrant(claim: RawClaim, stallMs = LIMIT): { grant: RawGrant; registers: Uint32Array } {
  const grant = grantOf(claim, { stallMs });
  const registers = grant.registers();
  registers[REG.IMC >> 2] = 0xffffffff;
  quiet(registers);
  return { grant, registers };
}

/** Starts a process that serves the grant, as its only holder but for this one. */
async function serve(grant: RawGrant): Promise<Child> {
  libc.setInherited(grant.fd);
  const child = new Child(["serve", grant.fd]);
  assertEquals(await child.line(), "waiting 0");
  await sleep(100);
  return child;
}

/** A driver that has taken what attaching gives it to do, on an interface that is up. */
async function idleDriver(claim: RawClaim, stallMs = LIMIT): Promise<FakeDriver> {
  // Bringing an interface up takes longer than a limit: it is left to a driver that has none.
  {
    using before = new FakeDriver(claim);
    await up(before);
  }
  const driver = new FakeDriver(claim, {}, { stallMs });
  driver.takeBuffers();
  for (;;) {
    const { result, events } = driver.grant.waitOnce({ timeout: 1000 });
    assertEquals(result, 0, claim.status().text);
    if (events & EVENT.TIMEOUT) return driver;
    driver.takeFrames();
  }
}

await runCases({
  "a driver that never waits again after its interrupt has stalled": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim);
    using _ = grant;
    interrupt(registers);
    const since = libc.monotonicMs();
    assertEquals(grant.waitOnce({ timeout: 1_000_000 }).events, EVENT.IRQ);
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms since it was told of an interrupt`, since });
    assertErrno(grant.waitOnce().result, "EKEYREVOKED");
  },

  "one that leaves an interrupt pending has stalled": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim);
    using _ = grant;
    assertEquals(grant.waitOnce({ timeout: 1000 }).events, EVENT.TIMEOUT);
    await sleep(2 * LIMIT);
    assertEquals(claim.status().live, 1, "without work it may do as it likes");
    const since = libc.monotonicMs();
    interrupt(registers);
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with interrupt 0 pending`, since });
  },

  "one that leaves a frame unsent has stalled, and the next carries it": async () => {
    using claim = claimWithPort();
    {
      using _driver = await idleDriver(claim);
      const since = libc.monotonicMs();
      await send(1);
      await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with frames to send pending`, since });
    }
    using next = await idleDriver(claim);
    await send(1);
    const [{ token }] = await frames(next, 1);
    next.tx.complete(token, 0);
    next.kick();
    const { ended_ns, attached_ns, carried_ns } = claim.status();
    assert(ended_ns < attached_ns && attached_ns < carried_ns, `${[ended_ns, attached_ns, carried_ns]}`);
  },

  "one that waits again and again and never looks has stalled": async () => {
    using claim = claimWithPort();
    using driver = await idleDriver(claim);
    const since = libc.monotonicMs();
    await send(1);
    await eventually(() => driver.grant.waitOnce().result < 0, "the grant ends");
    await assertStalls(claim, {
      text: `frames to send pending for ${LIMIT} ms, and no WAIT has seen them`,
      since,
    });
  },

  "one that leaves its receive buffers has stalled": async () => {
    using claim = claimWithPort();
    const since = libc.monotonicMs();
    using driver = new FakeDriver(claim, {}, { stallMs: LIMIT });
    driver.grant.waitOnce();
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with receive buffers pending`, since });
  },

  "one that does not come for a message has stalled": async () => {
    using claim = claimCard();
    using grant = grantOf(claim, { stallMs: LIMIT });
    grant.waitOnce();
    const since = libc.monotonicMs();
    claim.signal();
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with a message pending`, since });
  },

  "one that is stopped by SIGSTOP stalls once there is work, not before": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim);
    using _ = grant;
    const child = await serve(grant);
    child.process.kill("SIGSTOP");
    await sleep(2 * LIMIT);
    assertEquals(claim.status().live, 1);
    const since = libc.monotonicMs();
    interrupt(registers);
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with interrupt 0 pending`, since });
    child.process.kill("SIGCONT");
    assertEquals(await child.line(), `wait -${ERRNO.EKEYREVOKED}`);
    assertEquals(await child.end(), 0);
  },

  "one that comes up is not waited for yet": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim, {}, { stallMs: LIMIT });
    claim.signal();
    assertEquals(await armed(), false);
    await sleep(3 * LIMIT);
    assertEquals(claim.status().live, 1, claim.status().text);
    const since = libc.monotonicMs();
    driver.grant.waitOnce();
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with receive buffers pending`, since });
  },

  "a limit of 0 is none": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim, 0);
    using _ = grant;
    interrupt(registers);
    assertEquals(grant.waitOnce({ timeout: 1_000_000 }).events, EVENT.IRQ);
    claim.signal();
    assertEquals(await armed(), false);
    await sleep(1000);
    assertEquals(claim.status().live, 1);
  },

  "the longest limit is taken, and its timer ends with the grant": async () => {
    using claim = claimCard();
    using grant = grantOf(claim, { stallMs: uapi.MAX_STALL_MS });
    grant.waitOnce();
    assertEquals(await armed(), false, "there is no work yet");
    claim.signal();
    assertEquals(await armed(), true);
    claim.revoke();
    assertEquals(await armed(), false);
  },

  "a driver that has nothing to do sleeps on, with no timer armed and not one wake-up": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim);
    using _ = grant;
    const child = await serve(grant);
    claim.signal();
    await eventually(() => claim.status().wakeups_total === 1n, "the driver comes for its message");
    interrupt(registers);
    quiet(registers);
    await sleep(3 * LIMIT);
    assertEquals(await armed(), false, "the timer looks once more and goes");
    const before = { switches: await switches(child.process.pid), ...claim.status() };
    await sleep(10_000);
    const after = { switches: await switches(child.process.pid), ...claim.status() };
    assertEquals(after, before);
    assertEquals(after.live, 1);
    claim.revoke();
    assertEquals(await child.line(), `wait -${ERRNO.EKEYREVOKED}`);
    await child.end();
  },

  "a driver that is slow but comes back in time is left alone": async () => {
    using claim = claimWithPort();
    const limit = 1000;
    using driver = await idleDriver(claim, limit);
    for (let i = 0; i < 8; i++) {
      await send(1);
      await sleep(limit / 2);
      assertEquals(driver.grant.waitOnce().events & EVENT.PORT, EVENT.PORT);
      for (const { token } of driver.takeFrames()) driver.tx.complete(token, 0);
      driver.kick();
    }
    assertEquals(claim.status().live, 1, claim.status().text);
  },

  "so is one whose work always comes just as it goes to sleep": async () => {
    using claim = claimCard();
    using grant = quietGrant(claim).grant;
    const child = await serve(grant);
    const end = performance.now() + 10 * LIMIT;
    while (performance.now() < end) {
      claim.signal();
      await sleep(LIMIT / 3);
    }
    assertEquals(claim.status().live, 1, claim.status().text);
    claim.revoke();
    await child.end();
  },

  "reading the IRQ file is taking the interrupt": async () => {
    using claim = claimCard();
    const { grant, registers } = quietGrant(claim);
    using _ = grant;
    const irq = grant.irqFile();
    for (let i = 0; i < 4; i++) {
      const reading = libc.readWaiting(irq);
      interrupt(registers);
      assertEquals((await reading).result, 8);
      quiet(registers);
      await sleep(LIMIT / 2);
    }
    await sleep(2 * LIMIT);
    assertEquals(claim.status().live, 1, claim.status().text);
    assertEquals(await armed(), false);
    const reading = libc.readWaiting(irq);
    interrupt(registers);
    await reading;
    const since = libc.monotonicMs();
    assertEquals(libc.poll(irq, { ms: 1000 }), libc.POLL.IN, "still asserted, which polling found");
    await assertStalls(claim, { text: `no WAIT for ${LIMIT} ms with interrupt 0 pending`, since });
  },
});
