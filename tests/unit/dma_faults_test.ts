/** The kernel's log as it is followed, and what it says of devices that the IOMMU has stopped. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import {
  type DmaFault,
  dmaFaultText,
  DmaFaultWatch,
  parseDmaFault,
} from "../../src/supervisor/dma_faults.ts";
import { KernelLog, type LogFile } from "../../src/supervisor/kernel_log.ts";

/** Records of logs: first of the lab's 6.1 and 6.12, then as other kernels, modes and AMD's IOMMU write them. */
const RECORDS: [string, DmaFault | undefined][] = [
  [
    "DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x116fa000 [fault reason 0x06] PTE Read access is not set",
    { device: "01:00.0", access: "read", address: 0x116fa000n },
  ],
  [
    "DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x2065d000 [fault reason 0x05] PTE Write access is not set",
    { device: "01:00.0", access: "write", address: 0x2065d000n },
  ],
  [
    "DMAR: [DMA Write NO_PASID] Request device [0x01:0x00.0] fault addr 0x3a7c2000 [fault reason 0x05] PTE Write access is not set",
    { device: "01:00.0", access: "write", address: 0x3a7c2000n },
  ],
  [
    "DMAR: [DMA Write PASID 0x3] Request device [fe:1f.7] fault addr 0xfffff000 [fault reason 0x71] SM: Present bit in first-level paging entry is clear",
    { device: "fe:1f.7", access: "write", address: 0xfffff000n },
  ],
  [
    "DMAR: [INTR-REMAP] Request device [01:00.0] fault index 0x1a [fault reason 0x22] Present field in the IRTE entry is clear",
    { device: "01:00.0", access: "interrupt", address: 0x1an },
  ],
  [
    "ring3 0000:0a:00.0: AMD-Vi: Event logged [IO_PAGE_FAULT domain=0x000e address=0xfffffff000000 flags=0x0020]",
    { device: "0000:0a:00.0", access: "write", address: 0xfffffff000000n },
  ],
  [
    "AMD-Vi: Event logged [IO_PAGE_FAULT device=0a:00.0 domain=0x001d address=0x637c000 flags=0x0000]",
    { device: "0a:00.0", access: "read", address: 0x637c000n },
  ],
  [
    "AMD-Vi: Event logged [IO_PAGE_FAULT device=0001:0a:00.0 domain=0x001d address=0xfdf8000000 flags=0x0028]",
    { device: "0001:0a:00.0", access: "interrupt", address: 0xfdf8000000n },
  ],
  ["DMAR: DRHD: handling fault status reg 2", undefined],
  ["DMAR: No RMRR found", undefined],
  // What a device or a program calls itself is no fault.
  [
    "usb 1-1: Product: DMAR: [DMA Read NO_PASID] Request device [01:00.0] fault addr 0x0 [fault reason 0x06] x",
    undefined,
  ],
];

Deno.test("faults are told from everything else in the log", () => {
  for (const [record, fault] of RECORDS) assertEquals(parseDmaFault(record), fault, record);
});

Deno.test("a fault in words", () => {
  assertEquals(
    dmaFaultText({ device: "01:00.0", access: "write", address: 0x12345000n }),
    "the device tried to write 0x12345000, which is not its memory",
  );
  assertEquals(
    dmaFaultText({ device: "01:00.0", access: "interrupt", address: 26n }),
    "the device tried to raise interrupt 0x1a, which is not its own",
  );
});

/** A log that answers each read with the next of these: a record, or an error; then it waits. */
class FakeLog implements LogFile {
  readonly answers: (string | Error | null)[];
  seeks: [number, Deno.SeekMode][] = [];
  closed = 0;
  #waiting = Promise.withResolvers<number | null>();

  constructor(answers: (string | Error | null)[]) {
    this.answers = answers;
    this.#waiting.promise.catch(() => {});
  }

  read(into: Uint8Array): Promise<number | null> {
    const answer = this.answers.shift();
    if (answer instanceof Error) return Promise.reject(answer);
    if (answer === null) return Promise.resolve(null);
    if (answer === undefined) return this.#waiting.promise;
    return Promise.resolve(new TextEncoder().encodeInto(answer, into).written);
  }

