/** Making grants: what is refused, and that STATUS says why in words. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type GrantRequest, KernelError, uapi } from "../../../src/kernel/mod.ts";
import {
  ADDRESS,
  assertErrno,
  BAR_SIZE,
  claimCard,
  errnoName,
  grantOf,
  PAGE,
  raw,
  RawGrant,
  runCases,
} from "./harness.ts";

/** A request with this one window. */
function windowOf(bar: number, offset: number, length: number): Partial<GrantRequest> {
  return { windows: [{ bar, offset, length }] };
}

const REFUSED: [what: string, request: Partial<GrantRequest>, errno: string, words: string][] = [
  ["a window past the end of its BAR", windowOf(0, 0, BAR_SIZE + PAGE), "EINVAL", "BAR 0 is 131072 bytes"],
  ["a window that begins past the end", windowOf(0, BAR_SIZE, PAGE), "EINVAL", "BAR 0 is 131072 bytes"],
  ["an empty window", windowOf(0, 0, 0), "EINVAL", "BAR 0 is 131072 bytes"],
  ["a window of a BAR that the card lacks", windowOf(5, 0, PAGE), "EINVAL", "the device has no BAR 5"],
  ["a window of BAR 6", windowOf(6, 0, PAGE), "EINVAL", "there is no BAR 6"],
  ["a window that is not whole pages", windowOf(0, 0, 256), "EINVAL", "whole pages of 4096 bytes"],
  ["a window that does not begin at a page", windowOf(0, 256, PAGE), "EINVAL", "whole pages of 4096 bytes"],
  ["33 interrupts", { irqs: 33 }, "EINVAL", "at most 32 interrupts"],
  ["two INTx", { irqs: 2 }, "EINVAL", "no 2 interrupt vectors"],
  ["MSI of a card without it", { irqType: uapi.IRQ_TYPE.msi }, "EINVAL", "no 1 interrupt vectors"],
  ["MSI-X of a card without it", { irqType: uapi.IRQ_TYPE.msix }, "EINVAL", "no 1 interrupt vectors"],
  ["IDE's interrupts of a network card", { irqType: uapi.IRQ_TYPE.ide }, "EINVAL", "no 1 interrupt vectors"],
  ["an unknown type of interrupt", { irqType: 5 }, "EINVAL", "of a known type"],
  ["a stall limit of more than ten minutes", { stallMs: 600_001 }, "EINVAL", "at most 600000 ms, not 600001"],
  ["8-bit DMA", { dmaBits: 8 }, "EINVAL", "24 to 64 address bits"],
  ["65-bit DMA", { dmaBits: 65 }, "EINVAL", "24 to 64 address bits"],
];

