/** The network port, with drivers that have no device: what they may say, and what happens when they lie. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ERROR, LAST, LENGTH_MASK } from "../../../src/driver/rings.ts";
import { KernelError, uapi } from "../../../src/kernel/mod.ts";
import {
  ATTACH,
  claimWithPort,
  FakeDriver,
  frames,
  ip,
  MAC,
  REPORT,
  RING,
  RX,
  send,
  statistic,
  sysfs,
  TX,
  up,
} from "./fake_driver.ts";
import {
  assertErrno,
  type CallLayout,
  claimCard,
  eventually,
  grantOf,
  library,
  raw,
  type RawClaim,
  type RawGrant,
  runCases,
  sleep,
} from "./harness.ts";

const { EVENT, NET_FEATURE, NET_FLAG } = uapi;

/** Bytes of a receive buffer, and of the longest frame: in as many as the kernel's packets have pieces. */
const BUFFER = 2048;
const LONGEST = 17 * BUFFER;

/** Lies, one for each rule that a completion can break; each gets a driver that has traffic. */
const LIES: Record<string, { words: string; tell: (driver: FakeDriver) => void | Promise<void> }> = {
  "a transmit token that was never given": {
    words: "transmit ring",
    tell: (driver) => driver.tx.complete(0, 0),
  },
  "a transmit token with another sequence": {
    words: "transmit ring",
    async tell(driver) {
      await send(1);
      const [{ token }] = await frames(driver, 1);
      driver.tx.complete(token ^ 0x10000, 0);
    },
  },
  "a transmit token past all ids": {
    words: "transmit ring",
    tell: (driver) => driver.tx.complete(0xffff, 0),
  },
  "a frame that is completed twice": {
    words: "transmit ring",
    async tell(driver) {
      await send(1);
      const [{ token }] = await frames(driver, 1);
      driver.tx.complete(token, 0);
      driver.tx.complete(token, 0);
    },
  },
  "a transmit counter that jumps by more than the ring": {
    words: "transmit ring",
    tell: (driver) => driver.claimCompleted(TX, RING + 1),
  },
  "a transmit counter that goes back": {
    words: "transmit ring",
    tell: (driver) => driver.claimCompleted(TX, -1),
  },
  "a receive token with another sequence": {
    words: "receive ring",
    tell: (driver) => driver.rx.complete(driver.takeBuffers()[0] ^ 0x10000, 100 | LAST),
  },
  "a receive token past all buffers": {
    words: "receive ring",
    tell: (driver) => driver.rx.complete(0xffff, 100 | LAST),
  },
  "a receive buffer that is completed twice": {
    words: "receive ring",
    tell(driver) {
      const [token] = driver.takeBuffers();
      driver.rx.complete(token, 100 | LAST);
      driver.rx.complete(token, 100 | LAST);
    },
  },
  "a receive length over the buffer": {
    words: "receive ring",
    tell: (driver) => driver.rx.complete(driver.takeBuffers()[0], BUFFER + 1 | LAST),
  },
  "the largest receive length": {
    words: "receive ring",
    tell: (driver) => driver.rx.complete(driver.takeBuffers()[0], LENGTH_MASK | LAST),
  },
  "a receive counter that jumps by more than the ring": {
    words: "receive ring",
    tell: (driver) => driver.claimCompleted(RX, RING + 1),
  },
};

/** Tells a lie, sees the grant end of it, and another driver carry on. */
async function lie({ words, tell }: (typeof LIES)[string]): Promise<void> {
  using claim = claimWithPort();
  {
    using driver = new FakeDriver(claim);
    await up(driver);
    await tell(driver);
    driver.kick();
    await eventually(() => claim.status().live === 0, "the grant ends");
    const { end, text, counters } = claim.status();
    assertEquals(end, uapi.END.protocol);
    assertStringIncludes(text, words);
    assertEquals(counters.tx_frames, 0);
    assertErrno(driver.grant.waitOnce().result, "EKEYREVOKED");
  }
  assertEquals(await sysfs("carrier"), "1", "the interface is still there");
  using next = new FakeDriver(claim);
  next.grant.reportNet(REPORT);
  await send(1);
  const [{ token }] = await frames(next, 1);
  const sent = await statistic("tx_packets");
  next.tx.complete(token, 0);
  next.kick();
  await eventually(async () => await statistic("tx_packets") === sent + 1, "the frame is counted");
}

/** PORT_ATTACH with these values; 0 or -errno. */
function attachResult(grant: RawGrant, values: Record<string, unknown>): number {
  return raw(grant.fd, uapi.CALL.PORT_ATTACH, {
    layout: uapi.PORT_ATTACH_NET,
    values: { kind: uapi.PORT_KIND.net, net: ATTACH, ...values },
  }).result;
}

