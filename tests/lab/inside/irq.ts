/** Interrupts: counted, masked until read and waited for again, and never lost or invented. */
import { assert, assertEquals } from "@std/assert";
import { uapi } from "../../../src/kernel/mod.ts";
import {
  ADDRESS,
  assertErrno,
  CAUSE,
  Child,
  claimCard,
  eventually,
  grantOf,
  interrupt,
  libc,
  quiet,
  raw,
  type RawClaim,
  type RawGrant,
  runCases,
  sleep,
} from "./harness.ts";
import { bind } from "../../../src/pci.ts";

/** A card that can be made to interrupt, and its IRQ file. */
class Card implements Disposable {
  readonly claim: RawClaim;
  readonly grant: RawGrant;
  readonly registers: Uint32Array;
  readonly irq: number;

  constructor(address?: string) {
    this.claim = claimCard(address);
    this.grant = grantOf(this.claim);
    this.registers = this.grant.registers();
    this.irq = this.grant.irqFile();
  }

  /** Interrupts that the handler has taken. */
  get total(): number {
    return Number(this.claim.status().irqs_total);
  }

  [Symbol.dispose](): void {
    // Without a grant there are no registers to quiet it by.
    if (this.claim.status().live) quiet(this.registers);
    this.grant[Symbol.dispose]();
    this.claim[Symbol.dispose]();
  }
}

/** Arms a card's interrupt by a read that does not block, and has it interrupt once: it is masked then. */
async function interrupted(card: Card): Promise<void> {
  libc.setNonblocking(card.irq, true);
  assertErrno(libc.read(card.irq, 8).result, "EAGAIN");
  interrupt(card.registers);
  await eventually(() => card.total === 1, "the interrupt is taken");
}

/** Bits of the command register, PCI 3.0 §6.2.2. */
const BUS_MASTER = 1 << 2;
const INTX_DISABLE = 1 << 10;

/** The command register of the card at `address`. */
async function commandOf(address: string): Promise<number> {
  const config = await Deno.readFile(`/sys/bus/pci/devices/${address}/config`);
  return config[4] | config[5] << 8;
}

/** The count that a read gives; it must give one. */
function count(fd: number): number {
  const { result, bytes } = libc.read(fd, 8);
  assertEquals(result, 8);
  return Number(new DataView(bytes.buffer).getBigUint64(0, true));
}

/** Two cards that share an interrupt line; all are bound to ring3, for until then their lines are not known. */
async function sharing(): Promise<[string, string]> {
  const byLine = new Map<string, string>();
  for (const address of Deno.args) {
    await bind(address, "ring3", { take: true });
    const line = await Deno.readTextFile(`/sys/bus/pci/devices/${address}/irq`);
    const other = byLine.get(line);
    if (other) return [other, address];
    byLine.set(line, address);
  }
  throw new Error("no two of the lab's cards share a line");
}

/** Whether the card is kept from its interrupt line: bit 10 of the PCI command register. */
async function lineDisabled(): Promise<boolean> {
  const config = await Deno.readFile(`/sys/bus/pci/devices/${ADDRESS}/config`);
  return (config[5] & 4) !== 0;
}

