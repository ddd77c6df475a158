/** Accesses to the ports of an IDE controller that answers where IDE did on the ISA bus, and its interrupt. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { check, KernelError, uapi } from "../../../src/kernel/mod.ts";
import {
  assertErrno,
  claimCard,
  eventually,
  grantOf,
  libc,
  PAGE,
  raw,
  type RawClaim,
  type RawGrant,
  runCases,
  sleep,
} from "./harness.ts";

const { PIO_ACCESS, PIO_FLAG, CALL, EVENT, IRQ_TYPE, MAX_PIO } = uapi;

/** Windows of a grant: the first channel's task file and control, and the bus master's registers. */
const TASK = 0;
const CONTROL = 1;
const MASTER = 2;
const WINDOWS = [
  { bar: 0, offset: 0, length: 8 },
  { bar: 1, offset: 0, length: 1 },
  { bar: 4, offset: 0, length: 16 },
];

/** Task file, ATA/ATAPI-6 §7, with what the cases want of it. */
const DATA = 0;
const COUNT = 2;
const LBA_LOW = 3;
const LBA_MID = 4;
const LBA_HIGH = 5;
const DEVICE = 6;
const STATUS = 7;
const COMMAND = 7;
const IDENTIFY = 0xec;
const READ_DMA = 0xc8;
const BSY = 0x80;
const DRQ = 0x08;
const NIEN = 0x02;

/** Registers of the bus master, PIIX4 §5.2, and their bits: reading from the disk, started; active, an interrupt. */
const BM_COMMAND = 0;
const BM_STATUS = 2;
const BM_TABLE = 4;
const BM_READ = 0x08;
const BM_START = 0x01;
const BM_ACTIVE = 0x01;
const BM_DONE = 0x06;

/** Memory whose address is known: accesses first, then what repeated ones move. */
const ARENA = 4 * PAGE;
const address = check(
  libc.mmap(-1, ARENA, { flags: libc.MAP.PRIVATE | libc.MAP.ANONYMOUS }),
  "Cannot map memory",
);
const arena = libc.view(address, ARENA);
const BUFFER = PAGE;
/** A page that the device writes to, and where the kernel says how it reaches it. */
const TARGET = 2 * PAGE;
const SEGMENT = 3 * PAGE;

/** One access; absent fields are zero, and a byte is moved unless it says otherwise. */
interface Access {
  window?: number;
  width?: number;
  flags?: number;
  offset?: number;
  value?: number;
  reserved?: number;
  buffer?: bigint;
}

/** Makes accesses; 0 or -errno, and their values after. */
function pio(
  grant: RawGrant,
  accesses: Access[],
  { count = accesses.length, at = BigInt(address) } = {},
): { result: number; values: number[] } {
  accesses.forEach((access, i) => {
    const bytes = PIO_ACCESS.encode({
      window: 0,
      width: 1,
      flags: 0,
      offset: 0,
      value: 0,
      reserved: 0,
      buffer: 0n,
      ...access,
    });
    new Uint8Array(arena, i * PIO_ACCESS.size, PIO_ACCESS.size).set(bytes);
  });
  const { result } = raw(grant.fd, CALL.PIO, { layout: uapi.PIO, values: { count, access: at } });
  const values = accesses.map((_, i) => PIO_ACCESS.decode(new Uint8Array(arena, i * PIO_ACCESS.size)).value);
  return { result, values };
}

function read(offset: number, width = 1, window = TASK): Access {
  return { window, width, offset };
}

function write(offset: number, value: number, window = TASK): Access {
  return { window, offset, value, flags: PIO_FLAG.WRITE };
}

/** The bytes of an IDENTIFY, in repeated accesses of that width. */
function repeated(width: number): Access {
  return {
    width,
    offset: DATA,
    flags: PIO_FLAG.REPEAT,
    value: 512 / width,
    buffer: BigInt(address + BUFFER),
  };
}

/** A grant of the controller's ports. */
function portsOf(claim: RawClaim, { irqs = 0 } = {}): RawGrant {
  return grantOf(claim, { windows: WINDOWS, irqs, irqType: IRQ_TYPE.none, dmaBits: 32 });
}

function status(grant: RawGrant): number {
  const { result, values } = pio(grant, [read(STATUS)]);
  assertEquals(result, 0);
  return values[0];
}

/** Has the first disk say what it is, up to where its data can be read. */
async function identify(grant: RawGrant, control: number): Promise<void> {
  const commands = [write(0, control, CONTROL), write(DEVICE, 0xa0), write(COMMAND, IDENTIFY)];
  assertEquals(pio(grant, commands).result, 0);
  await eventually(() => (status(grant) & (BSY | DRQ)) === DRQ, "the disk has its data");
}

