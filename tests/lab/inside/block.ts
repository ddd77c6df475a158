/** The block port, with drivers that have no disk: what they may say, and what becomes of requests. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { BLOCK_ERROR, OPERATION } from "../../../src/block/request.ts";
import { type BlockPortRequest, KernelError, uapi } from "../../../src/kernel/mod.ts";
import { bind } from "../../../src/pci.ts";
import {
  ATTACH,
  claimWithDisk,
  DISK,
  ERRNO_IO,
  exists,
  FakeDisk,
  OpenDisk,
  padded,
  pages,
  PORT,
  type Request,
  RING,
  run,
  SECTORS,
  sysfs,
  write,
} from "./fake_disk.ts";
import {
  assertErrno,
  claimCard,
  errnoName,
  eventually,
  grantOf,
  library,
  raw,
  type RawClaim,
  type RawGrant,
  runCases,
  sleep,
} from "./harness.ts";

const { BLOCK_FEATURE, END } = uapi;

/** Another device for another disk, and what that is called. */
const OTHER_ADDRESS = Deno.args[1];
const OTHER = "r3u0";

/** Reads so many sectors from the beginning of a disk: bytes or -errno. */
async function read(sectors = 1, name = DISK): Promise<number> {
  using disk = new OpenDisk(name);
  return await disk.read(pages(sectors * 512));
}

/** A disk whose partition table has been read. */
async function settled(claim: RawClaim, attach: Partial<typeof ATTACH> = {}): Promise<FakeDisk> {
  const disk = new FakeDisk(claim, attach);
  await disk.settle();
  return disk;
}

/** Takes so many more requests without ending them. */
async function keep(disk: FakeDisk, count: number): Promise<Request[]> {
  const found: Request[] = [];
  await eventually(() => {
    found.push(...disk.take());
    return found.length >= count;
  }, `${count} requests in the ring`);
  return found;
}

/** Ends requests until there is one that is wanted. */
async function keepOne(disk: FakeDisk, wanted: (request: Request) => boolean): Promise<Request> {
  let found: Request | undefined;
  await eventually(() => {
    for (const request of disk.take()) {
      if (wanted(request)) found = request;
      else disk.end(request);
    }
    disk.kick();
    return found !== undefined;
  }, "the request in the ring");
  return found!;
}

/** Reads of 1, 2 ... `count` sectors that the driver has in that order. */
async function inFlight(
  disk: FakeDisk,
  count: number,
): Promise<{ reads: Promise<number>[]; requests: Request[] }> {
  const reads: Promise<number>[] = [];
  const requests: Request[] = [];
  for (let i = 1; i <= count; i++) {
    reads.push(read(i));
    requests.push(...await keep(disk, 1));
  }
  assertEquals(requests.map(({ sectors }) => sectors), Array.from({ length: count }, (_, i) => i + 1));
  return { reads, requests };
}

/** Lies, one for each rule that a completion can break. */
const LIES: Record<string, { words: string; tell: (disk: FakeDisk, request: Request) => void }> = {
  "a token that was never given": {
    words: "not asked for",
    tell: (disk, { token }) => disk.queues[0].complete((token & 0xffff) === 15 ? 14 : 15, 1),
  },
  "a token with another sequence": {
    words: "not asked for",
    tell: (disk, { token, sectors }) => disk.queues[0].complete(token ^ 0x10000, sectors),
  },
  "a token past all tags": {
    words: "not asked for",
    tell: (disk) => disk.queues[0].complete(0xffff, 1),
  },
  "a request that is completed twice": {
    words: "not asked for",
    tell(disk, request) {
      disk.end(request);
      disk.end(request);
    },
  },
  "a request of fewer sectors than asked for": {
    words: "another length",
    tell: (disk, request) => disk.end({ ...request, sectors: request.sectors - 1 }),
  },
  "a request of more sectors than asked for": {
    words: "another length",
    tell: (disk, request) => disk.end({ ...request, sectors: request.sectors + 1 }),
  },
  "an unknown error": {
    words: "an error that is none",
    tell: (disk, request) => disk.end(request, 6),
  },
  "a counter that jumps by more than the ring": {
    words: "a counter that cannot be",
    tell: (disk) => disk.claimCompleted(0, 1 << 20),
  },
  "a counter that goes back": {
    words: "a counter that cannot be",
    tell: (disk) => disk.claimCompleted(0, -RING),
  },
};