await runCases({
  ...Object.fromEntries(REFUSED.map(([what, request, errno, words]) => [
    `${what} is ${errno}, in words`,
    () => {
      using claim = claimCard();
      const error = assertThrows(() => grantOf(claim, request), KernelError, words);
      assertEquals(errnoName(-error.errno), errno);
      const { text, live, counters } = claim.status();
      assertStringIncludes(text, words);
      assertEquals([live, counters.grants, counters.regions, counters.irqs], [0, 0, 0, 0]);
      // A refusal costs nothing: the claim still grants.
      using _grant = grantOf(claim);
    },
  ])),

  "a window of no known flag is EINVAL, and the text does not blame the BAR": () => {
    using claim = claimCard();
    const { result } = raw(claim.fd, uapi.CALL.GRANT, {
      layout: uapi.GRANT_ARGS,
      values: { windows: 1, dma_bits: 64, window: [{ bar: 0, flags: 1, offset: 0n, length: 4096n }] },
    });
    assertErrno(result, "EINVAL");
    assertStringIncludes(claim.status().text, "flags");
  },

  "a reserved field that is not zero is EINVAL": () => {
    using claim = claimCard();
    const values = { dma_bits: 64, reserved: 1 };
    assertErrno(raw(claim.fd, uapi.CALL.GRANT, { layout: uapi.GRANT_ARGS, values }).result, "EINVAL");
  },

  "more windows than fit are EINVAL": () => {
    using claim = claimCard();
    for (const windows of [9, 0xffffffff]) {
      const { result } = raw(claim.fd, uapi.CALL.GRANT, {
        layout: uapi.GRANT_ARGS,
        values: { windows, dma_bits: 64 },
      });
      assertErrno(result, "EINVAL");
      assertStringIncludes(claim.status().text, "at most 8 windows");
    }
  },

  "an offset that overflows is EINVAL": () => {
    using claim = claimCard();
    for (const [offset, length] of [[2n ** 64n - 4096n, 8192n], [4096n, 2n ** 64n - 4096n]]) {
      const { result } = raw(claim.fd, uapi.CALL.GRANT, {
        layout: uapi.GRANT_ARGS,
        values: { windows: 1, dma_bits: 64, window: [{ bar: 0, flags: 0, offset, length }] },
      });
      assertErrno(result, "EINVAL");
    }
  },

  "a second live grant is EBUSY, in words": () => {
    using claim = claimCard();
    using _first = grantOf(claim);
    const error = assertThrows(() => grantOf(claim), KernelError, "still in use");
    assertErrno(-error.errno, "EBUSY");
  },

  "a refused grant is none: neither its number nor the last end changes": () => {
    using claim = claimCard();
    grantOf(claim)[Symbol.dispose]();
    assertThrows(() => grantOf(claim, windowOf(5, 0, PAGE)), KernelError);
    const { generation, end } = claim.status();
    assertEquals([generation, end], [1, uapi.END.released]);
  },

  "INFO tells what was granted": () => {
    using claim = claimCard();
    using grant = grantOf(claim, { windows: [{ bar: 0, offset: PAGE, length: 2 * PAGE }], dmaLimit: 12345 });
    const info = grant.info();
    assertEquals(info.address, ADDRESS);
    assertEquals([info.vendor, info.device, info.class_revision >>> 8], [0x8086, 0x100f, 0x020000]);
    assertEquals([info.windows, info.irqs, info.irq_type], [1, 1, uapi.IRQ_TYPE.intx]);
    assertEquals([info.window[0].offset, info.window[0].length], [BigInt(PAGE), BigInt(2 * PAGE)]);
    assertEquals(info.dma_limit, 12345n);
    assertEquals([info.port_kind, info.channels, info.port_mmap_length], [0, 0, 0n]);
    assertEquals([info.generation, info.iommu], [1, 1]);
  },

  "each grant has a number of its own": () => {
    using claim = claimCard();
    for (let number = 1; number <= 3; number++) {
      using grant = grantOf(claim);
      assertEquals(grant.info().generation, number);
    }
    assertEquals(claim.status().generation, 3);
  },

  "an I/O BAR is granted as such and cannot be mapped": () => {
    using claim = claimCard();
    const bars = [1, 2, 3, 4, 5].filter((bar) => {
      const { result } = raw(claim.fd, uapi.CALL.GRANT, {
        layout: uapi.GRANT_ARGS,
        values: { windows: 1, dma_bits: 64, window: [{ bar, flags: 0, offset: 0n, length: 64n }] },
      });
      if (result < 0) return false;
      using grant = new RawGrant(result);
      const { window } = grant.info();
      assertEquals([window[0].flags, window[0].mmap_offset], [uapi.WINDOW_IO, 0n]);
      assertThrows(() => grant.view(0n, PAGE), KernelError);
      return true;
    });
    assert(bars.length === 1, `one I/O BAR, found ${bars}`);
  },

  "bus mastering is off when a grant is made, and after its end": async () => {
    using claim = claimCard();
    const mastering = async () => {
      const config = await Deno.readFile(`/sys/bus/pci/devices/${ADDRESS}/config`);
      return (config[4] & 4) !== 0;
    };
    {
      using grant = grantOf(claim);
      assertEquals(await mastering(), false);
      grant.busMaster(true);
      assertEquals(await mastering(), true);
      grant.busMaster(false);
      assertEquals(await mastering(), false);
      grant.busMaster(true);
      const { result } = raw(grant.fd, uapi.CALL.BUS_MASTER, {
        layout: uapi.BUS_MASTER,
        values: { enable: 2 },
      });
      assertErrno(result, "EINVAL");
    }
    assertEquals(await mastering(), false);
  },
});
