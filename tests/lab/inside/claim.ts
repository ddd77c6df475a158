/** Claims: who gets one, who does not and why, and what ends with it. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { ERRNO, KernelError, Ring3, uapi } from "../../../src/kernel/mod.ts";
import { bind } from "../../../src/pci.ts";
import {
  ADDRESS,
  assertErrno,
  Child,
  claimCard,
  grantOf,
  libc,
  library,
  openDevice,
  raw,
  REG,
  runCases,
} from "./harness.ts";

/** A card that is not bound to ring3. */
const OTHER = Deno.args[1];

/** What CLAIM answers to an address: a descriptor, which is closed, or -errno. */
function claimResult(address: string): number {
  const device = openDevice();
  const { result } = raw(device, uapi.CALL.CLAIM, { layout: uapi.CLAIM_ARGS, values: { address } });
  if (result >= 0) library.r3_close(result);
  library.r3_close(device);
  return result;
}

await runCases({
  "an address without a device is ENXIO": () => {
    assertErrno(claimResult("0000:00:1d.3"), "ENXIO");
    assertErrno(claimResult("beef:00:00.0"), "ENXIO");
  },

  "a device that is not bound to ring3 is ENODEV": () => {
    assertErrno(claimResult(OTHER), "ENODEV");
    assertErrno(claimResult("0000:00:00.0"), "ENODEV");
  },

  "a malformed address is EINVAL": () => {
    for (
      const address of [
        "",
        "nonsense",
        "0000:00:20.0",
        "0000:100:10.0",
        "0000:00:10.8",
        `${ADDRESS}x`,
        " 0:1:0.0",
      ]
    ) {
      assertErrno(claimResult(address), "EINVAL", `"${address}"`);
    }
  },

  "an address without its NUL is EINVAL": () => {
    const device = openDevice();
    const bytes = uapi.CLAIM_ARGS.encode({ argsz: uapi.CLAIM_ARGS.size });
    bytes.fill("0".charCodeAt(0), uapi.CLAIM_ARGS.offsets.address);
    assertErrno(library.r3_call(device, uapi.CALL.CLAIM, bytes), "EINVAL");
    library.r3_close(device);
  },

  "a second claim is EBUSY, and succeeds after the first": () => {
    const first = claimCard();
    assertErrno(claimResult(ADDRESS), "EBUSY");
    first[Symbol.dispose]();
    assert(claimResult(ADDRESS) >= 0);
  },

  "another user cannot open /dev/ring3": async () => {
    const { code, stderr } = await new Deno.Command("setpriv", {
      args: ["--reuid", "1000", "--clear-groups", "sh", "-c", "exec 3<>/dev/ring3"],
    }).output();
    assert(code !== 0);
    assert(new TextDecoder().decode(stderr).includes("Permission denied"));
  },

  "root without CAP_SYS_RAWIO cannot claim": async () => {
    const before = ["setpriv", "--bounding-set", "-sys_rawio", "--inh-caps", "-sys_rawio"];
    const child = new Child(["claim", ADDRESS], { before });
    assertEquals(await child.line(), `claim -${ERRNO.EPERM}`);
    await child.end();
  },

  "closing the claim ends its grant and its port": () => {
    const claim = claimCard();
    claim.portNet({ queues: 1, ring: 64, name: "r3t%d" });
    using grant = grantOf(claim);
    using ring3 = new Ring3(library);
    assertEquals([ring3.totals().counters.ports, ring3.totals().counters.grants], [1, 1]);
    claim[Symbol.dispose]();
    assertErrno(grant.waitOnce().result, "EKEYREVOKED");
    assertEquals(ring3.totals().counters.ports, 0);
    assertEquals(ring3.totals().counters.irqs, 0);
  },

  "a grant's descriptor outlives its claim and its module reference with it": async () => {
    const claim = claimCard();
    using grant = grantOf(claim);
    claim[Symbol.dispose]();
    const { code } = await new Deno.Command("rmmod", { args: ["ring3"], stderr: "null" }).output();
    assert(code !== 0, "the module cannot go while a grant is open");
    assertErrno(grant.waitOnce().result, "EKEYREVOKED");
  },

  "SIGNAL and REVOKE without a grant are ENOENT": () => {
    using claim = claimCard();
    assertErrno(raw(claim.fd, uapi.CALL.SIGNAL, { layout: uapi.SIGNAL }).result, "ENOENT");
    assertErrno(raw(claim.fd, uapi.CALL.REVOKE, { layout: uapi.REVOKE }).result, "ENOENT");
  },

  "poll tells of a grant's end until STATUS is read": () => {
    using claim = claimCard();
    assertEquals(libc.poll(claim.fd, { ms: 0 }), 0);
    const grant = grantOf(claim);
    grant[Symbol.dispose]();
    assertEquals(libc.poll(claim.fd, { ms: 0 }), libc.POLL.IN);
    assertEquals(claim.status().end, uapi.END.released);
    assertEquals(libc.poll(claim.fd, { ms: 0 }), 0);
  },

  "a second port is EEXIST, and a port after the grant is EBUSY": () => {
    using claim = claimCard();
    {
      using _grant = grantOf(claim);
      const error = assertThrows(
        () => claim.portNet({ queues: 1, ring: 64, name: "r3t%d" }),
        KernelError,
        "make the port before the grant",
      );
      assertErrno(-error.errno, "EBUSY");
    }
    claim.portNet({ queues: 1, ring: 64, name: "r3t%d" });
    const { result } = raw(claim.fd, uapi.CALL.PORT_NET, {
      layout: uapi.PORT_NET,
      values: { queues: 1, ring_size: 64, name: "r3t%d" },
    });
    assertErrno(result, "EEXIST");
  },

  "a port of a wrong size, name or number of queues is refused in words": () => {
    using claim = claimCard();
    const wrong: [{ queues: number; ring: number; name: string }, string][] = [
      [{ queues: 0, ring: 64, name: "r3t%d" }, "one queue"],
      [{ queues: 2, ring: 64, name: "r3t%d" }, "one queue"],
      [{ queues: 1, ring: 63, name: "r3t%d" }, "64 to 4096"],
      [{ queues: 1, ring: 96, name: "r3t%d" }, "power of two"],
      [{ queues: 1, ring: 8192, name: "r3t%d" }, "64 to 4096"],
      [{ queues: 1, ring: 64, name: "" }, "1 to 15 characters"],
    ];
    for (const [port, words] of wrong) assertThrows(() => claim.portNet(port), KernelError, words);
    assertEquals(claim.status().counters.ports, 0);
  },

  "unbinding a claimed device that is in use ends everything": async () => {
    using claim = claimCard();
    claim.portNet({ queues: 1, ring: 64, name: "r3t%d" });
    {
      using grant = grantOf(claim);
      const registers = grant.registers();
      assert(registers[REG.IMS >> 2] !== undefined);
      grant.dmaAlloc(64 * 1024);
      grant.busMaster(true);
      const irq = grant.irqFile();
      const reader = libc.readWaiting(irq);
      await Deno.writeTextFile("/sys/bus/pci/drivers/ring3/unbind", ADDRESS);
      assertErrno((await reader).result, "ENODEV", "the reader is woken");
      assertErrno(grant.waitOnce().result, "ENODEV");
      assertErrno(raw(grant.fd, uapi.CALL.INFO, { layout: uapi.INFO }).result, "ENODEV");
      assertErrno(libc.read(irq, 8).result, "ENODEV");
      assertEquals(libc.poll(irq, { ms: 0 }) & libc.POLL.HUP, libc.POLL.HUP);
    }
    assertEquals(libc.poll(claim.fd, { ms: 0 }) & libc.POLL.HUP, libc.POLL.HUP);
    const { end, live, counters } = claim.status();
    assertEquals([end, live], [uapi.END.deviceLost, 0]);
    assertEquals([counters.irqs, counters.regions, counters.ports, Number(counters.dma_bytes)], [0, 0, 0, 0]);
    const calls = {
      GRANT: uapi.GRANT_ARGS,
      PORT_NET: uapi.PORT_NET,
      SIGNAL: uapi.SIGNAL,
      REVOKE: uapi.REVOKE,
    };
    for (const [name, layout] of Object.entries(calls)) {
      const number = uapi.CALL[name as keyof typeof calls];
      assertErrno(raw(claim.fd, number, { layout }).result, "ENODEV", name);
    }
    assertEquals(claim.channels().length, 2, "what its rings were is still told");
    // With the old claim still open the device can come back.
    await bind(ADDRESS, "ring3", { take: true });
    assert(claimResult(ADDRESS) >= 0);
  },
});