/** Sees a grant end by a breach of the rings of a queue. */
async function endedByLie(claim: RawClaim, words: string, queue = 0): Promise<void> {
  await eventually(() => claim.status().live === 0, "the grant ends");
  const { end, text, counters } = claim.status();
  assertEquals([end, counters.tx_frames], [END.protocol, 0]);
  assertStringIncludes(text, `request ring ${queue}: `);
  assertStringIncludes(text, words);
}

/** Tells a lie, sees the grant end of it, another disk go on, and the next driver carry on with the request. */
async function lie({ words, tell }: (typeof LIES)[string]): Promise<void> {
  await bind(OTHER_ADDRESS, "ring3", { take: true });
  using otherClaim = claimWithDisk({ name: OTHER }, OTHER_ADDRESS);
  using other = new FakeDisk(otherClaim);
  await other.settle(OTHER);
  using claim = claimWithDisk();
  const first = await settled(claim);
  const { reads, requests } = await inFlight(first, 2);
  tell(first, requests[1]);
  first.kick();
  await endedByLie(claim, words);
  assertErrno(first.grant.waitOnce().result, "EKEYREVOKED");
  assertEquals((await other.serve(read(8, OTHER))).value, 4096);
  assertEquals(otherClaim.status().live, 1);
  first[Symbol.dispose]();
  using next = new FakeDisk(claim);
  assertEquals((await next.serve(Promise.all(reads))).value, [512, 1024]);
}

/** PORT_ATTACH with these values; 0 or -errno. */
function attachResult(grant: RawGrant, values: Partial<typeof ATTACH>): number {
  return raw(grant.fd, uapi.CALL.PORT_ATTACH, {
    layout: uapi.PORT_ATTACH_BLOCK,
    values: { kind: uapi.PORT_KIND.block, block: { ...ATTACH, ...values } },
  }).result;
}