/** Lets the device write to the target page, and says where a table is that leads there, PIIX4 §5.2.3. */
function targetTable(grant: RawGrant): number {
  const { result } = raw(grant.fd, CALL.DMA_MAP, {
    layout: uapi.DMA_MAP,
    values: {
      flags: 2,
      address: BigInt(address + TARGET),
      length: BigInt(PAGE),
      segment: BigInt(address + SEGMENT),
      segments: 1,
    },
  });
  assertEquals(result, 0);
  const segment = uapi.SEGMENT.read(new DataView(arena), SEGMENT);
  const table = grant.dmaAlloc(PAGE);
  new Uint32Array(grant.view(table.mmapOffset, PAGE)).set([Number(segment.address), (PAGE | 1 << 31) >>> 0]);
  return Number(table.address);
}

/** Begins to read the disk's first sectors into the target page. */
function beginTransfer(grant: RawGrant, table: number): void {
  const { result } = pio(grant, [
    write(BM_COMMAND, 0, MASTER),
    write(BM_STATUS, BM_DONE, MASTER),
    { window: MASTER, width: 4, offset: BM_TABLE, value: table, flags: PIO_FLAG.WRITE },
    write(DEVICE, 0xe0),
    write(COUNT, PAGE / 512),
    write(LBA_LOW, 0),
    write(LBA_MID, 0),
    write(LBA_HIGH, 0),
    write(COMMAND, READ_DMA),
    write(BM_COMMAND, BM_READ | BM_START, MASTER),
  ]);
  assertEquals(result, 0);
}

function underWay(grant: RawGrant): boolean {
  return (pio(grant, [read(BM_STATUS, 1, MASTER)]).values[0] & BM_ACTIVE) !== 0;
}

/** The model in an IDENTIFY at the beginning of the buffer: words 27 to 46, the high byte first. */
function model(): string {
  const words = new DataView(arena, BUFFER, 512);
  let text = "";
  for (let i = 27; i <= 46; i++) {
    text += String.fromCharCode(words.getUint8(2 * i + 1), words.getUint8(2 * i));
  }
  return text.trim();
}