  seek(offset: number, whence: Deno.SeekMode): Promise<number> {
    this.seeks.push([offset, whence]);
    return Promise.resolve(0);
  }

  close(): void {
    this.closed++;
    this.#waiting.reject(new Deno.errors.BadResource("Bad resource ID"));
  }
}

/** The first texts of a log. */
async function first(log: KernelLog, count: number): Promise<string[]> {
  const texts: string[] = [];
  for await (const text of log.records()) {
    if (texts.push(text) === count) break;
  }
  return texts;
}

Deno.test("the log is read from its end, the kernel's own records alone, across what was lost", async () => {
  const file = new FakeLog([
    "6,812,5140900,-;first\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n",
    "12,813,5140910,-;a program's\n",
    new Deno.errors.BrokenPipe("Broken pipe (os error 32)"),
    "3,990,6140900,c;second; with a semicolon\n",
    "no record at all",
    "4,991,6140901,-;third\n",
  ]);
  using log = await KernelLog.open(() => Promise.resolve(file));
  assertEquals(file.seeks, [[0, Deno.SeekMode.End]]);
  assertEquals(await first(log, 3), ["first", "second; with a semicolon", "third"]);
});

Deno.test("a log that breaks, or is none, is told of; one that was given up is not", async () => {
  const broken = new FakeLog([new Error("Input/output error (os error 5)")]);
  using log = await KernelLog.open(() => Promise.resolve(broken));
  await assertRejects(() => first(log, 1), Error, "Input/output error");
  using empty = await KernelLog.open(() => Promise.resolve(new FakeLog([null])));
  await assertRejects(() => first(empty, 1), Error, "it ends, and is no log");

  const quiet = new FakeLog([]);
  const given = await KernelLog.open(() => Promise.resolve(quiet));
  const reading = first(given, 1);
  given[Symbol.dispose]();
  given[Symbol.dispose]();
  assertEquals([await reading, quiet.closed], [[], 1]);
});

/** What a watch tells of such a log, once it has told `count` things. */
async function watched(
  open: () => Promise<KernelLog>,
  { addresses = [], count }: { addresses?: string[]; count: number },
): Promise<string[]> {
  const told: string[] = [];
  const enough = Promise.withResolvers<void>();
  const tell = (text: string) => {
    if (told.push(text) === count) enough.resolve();
  };
  using _watch = DmaFaultWatch.start({
    onFault: (fault, devices) => tell(`${fault.access} by ${devices.join(" or ") || "nobody"}`),
    onProblem: tell,
    open,
    addresses: () => Promise.resolve(addresses),
  });
  await enough.promise;
  return told;
}

Deno.test("a fault is of the device at its address, or of one of several in doubt", async () => {
  const file = new FakeLog(RECORDS.map(([record], index) => `3,${index},1,-;${record}\n`));
  const told = await watched(() => KernelLog.open(() => Promise.resolve(file)), {
    addresses: ["0000:01:00.0", "0000:0a:00.0", "0001:0a:00.0", "0000:00:01.0"],
    count: 8,
  });
  assertEquals(told, [
    "read by 0000:01:00.0",
    "write by 0000:01:00.0",
    "write by 0000:01:00.0",
    "write by nobody",
    "interrupt by 0000:01:00.0",
    "write by 0000:0a:00.0",
    "read by 0000:0a:00.0 or 0001:0a:00.0",
    "interrupt by 0001:0a:00.0",
  ]);
});

Deno.test("a log that cannot be opened is told of in words, once", async () => {
  const [text, ...more] = await watched(
    () => KernelLog.open(() => Promise.reject(new Deno.errors.PermissionDenied("Operation not permitted"))),
    { count: 1 },
  );
  assertMatch(
    text,
    /^a device that reaches outside its memory is stopped, but not noticed: the kernel's log/,
  );
  assertEquals(more, []);
});
