/** WAIT: what ends it, and that nothing else does. */
import { assert, assertEquals } from "@std/assert";
import { ERRNO, uapi } from "../../../src/kernel/mod.ts";
import {
  assertErrno,
  Child,
  claimCard,
  eventually,
  grantOf,
  interrupt,
  libc,
  quiet,
  runCases,
  sleep,
} from "./harness.ts";

const { EVENT } = uapi;

/** The longest that WAIT looks for work before it sleeps, microseconds. */
const LIMIT = "/sys/module/ring3/parameters/busy_poll_us";

await runCases({
  "a zero timeout looks and does not sleep": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const before = performance.now();
    for (let i = 0; i < 100; i++) assertEquals(grant.waitOnce(), { result: 0, events: 0, irqs: 0 });
    assert(performance.now() - before < 1000, "100 looks took more than a second");
    const { waits_total, wakeups_total } = claim.status();
    assertEquals([Number(waits_total), Number(wakeups_total)], [100, 0]);
  },

  "a timeout ends it, not before its time": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const before = performance.now();
    assertEquals(grant.waitOnce({ timeout: 100_000 }), { result: 0, events: EVENT.TIMEOUT, irqs: 0 });
    const took = performance.now() - before;
    assert(took >= 99 && took < 1000, `${took} ms`);
    assertEquals(claim.status().wakeups_total, 0n);
  },

  "SIGNAL ends it, and one that came before is not lost": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const waiting = grant.waitForever();
    await sleep(50);
    claim.signal();
    assertEquals(await waiting, { result: 0, events: EVENT.SIGNAL, irqs: 0 });
    claim.signal();
    claim.signal();
    assertEquals(grant.waitOnce({ timeout: uapi.WAIT_FOREVER }).events, EVENT.SIGNAL);
    assertEquals(grant.waitOnce().events, 0, "two signals that nobody waited for are one");
  },

  "REVOKE ends it": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const waiting = grant.waitForever();
    await sleep(50);
    claim.revoke();
    assertErrno((await waiting).result, "EKEYREVOKED");
  },

  "closing the claim ends it": async () => {
    const claim = claimCard();
    using grant = grantOf(claim);
    const waiting = grant.waitForever();
    await sleep(50);
    claim[Symbol.dispose]();
    assertErrno((await waiting).result, "EKEYREVOKED");
  },

  "an interrupt ends it, and is masked until the next": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const registers = grant.registers();
    const waiting = grant.waitForever();
    await sleep(50);
    interrupt(registers);
    assertEquals(await waiting, { result: 0, events: EVENT.IRQ, irqs: 1 });
    await sleep(50);
    assertEquals(claim.status().irqs_total, 1n);
    assertEquals(grant.waitOnce().events, 0, "a look does not unmask");
    assertEquals(grant.waitOnce({ timeout: 1000 }).events, EVENT.IRQ, "still asserted");
    quiet(registers);
    assertEquals(grant.waitOnce({ timeout: 1000 }).events, EVENT.TIMEOUT);
    assert(claim.status().wakeups_total >= 1n);
  },

  "a signal of the system's ends it with EINTR": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const child = new Child(["wait", grant.fd]);
    assertEquals(await child.line(), `wait -${ERRNO.EINTR}`);
    assertEquals(await child.end(), 0);
  },

  "two threads that wait are both ended by REVOKE": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const waiting = [grant.waitForever(), grant.waitForever()];
    await sleep(50);
    claim.revoke();
    for (const { result } of await Promise.all(waiting)) assertErrno(result, "EKEYREVOKED");
  },

  "work that comes soon is looked for, and long waits are slept through": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const COUNT = 500;
    /** How often it sleeps while messages come soon after it has begun to wait. */
    const sleeps = async (busyPollUs: number) => {
      await Deno.writeTextFile(LIMIT, `${busyPollUs}`);
      const before = claim.status().wakeups_total;
      assertEquals(libc.waitForSignals(grant.fd, claim.fd, COUNT), 0);
      return Number(claim.status().wakeups_total - before);
    };
    const usual = await Deno.readTextFile(LIMIT);
    const without = await sleeps(0);
    const looking = await sleeps(1000);
    await Deno.writeTextFile(LIMIT, usual);
    // A message may come before it sleeps, or take longer than it may look.
    assert(without > COUNT / 2 && looking < without / 2, `${without} without, ${looking} with, of ${COUNT}`);
    // Looking goes on for no longer than it may: both of these end in time.
    assertEquals(grant.waitOnce({ timeout: 100 }).events, EVENT.TIMEOUT);
    assertEquals(grant.waitOnce({ timeout: 20_000 }).events, EVENT.TIMEOUT);
  },

  "a kick of a channel that is not there is EINVAL": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    for (const kick of [1, 4, 0x80000000]) assertErrno(grant.waitOnce({ kick }).result, "EINVAL", `${kick}`);
  },

  "the end of the process that has mapped a grant ends it, whoever else holds it": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const child = new Child(["touch", grant.fd, grant.info().window[0].mmap_offset, 4096]);
    await child.line();
    const waiting = grant.waitForever();
    assertEquals(claim.status().live, 1);
    child.process.kill("SIGKILL");
    assertErrno((await waiting).result, "EKEYREVOKED");
    assertEquals(await child.end(), "SIGKILL");
    await eventually(() => claim.status().live === 0, "the grant ends");
    assertEquals(claim.status().end, uapi.END.released);
  },

  "a killed process leaves no grant, whatever it waited for": async () => {
    using claim = claimCard();
    const grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const child = new Child(["touch", grant.fd, grant.info().window[0].mmap_offset, 4096]);
    await child.line();
    grant[Symbol.dispose]();
    assertEquals(claim.status().live, 1);
    child.process.kill("SIGKILL");
    assertEquals(await child.end(), "SIGKILL");
    await eventually(() => claim.status().live === 0, "the grant ends");
    assertEquals(claim.status().end, uapi.END.released);
  },
});