await runCases({
  "ports are windows that cannot be mapped": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    const { windows, window } = grant.info();
    assertEquals(windows, WINDOWS.length);
    for (const [i, { bar, offset, length }] of WINDOWS.entries()) {
      assertEquals(window[i], {
        bar,
        flags: uapi.WINDOW_IO,
        offset: BigInt(offset),
        length: BigInt(length),
        mmap_offset: 0n,
      });
    }
    assert(libc.mmap(grant.fd, PAGE) < 0, "there is nothing at offset 0");
  },

  "accesses are made in their order, and those that read give values": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    const { result, values } = pio(grant, [
      write(DEVICE, 0xa0),
      write(COUNT, 0x12),
      read(COUNT),
      write(COUNT, 0x34),
      read(COUNT),
      write(LBA_LOW, 0x56),
      write(LBA_MID, 0x78),
      read(LBA_LOW),
      read(LBA_MID),
    ]);
    assertEquals(result, 0);
    assertEquals([values[2], values[4], values[7], values[8]], [0x12, 0x34, 0x56, 0x78]);
  },

  "a batch has up to 64 accesses": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    const batch = [write(DEVICE, 0xa0)];
    for (let i = 1; i < MAX_PIO; i++) batch.push(i % 2 ? write(LBA_LOW, i) : read(LBA_LOW));
    const { result, values } = pio(grant, batch);
    assertEquals(result, 0);
    for (let i = 2; i < MAX_PIO; i += 2) assertEquals(values[i], i - 1);
    for (const count of [0, MAX_PIO + 1, 0xffffffff]) {
      assertErrno(pio(grant, [], { count }).result, "EINVAL", `${count}`);
    }
  },

  "a repeated access moves data, 16 and 32 bits at a time": async () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    for (const width of [2, 4]) {
      new Uint8Array(arena, BUFFER, 1024).fill(0xee);
      await identify(grant, NIEN);
      assertEquals(pio(grant, [repeated(width)]).result, 0);
      assertStringIncludes(model(), "QEMU HARDDISK");
      assert(new Uint8Array(arena, BUFFER + 512, 512).every((byte) => byte === 0xee), "and no more");
      assertEquals(status(grant) & DRQ, 0);
    }
  },

  "an access that is not in its window, or not aligned, or not known is EINVAL": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    const buffer = BigInt(address + BUFFER);
    const wrong: Record<string, Access> = {
      "a window past those granted": { window: WINDOWS.length },
      "the last window there could be": { window: 0xffff },
      "an offset past the window": read(8),
      "the largest offset": read(0xffffffff),
      "a word over the end": read(7, 2),
      "a word in a window of a byte": read(0, 2, CONTROL),
      "a double word over the end": read(6, 4),
      "a word at an odd port": read(1, 2),
      "a double word at a port that is none of its": read(2, 4),
      "a double word over the bus master's end": read(14, 4, MASTER),
      "no width": read(0, 0),
      "a width of 3": read(0, 3),
      "a width of 8": read(0, 8),
      "an unknown flag": { flags: 4 },
      "a reserved field": { reserved: 1 },
      "a buffer without repetition": { buffer },
      "repeated bytes": { ...repeated(2), width: 1 },
      "no repetition": { ...repeated(2), value: 0 },
      "more than 4096 bytes of words": { ...repeated(2), value: 2049 },
      "more than 4096 bytes of double words": { ...repeated(4), value: 1025 },
      "the largest repetition": { ...repeated(4), value: 0xffffffff },
    };
    for (const [what, access] of Object.entries(wrong)) {
      assertErrno(pio(grant, [access]).result, "EINVAL", what);
    }
    assertEquals(pio(grant, [write(DEVICE, 0xa0), write(COUNT, 1)]).result, 0);
    assertErrno(pio(grant, [write(COUNT, 2), read(8)]).result, "EINVAL");
    assertEquals(pio(grant, [read(COUNT)]).values, [1], "nothing is done of a batch that is refused");
  },

  "memory that is not there is EFAULT": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    assertErrno(pio(grant, [read(STATUS)], { at: 8n }).result, "EFAULT");
    assertErrno(pio(grant, [{ ...repeated(2), value: 1, buffer: 8n }]).result, "EFAULT");
    const written = { ...repeated(2), flags: PIO_FLAG.REPEAT | PIO_FLAG.WRITE, value: 1, buffer: 8n };
    assertErrno(pio(grant, [written]).result, "EFAULT");
  },

  "after REVOKE there are no accesses": () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    claim.revoke();
    assertErrno(pio(grant, [read(STATUS)]).result, "EKEYREVOKED");
  },

  "the controller interrupts as on the ISA bus, once for each command": () => {
    using claim = claimCard();
    using grant = portsOf(claim, { irqs: 2 });
    assertEquals([grant.info().irq_type, grant.info().irqs], [IRQ_TYPE.ide, 2]);
    grant.waitOnce();
    for (let i = 0; i < 3; i++) {
      const command = [write(0, 0, CONTROL), write(DEVICE, 0xa0), write(COMMAND, IDENTIFY)];
      assertEquals(pio(grant, command).result, 0);
      const { result, events, irqs } = grant.waitOnce({ timeout: 1_000_000 });
      assertEquals([result, events & EVENT.IRQ, irqs], [0, EVENT.IRQ, 1], `command ${i}`);
      assertEquals(pio(grant, [read(STATUS), repeated(2)]).result, 0);
      assertEquals(grant.waitOnce({ timeout: 50_000 }).irqs, 0);
    }
  },

  "the device writes nothing any more when its grant has ended": async () => {
    using claim = claimCard();
    using grant = portsOf(claim);
    const target = new Uint8Array(arena, TARGET, PAGE);
    const table = targetTable(grant);
    grant.busMaster(true);
    target.fill(0xaa);
    beginTransfer(grant, table);
    await eventually(() => !underWay(grant), "a first transfer is done");
    assert(target.every((byte) => byte === 0), "an empty disk");
    // Whoever runs this has the disk take a second for another.
    target.fill(0xaa);
    beginTransfer(grant, table);
    assert(underWay(grant), "the second is under way");
    claim.revoke();
    const found = target.slice();
    await sleep(2500);
    assert(target.every((byte, i) => byte === found[i]), "the page has changed since");
  },

  "only its two interrupts can be had": () => {
    using claim = claimCard();
    for (const request of [{ irqs: 3, irqType: IRQ_TYPE.ide }, { irqs: 1, irqType: IRQ_TYPE.msi }]) {
      assertThrows(
        () => grantOf(claim, { windows: WINDOWS, ...request }),
        KernelError,
        "interrupt vectors",
      );
    }
    using _grant = grantOf(claim, { windows: WINDOWS, irqs: 2, irqType: IRQ_TYPE.ide });
  },
});