await runCases({
  "a port with values out of range is EINVAL, in words": () => {
    using claim = claimCard();
    const wrong: [Partial<BlockPortRequest>, string][] = [
      [{ queues: 0 }, "1 to 16 queues"],
      [{ queues: 17 }, "1 to 16 queues"],
      [{ ring: 32 }, "64 to 4096 entries"],
      [{ ring: 100 }, "64 to 4096 entries"],
      [{ hold: 0 }, "wait 1 to"],
      [{ hold: 86_400_001 }, "wait 1 to"],
      [{ request: 0 }, "wait 1 to"],
      ...["", "sda", "r3", "r3b", "r30", "r3b0p1", "r3b%d0", "r3b%s", "r3B0", "r3/0"].map((
        name,
      ): [Partial<BlockPortRequest>, string] => [{ name }, "a disk's name is"]),
    ];
    for (const [values, words] of wrong) {
      const error = assertThrows(() => claim.portBlock({ ...PORT, ...values }), KernelError, words);
      assertEquals(errnoName(-error.errno), "EINVAL");
    }
    const values = { queues: 1, ring_size: 64, hold_ms: 1, request_ms: 1, name: "r3t%d" };
    for (const more of [{ policy: 2 }, { reserved: 1 }]) {
      const { result } = raw(claim.fd, uapi.CALL.PORT_BLOCK, {
        layout: uapi.PORT_BLOCK,
        values: { ...values, ...more },
      });
      assertErrno(result, "EINVAL");
    }
    claim.portBlock(PORT);
    assertEquals(errnoName(-assertThrows(() => claim.portBlock(PORT), KernelError).errno), "EEXIST");
  },

  "a driver's claims out of range are EINVAL, in words": () => {
    using claim = claimWithDisk();
    using grant = grantOf(claim, { windows: [], irqs: 0 });
    const wrong: [Partial<typeof ATTACH>, string][] = [
      [{ logical_block: 256 }, "a logical block"],
      [{ logical_block: 8192, physical_block: 8192 }, "a logical block"],
      [{ logical_block: 1536 }, "a logical block"],
      [{ physical_block: 256 }, "a physical block"],
      [{ sectors: 0n }, "whole logical blocks"],
      [{ sectors: 2n ** 63n }, "whole logical blocks"],
      [{ logical_block: 4096, alignment: 512, sectors: 7n }, "whole logical blocks"],
      [{ max_sectors: 7 }, "a request is at most"],
      [{ max_sectors: 1 << 20 }, "a request is at most"],
      [{ max_segments: 0 }, "a request has"],
      [{ max_segments: RING }, "a request has"],
      [{ max_segment: 2048 }, "a segment is at most"],
      [{ max_segment: 4097 }, "a segment is at most"],
      [{ max_segment: 1 << 20 }, "a segment is at most"],
      [{ boundary: 2048n }, "a boundary is"],
      [{ boundary: 5000n }, "a boundary is"],
      [{ alignment: 2 }, "an alignment is"],
      [{ alignment: 1024 }, "an alignment is"],
      [{ depth: 0 }, "a queue has"],
      [{ depth: 1025 }, "a queue has"],
      [{ queues: 0 }, "a driver serves"],
      [{ queues: 2 }, "a driver serves"],
      [{ features: 1 << 6 }, "an unknown feature"],
      [{ max_discard: 0 }, "a discard is"],
      [{ features: 0 }, "a discard is"],
      [{ max_discard: 1 << 20 }, "a discard is"],
      [{ max_discard: 1024, physical_block: 1 << 20 }, "at least one physical block"],
      [{ model: padded("tab\t", 40) }, "printable"],
      [{ serial: padded("a\0b", 24) }, "printable"],
    ];
    for (const [values, words] of wrong) {
      assertErrno(attachResult(grant, values), "EINVAL", words);
      assertStringIncludes(claim.status().text, words);
    }
  },

  "what follows the values of an attach must be zero, and a report has no place here": () => {
    using claim = claimWithDisk();
    using grant = grantOf(claim, { windows: [], irqs: 0 });
    const layout = uapi.PORT_ATTACH_BLOCK;
    const bytes = layout.encode({ argsz: layout.size, kind: uapi.PORT_KIND.block, block: ATTACH });
    bytes[bytes.length - 1] = 1;
    assertErrno(library.r3_call(grant.fd, uapi.CALL.PORT_ATTACH, bytes), "EINVAL");
    assertEquals(attachResult(grant, {}), 0);
    assertErrno(attachResult(grant, {}), "EALREADY");
    const values = { kind: uapi.PORT_KIND.block };
    const report = raw(grant.fd, uapi.CALL.PORT_REPORT, { layout: uapi.PORT_REPORT_NET, values });
    assertErrno(report.result, "EOPNOTSUPP");
  },

  "the disk has the driver's limits and names": async () => {
    using claim = claimWithDisk();
    using _disk = await settled(claim);
    const files = {
      size: `${SECTORS}`,
      ro: "0",
      model: "Fake disk",
      serial: "F-1",
      "queue/logical_block_size": "512",
      "queue/physical_block_size": "4096",
      "queue/max_hw_sectors_kb": "128",
      "queue/max_segments": "16",
      "queue/max_segment_size": "65536",
      "queue/write_cache": "write back",
      "queue/fua": "1",
      "queue/rotational": "0",
      "queue/discard_max_hw_bytes": `${1024 * 512}`,
      "queue/write_zeroes_max_bytes": `${1024 * 512}`,
    };
    for (const [name, value] of Object.entries(files)) assertEquals(await sysfs(name), value, name);
  },

  "a read-only disk that turns": async () => {
    using claim = claimWithDisk();
    const features = BLOCK_FEATURE.READ_ONLY | BLOCK_FEATURE.ROTATIONAL;
    using disk = await settled(claim, { features, max_discard: 0 });
    assertEquals([await sysfs("ro"), await sysfs("queue/rotational")], ["1", "1"]);
    assertEquals(await sysfs("queue/write_cache"), "write through");
    assert((await disk.serve(write(0, 1))).value !== 0, "no write gets through");
  },

  "the disk is gone with its claim, and its name is free": async () => {
    for (let i = 0; i < 2; i++) {
      using claim = claimWithDisk();
      using _disk = await settled(claim);
      assert(await exists());
    }
    assert(!await exists());
  },

  "a request says what is asked for, within the driver's limits": async () => {
    using claim = claimWithDisk();
    using disk = await settled(claim);
    const { value, requests } = await disk.serve(write(128, 512));
    assertEquals(value, 0);
    const writes = requests.filter(({ operation }) => operation === OPERATION.WRITE);
    assertEquals(writes.reduce((sum, { sectors }) => sum + sectors, 0), 512);
    assertEquals(Math.min(...writes.map(({ sector }) => sector)), 128);
    for (const { sectors, segments, forced } of writes) {
      assert(sectors <= 256 && segments.length <= 16 && !forced);
      assertEquals(segments.reduce((sum, { length }) => sum + length, 0), sectors * 512);
      for (const { address, length } of segments) {
        assert(length <= 65536 && length % 512 === 0 && address % 512 === 0);
        assertEquals(Math.floor(address / 65536), Math.floor((address + length - 1) / 65536));
      }
    }
  },

  "writes that must last are forced, and the cache is flushed": async () => {
    using claim = claimWithDisk();
    using disk = await settled(claim);
    const forced = await disk.serve(write(0, 8, "oflag=dsync"));
    assertEquals(forced.value, 0);
    assert(forced.requests.some(({ operation, forced }) => operation === OPERATION.WRITE && forced));
    const flushed = await disk.serve(write(0, 8, "conv=fsync"));
    const flush = flushed.requests.find(({ operation }) => operation === OPERATION.FLUSH);
    assertEquals(flush && [flush.sector, flush.sectors, flush.segments.length], [0, 0, 0]);
  },

  "discards and zeroes have sectors, and no data": async () => {
    using claim = claimWithDisk();
    using disk = await settled(claim);
    for (const [operation, flags] of [[OPERATION.DISCARD, []], [OPERATION.ZEROES, ["-z"]]] as const) {
      const { value, requests } = await disk.serve(run("blkdiscard", ...flags, `/dev/${DISK}`));
      assertEquals([value.code, value.text], [0, ""]);
      const found = requests.filter((request) => request.operation === operation);
      assertEquals(found.map(({ sector, sectors, segments }) => [sector, sectors, segments.length]), [
        [0, 1024, 0],
        [1024, 1024, 0],
      ]);
    }
  },

  "a read that no device has done shows zeroes, not what was in the page": async () => {
    using claim = claimWithDisk();
    using disk = await settled(claim);
    using open = new OpenDisk();
    const shared = pages(65536, { shared: true }).fill(0xaa);
    const own = pages(65536).fill(0xaa);
    assertEquals((await disk.serve(open.read(shared))).value, 65536);
    assert(shared.every((byte) => byte === 0), "pages that others may have used are cleared");
    assertEquals((await disk.serve(open.read(own))).value, 65536);
    assert(own.every((byte) => byte === 0xaa), "the reader's own are its own");
  },

  "errors arrive as what they are": async () => {
    using claim = claimWithDisk();
    using disk = await settled(claim);
    const errors: [error: number, errno: number][] = [
      [BLOCK_ERROR.IO, ERRNO_IO.EIO],
      [BLOCK_ERROR.MEDIUM, ERRNO_IO.ENODATA],
      [BLOCK_ERROR.TIMEOUT, ERRNO_IO.ETIMEDOUT],
      [BLOCK_ERROR.UNSUPPORTED, ERRNO_IO.EOPNOTSUPP],
      [BLOCK_ERROR.PROTECTED, ERRNO_IO.EREMOTEIO],
      [BLOCK_ERROR.GONE, ERRNO_IO.ENODEV],
    ];
    for (const [error, errno] of errors) {
      assertEquals((await disk.serve(read(), () => error)).value, -errno, `error ${error}`);
    }
    assertEquals((await disk.serve(read())).value, 512);
  },

  "a driver that fails all requests loses its grant, and the next one keeps it if it fails too": async () => {
    using claim = claimWithDisk();
    const first = await settled(claim);
    /** Fails so many requests, one after the other; of the rings nothing is touched after the last. */
    const fail = async (disk: FakeDisk, { count, error }: { count: number; error: number }) => {
      for (let i = 0; i < count; i++) {
        const reading = read();
        const [request] = await keep(disk, 1);
        disk.end(request, error);
        disk.kick();
        assert(await reading < 0);
      }
    };
    const ends = () => eventually(() => claim.status().live === 0, "the grant ends");
    await fail(first, { count: 12, error: BLOCK_ERROR.MEDIUM });
    await fail(first, { count: 7, error: BLOCK_ERROR.IO });
    assertEquals((await first.serve(read())).value, 512);
    await fail(first, { count: 8, error: BLOCK_ERROR.UNSUPPORTED });
    await ends();
    const { end, text } = claim.status();
    assertEquals([end, text], [END.failing, "it failed 8 requests in a row"]);
    first[Symbol.dispose]();

    using next = new FakeDisk(claim);
    // It is the device, until something is done again.
    await fail(next, { count: 12, error: BLOCK_ERROR.IO });
    assertEquals((await next.serve(read())).value, 512);
    await fail(next, { count: 8, error: BLOCK_ERROR.TIMEOUT });
    await ends();
  },

  "each processor has its queue": async () => {
    using claim = claimWithDisk({ queues: 2 });
    using disk = await settled(claim, { queues: 2 });
    for (const cpu of ["0", "1"]) {
      const dd = ["dd", `if=/dev/${DISK}`, "of=/dev/null", "iflag=direct", "bs=4096", "count=8"];
      const { value, requests } = await disk.serve(run("taskset", "-c", cpu, ...dd));
      assertEquals(value.code, 0, value.text);
      assertEquals(new Set(requests.map(({ queue }) => queue)), new Set([Number(cpu)]));
    }
  },

  "under reissue the next driver has what was in flight, in its order": async () => {
    using claim = claimWithDisk();
    const first = await settled(claim);
    const { reads, requests } = await inFlight(first, 4);
    assertEquals(claim.status().counters.tx_frames, 4);
    first[Symbol.dispose]();
    assertEquals(claim.status().counters.tx_frames, 0);
    using next = new FakeDisk(claim);
    const again = await keep(next, 4);
    assertEquals(again.map(({ sectors }) => sectors), [1, 2, 3, 4]);
    assertEquals(again.map(({ token }) => requests.some((request) => request.token === token)), [
      false,
      false,
      false,
      false,
    ]);
    for (const request of again) next.end(request);
    next.kick();
    assertEquals(await Promise.all(reads), [512, 1024, 1536, 2048]);
  },

  "what was done before a driver's end is not done again": async () => {
    using claim = claimWithDisk();
    const first = await settled(claim);
    const { reads, requests } = await inFlight(first, 2);
    first.end(requests[1]);
    first.kick();
    assertEquals(await reads[1], 1024);
    first[Symbol.dispose]();
    using next = new FakeDisk(claim);
    const served = await next.serve(reads[0]);
    assertEquals(served.requests.map(({ sectors }) => sectors), [1]);
  },

  "a flush and a forced write are again what they were, and what was acknowledged is not sent again":
    async () => {
      using claim = claimWithDisk();
      const first = await settled(claim);
      const flushed = write(0, 8, "conv=fsync");
      const flush = await keepOne(first, ({ operation }) => operation === OPERATION.FLUSH);
      first[Symbol.dispose]();
      const second = new FakeDisk(claim);
      const [again, ...more] = await keep(second, 1);
      assertEquals([again.operation, again.sectors, more.length], [OPERATION.FLUSH, flush.sectors, 0]);
      second.end(again);
      assertEquals((await second.serve(flushed)).value, 0);

      const forced = write(0, 8, "oflag=dsync");
      await keepOne(second, ({ forced }) => forced);
      second[Symbol.dispose]();
      using third = new FakeDisk(claim);
      const { value, requests: [request] } = await third.serve(forced);
      assertEquals([value, request.operation, request.forced], [0, OPERATION.WRITE, true]);
    },

  "under fail those in flight fail, and new ones wait": async () => {
    using claim = claimWithDisk({ onDeath: "fail" });
    const first = await settled(claim);
    const { reads } = await inFlight(first, 2);
    first[Symbol.dispose]();
    assertEquals(await Promise.all(reads), [-ERRNO_IO.EIO, -ERRNO_IO.EIO]);
    const waiting = read();
    assertEquals(await Promise.race([waiting, sleep(200)]), undefined);
    using next = new FakeDisk(claim);
    assertEquals((await next.serve(waiting)).value, 512);
  },

  "without a driver for long, all fail until there is one": async () => {
    using claim = claimWithDisk({ hold: 300 });
    const first = await settled(claim);
    const { reads } = await inFlight(first, 1);
    const from = performance.now();
    first[Symbol.dispose]();
    assertEquals(await reads[0], -ERRNO_IO.EIO);
    assert(performance.now() - from >= 290, "not before its time");
    assertEquals(await read(), -ERRNO_IO.EIO);
    using next = new FakeDisk(claim);
    assertEquals((await next.serve(read())).value, 512);
  },

  "a port that is taken down fails what waits, at once": async () => {
    using claim = claimWithDisk();
    const first = await settled(claim);
    assertEquals(errnoName(raw(claim.fd, uapi.CALL.PORT_DOWN, { layout: uapi.PORT_DOWN }).result), "EBUSY");
    const { reads } = await inFlight(first, 1);
    first[Symbol.dispose]();
    assertEquals(claim.portDown(), true);
    assertEquals(await reads[0], -ERRNO_IO.EIO);
    using next = new FakeDisk(claim);
    assertEquals((await next.serve(read())).value, 512);
  },

  "a request that drivers keep losing fails in the end": async () => {
    using claim = claimWithDisk({ hold: 500 });
    const first = await settled(claim);
    const { reads } = await inFlight(first, 1);
    first[Symbol.dispose]();
    {
      using second = new FakeDisk(claim);
      await keep(second, 1);
      await sleep(700);
    }
    assertEquals(await reads[0], -ERRNO_IO.EIO);
  },

  "a driver that keeps a request loses its grant, and the next one has the request": async () => {
    using claim = claimWithDisk({ request: 200 });
    const first = await settled(claim);
    const { reads } = await inFlight(first, 1);
    for (const deadline = performance.now() + 5000; claim.status().live === 1;) {
      assert(performance.now() < deadline, "the grant ends");
      first.kick();
      await sleep(20);
    }
    const { end, text, stalled_ms } = claim.status();
    assertEquals(end, END.stalled);
    assertStringIncludes(text, "a request not completed for");
    assert(stalled_ms >= 190, `${stalled_ms} ms`);
    first[Symbol.dispose]();
    using next = new FakeDisk(claim);
    assertEquals((await next.serve(Promise.all(reads))).value, [512]);
  },

  "requests that a driver does not come for are a stall": async () => {
    using claim = claimWithDisk();
    using disk = new FakeDisk(claim, {}, { stallMs: 1000 });
    await disk.settle();
    const waiting = read();
    await eventually(() => claim.status().live === 0, "the grant ends");
    assertEquals(claim.status().end, END.stalled);
    assertStringIncludes(claim.status().text, "requests pending");
    disk[Symbol.dispose]();
    using next = new FakeDisk(claim);
    assertEquals((await next.serve(waiting)).value, 512);
  },

  "a driver may end before it has served the partition table": async () => {
    using claim = claimWithDisk();
    for (let i = 0; i < 3; i++) new FakeDisk(claim)[Symbol.dispose]();
    using disk = await settled(claim);
    assertEquals((await disk.serve(read())).value, 512);
  },

  "a claim may be closed before anybody has": () => {
    using claim = claimWithDisk();
    using _disk = new FakeDisk(claim);
  },

  "a claim that is closed fails what waits, and who has the disk open has nothing": async () => {
    const claim = claimWithDisk();
    const disk = await settled(claim);
    using open = new OpenDisk();
    const { reads } = await inFlight(disk, 1);
    disk[Symbol.dispose]();
    claim[Symbol.dispose]();
    assertEquals(await reads[0], -ERRNO_IO.EIO);
    assert(await open.read(pages(512)) <= 0, "nothing can be read");
    assert(!await exists());
  },

  "what was written and not synced fails when the claim is closed, and nobody waits for it": async () => {
    const claim = claimWithDisk();
    const disk = await settled(claim);
    using file = Deno.openSync(`/dev/${DISK}`, { write: true });
    file.writeSync(new Uint8Array(65536).fill(1));
    disk[Symbol.dispose]();
    const synced = file.sync().then(() => "done", () => "failed");
    assertEquals(await Promise.race([synced, sleep(300)]), undefined, "a driver is waited for");
    claim[Symbol.dispose]();
    assertEquals(await Promise.race([synced, sleep(5000)]), "failed");
    const all = run("sync").then(({ code }) => code);
    assertEquals(await Promise.race([all, sleep(5000)]), 0);
  },

  "a driver of another disk, or of less, is refused": async () => {
    using claim = claimWithDisk({ queues: 2 });
    const first = await settled(claim, { queues: 2 });
    first[Symbol.dispose]();
    const wrong: [Partial<typeof ATTACH>, string][] = [
      [{ serial: padded("F-2", 24) }, "another disk"],
      [{ sectors: BigInt(SECTORS * 2) }, "another disk"],
      [{ logical_block: 1024 }, "logical block differs"],
      [{ features: ATTACH.features & ~BLOCK_FEATURE.CACHE }, "one has a cache"],
      [{ features: ATTACH.features & ~BLOCK_FEATURE.FUA }, "lacks a feature"],
      [{ features: ATTACH.features & ~BLOCK_FEATURE.DISCARD }, "lacks a feature"],
      [{ features: ATTACH.features | BLOCK_FEATURE.READ_ONLY }, "read-only now"],
      [{ max_sectors: 128 }, "smaller requests"],
      [{ max_segments: 8 }, "smaller requests"],
      [{ max_segment: 4096 }, "smaller requests"],
      [{ max_discard: 512 }, "smaller requests"],
      [{ boundary: 4096n }, "narrower boundary"],
      [{ depth: 8 }, "fewer or shorter queues"],
      [{ queues: 1 }, "fewer or shorter queues"],
    ];
    for (const [values, words] of wrong) {
      using grant = grantOf(claim, { windows: [], irqs: 0 });
      assertErrno(attachResult(grant, { queues: 2, ...values }), "EINVAL", words);
      assertStringIncludes(claim.status().text, words);
    }
    const more = { queues: 2, max_sectors: 512, depth: 64, boundary: 0n, serial: padded("F-1  ", 24) };
    using next = new FakeDisk(claim, more);
    assertEquals((await next.serve(read())).value, 512);
  },

  "a request that is ended with the token that another driver had for it ends the grant": async () => {
    using claim = claimWithDisk();
    const first = await settled(claim);
    const { reads, requests } = await inFlight(first, 1);
    first[Symbol.dispose]();
    const second = new FakeDisk(claim);
    const [again] = await keep(second, 1);
    second.end({ ...again, token: requests[0].token });
    second.kick();
    await endedByLie(claim, "not asked for");
    second[Symbol.dispose]();
    using third = new FakeDisk(claim);
    assertEquals((await third.serve(Promise.all(reads))).value, [512]);
  },

  "a request that is ended on another queue ends the grant": async () => {
    using claim = claimWithDisk({ queues: 2 });
    const first = await settled(claim, { queues: 2 });
    const { reads, requests: [{ queue, token, sectors }] } = await inFlight(first, 1);
    first.queues[1 - queue].complete(token, sectors);
    first.kick();
    await endedByLie(claim, "not asked for", 1 - queue);
    first[Symbol.dispose]();
    using next = new FakeDisk(claim, { queues: 2 });
    assertEquals((await next.serve(Promise.all(reads))).value, [512]);
  },

  ...Object.fromEntries(
    Object.entries(LIES).map(([what, told]) => [`${what} ends the grant, not the disk`, () => lie(told)]),
  ),
});