/**
 * Whether a driver that waits as it should keeps its grant for so long, milliseconds. It has seen what there is: of
 * rings nothing is touched when the grant may end.
 */
async function lasts(claim: RawClaim, { grant }: FakeDriver, ms: number): Promise<boolean> {
  for (const end = performance.now() + ms; performance.now() < end && claim.status().live === 1;) {
    grant.waitOnce({ timeout: 20_000 });
    await sleep(10);
  }
  return claim.status().live === 1;
}

await runCases({
  "attaching with values out of range is EINVAL, in words": () => {
    using claim = claimWithPort();
    using grant = grantOf(claim);
    const wrong: Record<string, Partial<typeof ATTACH>> = {
      "a zero address": { mac: new Uint8Array(6) },
      "a multicast address": { mac: new Uint8Array([1, 0, 0, 0, 0, 1]) },
      "an MTU below 68": { max_mtu: 67 },
      "an MTU whose frames no packet can hold": { max_mtu: LONGEST - 14 + 1 },
      "no segments": { max_segments: 0 },
      "19 segments": { max_segments: 19 },
      "an unknown feature": { features: 1 << 4 },
      "segmentation without checksums": { features: NET_FEATURE.TSO4 },
      "a reserved field": { reserved: 1 },
    };
    for (const [what, values] of Object.entries(wrong)) {
      assertErrno(attachResult(grant, { net: { ...ATTACH, ...values } }), "EINVAL", what);
      assertStringIncludes(claim.status().text, "out of range", what);
    }
    assertErrno(attachResult(grant, { kind: 0 }), "EINVAL");
    assertErrno(attachResult(grant, { kind: 2 }), "EINVAL");
    assertEquals(attachResult(grant, {}), 0);
    assertErrno(attachResult(grant, {}), "EALREADY");
  },

  "reserved fields of attach and report, and what follows their values, must be zero": () => {
    using claim = claimWithPort();
    using grant = grantOf(claim);
    const call = (number: number, { layout, net }: { layout: CallLayout; net: unknown }) => {
      const bytes = layout.encode({ argsz: layout.size, kind: uapi.PORT_KIND.net, net });
      bytes[bytes.length - 1] = 1;
      return library.r3_call(grant.fd, number, bytes);
    };
    const { PORT_ATTACH, PORT_REPORT } = uapi.CALL;
    assertErrno(attachResult(grant, { reserved: 1 }), "EINVAL");
    assertErrno(call(PORT_ATTACH, { layout: uapi.PORT_ATTACH_NET, net: ATTACH }), "EINVAL");
    assertEquals(attachResult(grant, {}), 0);
    assertErrno(call(PORT_REPORT, { layout: uapi.PORT_REPORT_NET, net: REPORT }), "EINVAL");
    const values = { kind: uapi.PORT_KIND.net, reserved: 1, net: REPORT };
    assertErrno(raw(grant.fd, PORT_REPORT, { layout: uapi.PORT_REPORT_NET, values }).result, "EINVAL");
  },

  "before attaching there is no configuration and no report": () => {
    using claim = claimWithPort();
    using grant = grantOf(claim);
    assertThrows(() => grant.configNet(), KernelError);
    assertThrows(() => grant.reportNet(REPORT), KernelError);
  },

  "a grant without a port cannot attach": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    assertErrno(attachResult(grant, {}), "ENOENT");
    assertStringIncludes(claim.status().text, "grants no port");
  },

  "a report out of range is EINVAL": () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    for (const wrong of [{ link: 2 }, { full_duplex: 2 }, { reserved: 1 }]) {
      assertThrows(() => driver.grant.reportNet({ ...REPORT, ...wrong }), KernelError);
    }
  },

  "a name that is taken is refused at attach, and the port can be made again": async () => {
    {
      using claim = claimWithPort({ name: "lo" });
      using grant = grantOf(claim);
      for (let i = 0; i < 2; i++) assertErrno(attachResult(grant, {}), "EEXIST");
      assertStringIncludes(claim.status().text, "interface lo cannot be made");
    }
    using claim = claimWithPort();
    using _driver = new FakeDriver(claim);
    assertEquals(await sysfs("operstate"), "down");
  },

  "the interface's settings are those of the driver's device": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim, { max_mtu: 1000, features: 0xf });
    const config = driver.grant.configNet();
    assertEquals([config.mac, config.mtu, config.features], [MAC, 1000, 0xf]);
    assertEquals(await sysfs("mtu"), "1000");
    assertEquals(config.flags & NET_FLAG.UP, 0);
  },

  "a driver that can do less is asked for less, and one that can do more for more": async () => {
    using claim = claimWithPort();
    new FakeDriver(claim, { features: 0xf, max_mtu: 9000 })[Symbol.dispose]();
    await ip("link", "set", "r3t0", "mtu", "9000");
    for (const [features, mtu] of [[0, 1500], [0xf, 1500], [NET_FEATURE.TX_CSUM, 1500]]) {
      using driver = new FakeDriver(claim, { features, max_mtu: mtu });
      const config = driver.grant.configNet();
      assertEquals([config.features, config.mtu], [features, mtu]);
    }
    const { stdout } = await new Deno.Command("ethtool", { args: ["-k", "r3t0"] }).output();
    const gro = new TextDecoder().decode(stdout).split("\n").find((line) =>
      line.startsWith("generic-receive")
    );
    assertEquals(gro, "generic-receive-offload: on");
  },

  "changes of configuration are told once": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    assertEquals(driver.grant.waitOnce().events & EVENT.CONFIG, EVENT.CONFIG, "replayed at attach");
    assertEquals(driver.grant.waitOnce().events & EVENT.CONFIG, 0);
    await up(driver);
    assertEquals(driver.grant.waitOnce({ timeout: 1_000_000 }).events & EVENT.CONFIG, EVENT.CONFIG);
    assertEquals(driver.grant.configNet().flags, NET_FLAG.UP);
    await ip("link", "set", "r3t0", "promisc", "on");
    assertEquals(driver.grant.configNet().flags, NET_FLAG.UP | NET_FLAG.PROMISC);
    await ip("link", "set", "r3t0", "promisc", "off");
    for (let i = 0; i < 65; i++) {
      await ip("maddress", "add", `33:33:00:00:01:${i.toString(16).padStart(2, "0")}`, "dev", "r3t0");
    }
    const config = driver.grant.configNet();
    assertEquals([config.flags, config.multicasts], [NET_FLAG.UP | NET_FLAG.ALLMULTI, 0]);
  },

  "frames go out and come back completed": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    await send(3, 200);
    const sent = await frames(driver, 3);
    assertEquals(sent.map(({ length }) => length), [242, 242, 242]);
    if (claim.status().iommu === 1) {
      // In buffers of the port's, two to a page, rather than where they were.
      for (const { addresses } of sent) assertEquals(addresses.map((address) => address % 2048), [0]);
    }
    assertEquals(claim.status().counters.tx_frames, 3);
    driver.tx.complete(sent[1].token, 0);
    driver.tx.complete(sent[0].token, ERROR);
    driver.tx.complete(sent[2].token, 0);
    driver.kick();
    assertEquals(claim.status().counters.tx_frames, 0);
    assertEquals(await statistic("tx_packets"), 2);
    assertEquals(await statistic("tx_errors"), 1);
  },

  "received frames are counted, bad ones dropped, and the buffers posted again": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    const buffers = driver.takeBuffers();
    assertEquals(buffers.length, RING);
    const complete = (flags: number) => driver.rx.complete(buffers.shift()!, flags);
    complete(60 | LAST); // whole and small
    complete(1514 | LAST); // whole and large
    complete(BUFFER); // in two buffers
    complete(100 | LAST);
    complete(60 | LAST | ERROR); // the device says it is bad
    complete(13 | LAST); // shorter than a header
    complete(0 | LAST); // empty
    for (let i = 0; i < 25; i++) complete(64); // more buffers than a frame can have
    complete(64 | LAST);
    complete(60 | LAST); // and the next is whole again
    driver.kick();
    assertEquals(await statistic("rx_packets"), 4);
    assertEquals(await statistic("rx_bytes"), 60 + 1514 + BUFFER + 100 + 60);
    assert(await statistic("rx_errors") >= 3);
    assertEquals(driver.takeBuffers().length, RING - buffers.length);
  },

  "a frame longer than any packet can be is dropped, the longest is not": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    const buffers = driver.takeBuffers();
    const whole = LONGEST / BUFFER;
    for (let i = 1; i < whole; i++) driver.rx.complete(buffers.shift()!, BUFFER);
    driver.rx.complete(buffers.shift()!, BUFFER | LAST);
    for (let i = 0; i < whole; i++) driver.rx.complete(buffers.shift()!, BUFFER);
    driver.rx.complete(buffers.shift()!, 1 | LAST);
    const before = await statistic("rx_errors");
    driver.kick();
    assertEquals(await statistic("rx_packets"), 1);
    assertEquals(await statistic("rx_bytes"), LONGEST);
    assertEquals(await statistic("rx_errors"), before + 1);
  },

  "buffers that are posted again wake a driver that sleeps": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    driver.grant.waitOnce();
    const buffers = driver.takeBuffers();
    const waiting = driver.grant.waitForever();
    await sleep(100);
    for (const token of buffers) driver.rx.complete(token, 0 | LAST);
    driver.kick();
    const ended = await Promise.race([waiting, sleep(1000)]);
    claim.signal();
    await waiting;
    assertEquals(ended && ended.events & EVENT.PORT, EVENT.PORT);
  },

  "a driver that fails all frames loses its grant, and the next one keeps it if it fails too": async () => {
    using claim = claimWithPort();
    const first = new FakeDriver(claim);
    await up(first);
    /** Gives so many frames back, each of them failed but for the last ones. */
    const giveBack = async (driver: FakeDriver, { failed, sent = 0 }: { failed: number; sent?: number }) => {
      await send(failed + sent);
      const all = await frames(driver, failed + sent);
      for (const [index, { token }] of all.entries()) driver.tx.complete(token, index < failed ? ERROR : 0);
      driver.kick();
    };
    await giveBack(first, { failed: 7, sent: 1 });
    await giveBack(first, { failed: 7 });
    assertEquals(claim.status().live, 1);
    await giveBack(first, { failed: 1 });
    await eventually(() => claim.status().live === 0, "the grant ends");
    const { end, text } = claim.status();
    assertEquals([end, text], [uapi.END.failing, "it failed 8 frames in a row"]);
    first[Symbol.dispose]();

    using next = new FakeDriver(claim);
    // It is the card, until a frame is sent again.
    await giveBack(next, { failed: 20 });
    assertEquals(claim.status().live, 1);
    await giveBack(next, { failed: 0, sent: 1 });
    await giveBack(next, { failed: 8 });
    await eventually(() => claim.status().live === 0, "the grant ends");
  },

  "an interface that goes down drops what it has, and nobody is to blame": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    await send(12);
    const all = await frames(driver, 12);
    await ip("link", "set", "r3t0", "down");
    for (const { token } of all) driver.tx.complete(token, ERROR);
    driver.kick();
    assertEquals(claim.status().counters.tx_frames, 0);
    assertEquals(claim.status().live, 1);
  },

  "frames in flight at a driver's end are dropped and counted": async () => {
    using claim = claimWithPort();
    const driver = new FakeDriver(claim);
    await up(driver);
    await send(5);
    await frames(driver, 5);
    const before = await statistic("tx_dropped");
    assertEquals(claim.status().counters.tx_frames, 5);
    driver[Symbol.dispose]();
    assertEquals(claim.status().counters.tx_frames, 0);
    assertEquals(await statistic("tx_dropped"), before + 5);
  },

  "without a driver the interface keeps its link and holds frames for the next": async () => {
    using claim = claimWithPort();
    const first = new FakeDriver(claim);
    await up(first);
    first[Symbol.dispose]();
    assertEquals(await sysfs("carrier"), "1");
    await send(3, 300);
    using second = new FakeDriver(claim);
    const held = await frames(second, 3);
    assertEquals(held.map(({ length }) => length), [342, 342, 342]);
  },

  "a driver that never completes stops the queue, and no more": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    for (let i = 0; i < 4; i++) await send(50, 10);
    const taken = await frames(driver, 40);
    assert(taken.length <= RING);
    assertEquals(claim.status().counters.tx_frames, taken.length);
    for (const { token } of taken) driver.tx.complete(token, 0);
    driver.kick();
    assert((await frames(driver, 1)).length > 0, "the queue moves again");
  },

  "a driver that keeps what it was given to send loses its grant": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim, {}, { stallMs: 500 });
    await up(driver);
    // One comes back each second.
    await send(6);
    const sent = await frames(driver, 6);
    driver.takeBuffers();
    for (const { token } of sent.slice(0, 4)) {
      assert(await lasts(claim, driver, 1000));
      driver.tx.complete(token, 0);
      driver.kick();
    }
    driver.grant.reportNet({ ...REPORT, link: 0 });
    assert(await lasts(claim, driver, 4500), "without a link a card cannot send");
    driver.grant.reportNet(REPORT);
    assertEquals(await lasts(claim, driver, 10_000), false);
    const { end, text } = claim.status();
    assertEquals([end, text], [uapi.END.stalled, "a frame not completed for 3000 ms"]);
  },

  "a driver may keep frames while its interface is down": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim, {}, { stallMs: 500 });
    await up(driver);
    await send(2);
    await frames(driver, 2);
    driver.takeBuffers();
    await ip("link", "set", "r3t0", "down");
    driver.grant.configNet();
    assert(await lasts(claim, driver, 4500));
  },

  ...Object.fromEntries(
    Object.entries(LIES).map((
      [what, told],
    ) => [`${what} ends the grant, not the interface`, () => lie(told)]),
  ),
});