await runCases({
  "a card that nobody was granted an interrupt of is kept from its line": async () => {
    await Deno.writeTextFile("/sys/bus/pci/drivers/ring3/unbind", ADDRESS);
    await bind(ADDRESS, "ring3", { take: true });
    assert(await lineDisabled(), "as it was bound");
    {
      using claim = claimCard();
      using grant = grantOf(claim, { irqs: 0 });
      const registers = grant.registers();
      interrupt(registers);
      assert(await lineDisabled(), "while it interrupts");
      quiet(registers);
    }
    new Card()[Symbol.dispose]();
    assert(await lineDisabled(), "after a grant that had it");
  },

  "an index past the vectors is EINVAL": () => {
    using card = new Card();
    for (const index of [1, 32, 0xffffffff]) {
      const { result } = raw(card.grant.fd, uapi.CALL.IRQ, { layout: uapi.IRQ, values: { index } });
      assertErrno(result, "EINVAL");
    }
  },

  "a grant without interrupts has no IRQ file": () => {
    using claim = claimCard();
    using grant = grantOf(claim, { irqs: 0 });
    assertErrno(raw(grant.fd, uapi.CALL.IRQ, { layout: uapi.IRQ }).result, "EINVAL");
  },

  "a read of fewer than 8 bytes is EINVAL": () => {
    using card = new Card();
    for (const size of [0, 1, 7]) assertErrno(libc.read(card.irq, size).result, "EINVAL");
  },

  "read waits for an interrupt and gives the count": async () => {
    using card = new Card();
    let done = false;
    const reading = libc.readWaiting(card.irq).finally(() => done = true);
    await sleep(100);
    assertEquals(done, false, "nothing has happened yet");
    interrupt(card.registers);
    assertEquals(await reading, { result: 8, count: 1n });
    assertEquals(card.total, 1);
  },

  "without an interrupt O_NONBLOCK is EAGAIN": () => {
    using card = new Card();
    libc.setNonblocking(card.irq, true);
    assertErrno(libc.read(card.irq, 8).result, "EAGAIN");
    assertErrno(libc.read(card.irq, 8).result, "EAGAIN");
  },

  "O_NONBLOCK arms, and gives what came": async () => {
    using card = new Card();
    await interrupted(card);
    quiet(card.registers);
    assertEquals(count(card.irq), 1);
    assertErrno(libc.read(card.irq, 8).result, "EAGAIN");
  },

  "poll arms and tells": async () => {
    using card = new Card();
    assertEquals(libc.poll(card.irq, { ms: 0 }), 0);
    interrupt(card.registers);
    await eventually(() => card.total === 1, "the interrupt is taken");
    assertEquals(libc.poll(card.irq, { ms: 0 }), libc.POLL.IN);
    quiet(card.registers);
    assertEquals(count(card.irq), 1);
    assertEquals(libc.poll(card.irq, { ms: 20 }), 0);
  },

  "an interrupt before anyone waits stays masked": async () => {
    using card = new Card();
    interrupt(card.registers);
    await sleep(50);
    assertEquals(card.total, 0);
    // Waiting for it finds the line asserted.
    libc.setNonblocking(card.irq, true);
    assertEquals(count(card.irq), 1);
  },

  "a device that never falls silent costs one interrupt for each wait": async () => {
    using card = new Card();
    await interrupted(card);
    for (let i = 0; i < 1000; i++) interrupt(card.registers);
    await sleep(100);
    assertEquals(card.total, 1, "masked until it is read and waited for again");
    for (let i = 0; i < 10; i++) assertEquals(count(card.irq), 1, "still asserted");
    assert(card.total <= 11, `${card.total} interrupts for 11 waits`);
  },

  "an interrupt is delivered once, to read or to WAIT": async () => {
    using card = new Card();
    await interrupted(card);
    quiet(card.registers);
    const { events, irqs } = card.grant.waitOnce();
    assertEquals([events, irqs], [uapi.EVENT.IRQ, 1]);
    assertErrno(libc.read(card.irq, 8).result, "EAGAIN");
  },

  "a masked card on a shared line does not count its neighbour's interrupts": async () => {
    const [first, second] = await sharing();
    using masked = new Card(first);
    using busy = new Card(second);
    libc.setNonblocking(busy.irq, true);
    await interrupted(masked);
    for (let i = 1; i <= 20; i++) {
      assertErrno(libc.read(busy.irq, 8).result, "EAGAIN");
      interrupt(busy.registers);
      await eventually(() => busy.total === i, "the neighbour's interrupt is taken");
      quiet(busy.registers);
      assertEquals(count(busy.irq), 1);
    }
    assertEquals(masked.total, 1);
    quiet(masked.registers);
    assertEquals(count(masked.irq), 1);
  },

  "masking and bus mastering share a register, and neither undoes the other": async () => {
    using card = new Card();
    libc.setNonblocking(card.irq, true);
    libc.setInherited(card.grant.fd);
    const child = new Child(["master", card.grant.fd]);
    assertEquals(await child.line(), "toggling 0");
    for (let i = 1; i <= 500; i++) {
      assertErrno(libc.read(card.irq, 8).result, "EAGAIN", `round ${i} begins with the line open`);
      interrupt(card.registers);
      await eventually(() => card.total >= i, `interrupt ${i} is taken`);
      await sleep(0);
      assert(await commandOf(ADDRESS) & INTX_DISABLE, `round ${i}: masked, and still masked`);
      assertEquals(quiet(card.registers) & CAUSE, CAUSE);
      assertEquals(count(card.irq), 1);
    }
    await child.go();
    assertEquals(await child.end(), 0);
    assert(await commandOf(ADDRESS) & BUS_MASTER, "open, as it was left");
  },

  "a reader is woken when the grant is revoked": async () => {
    using card = new Card();
    const reading = libc.readWaiting(card.irq);
    await sleep(50);
    card.claim.revoke();
    assertErrno((await reading).result, "EKEYREVOKED");
  },

  "the IRQ file of a revoked grant is EKEYREVOKED, POLLHUP and POLLERR": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const irq = grant.irqFile();
    claim.revoke();
    assertErrno(libc.read(irq, 8).result, "EKEYREVOKED");
    assertEquals(libc.poll(irq, { ms: 0 }), libc.POLL.HUP | libc.POLL.ERR);
  },

  "an asserting card is silenced by the end of its grant": async () => {
    const address = Deno.args[0];
    {
      using claim = claimCard();
      using grant = grantOf(claim);
      const irq = grant.irqFile();
      libc.setNonblocking(irq, true);
      assertErrno(libc.read(irq, 8).result, "EAGAIN");
      interrupt(grant.registers());
      claim.revoke();
    }
    assert(await commandOf(address) & INTX_DISABLE, "INTx is disabled in the command register");
    using card = new Card();
    assertEquals(quiet(card.registers) & 4, 4, "the cause was still there");
  },
});
