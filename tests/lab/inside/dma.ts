/** Memory for the device: what a grant allows, whose pages they are, and that they come back. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { ERRNO, KernelError, uapi } from "../../../src/kernel/mod.ts";
import {
  assertErrno,
  Child,
  claimCard,
  errnoName,
  eventually,
  grantOf,
  libc,
  PAGE,
  raw,
  type RawGrant,
  REQUEST,
  runCases,
} from "./harness.ts";

const TO_DEVICE = 1;
const FROM_DEVICE = 2;

/** Anonymous memory of this process. */
class Memory implements Disposable {
  readonly address: number;
  readonly length: number;
  readonly bytes: DataView;

  constructor(length: number, { prot = libc.PROT.READ | libc.PROT.WRITE } = {}) {
    this.address = libc.mmap(-1, length, { prot, flags: libc.MAP.PRIVATE | libc.MAP.ANONYMOUS });
    this.length = length;
    this.bytes = new DataView(libc.view(this.address, length));
  }

  [Symbol.dispose](): void {
    libc.munmap(this.address, this.length);
  }
}

/** Makes DMA_MAP of memory; 0 or -errno, the handle, and the segments it gave. */
function map(
  grant: RawGrant,
  { address, length, flags = TO_DEVICE | FROM_DEVICE, room = 256 }: {
    address: number;
    length: number;
    flags?: number;
    room?: number;
  },
): { result: number; handle: number; segments: { address: bigint; length: bigint }[] } {
  using table = new Memory(256 * uapi.SEGMENT.size);
  const { result, out } = raw(grant.fd, uapi.CALL.DMA_MAP, {
    layout: uapi.DMA_MAP,
    values: {
      flags,
      address: BigInt(address),
      length: BigInt(length),
      segment: BigInt(table.address),
      segments: room,
    },
  });
  const used = result === 0 ? out.segments as number : 0;
  const segments = Array.from(
    { length: used },
    (_, i) => uapi.SEGMENT.read(table.bytes, i * uapi.SEGMENT.size),
  );
  return { result, handle: out.handle as number, segments };
}

function unmap(grant: RawGrant, handle: number): number {
  return raw(grant.fd, uapi.CALL.DMA_UNMAP, { layout: uapi.DMA_UNMAP, values: { handle } }).result;
}

/** DMA_ALLOC; 0 or -errno. */
function alloc(grant: RawGrant, length: bigint): number {
  return raw(grant.fd, uapi.CALL.DMA_ALLOC, { layout: uapi.DMA_ALLOC, values: { length } }).result;
}

await runCases({
  "allocated memory is zero, whole pages, and one memory for all its mappings": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const { length, address, mmapOffset } = grant.dmaAlloc(3 * PAGE - 100);
    assertEquals(length, 3 * PAGE);
    assertEquals(address % BigInt(PAGE), 0n);
    const first = new Uint32Array(grant.view(mmapOffset, length));
    const second = new Uint32Array(grant.view(mmapOffset, length));
    assert(first.every((word) => word === 0));
    first[0] = 0x12345678;
    first[3 * PAGE / 4 - 1] = 0x9abcdef0;
    assertEquals([second[0], second[3 * PAGE / 4 - 1]], [0x12345678, 0x9abcdef0]);
  },

  "memory that a dead grant wrote to is zero in the next": () => {
    using claim = claimCard();
    for (let i = 0; i < 8; i++) {
      using grant = grantOf(claim);
      const words = new Uint32Array(grant.view(grant.dmaAlloc(64 * PAGE).mmapOffset, 64 * PAGE));
      assert(words.every((word) => word === 0));
      words.fill(0xdeadbeef);
    }
  },

  "allocations do not overlap": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const found = Array.from({ length: 16 }, () => grant.dmaAlloc(PAGE));
    assertEquals(new Set(found.map(({ address }) => address)).size, 16);
    assertEquals(new Set(found.map(({ mmapOffset }) => mmapOffset)).size, 16);
  },

  "over the quota is EDQUOT, and the text says by how much": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    assertErrno(alloc(grant, BigInt(REQUEST.dmaLimit + 1)), "EDQUOT");
    assertStringIncludes(claim.status().text, "1052672 bytes asked for, the manifest grants 1048576");
    grant.dmaAlloc(REQUEST.dmaLimit - PAGE);
    grant.dmaAlloc(PAGE);
    const error = assertThrows(() => grant.dmaAlloc(1), KernelError, "quota");
    assertErrno(-error.errno, "EDQUOT");
    assertEquals(Number(claim.status().counters.dma_bytes), REQUEST.dmaLimit);
  },

  "a length of zero or 4 GiB is EINVAL, the largest EDQUOT": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    assertErrno(alloc(grant, 0n), "EINVAL");
    assertErrno(alloc(grant, 2n ** 32n), "EINVAL");
    assertErrno(alloc(grant, 2n ** 64n - 1n), "EINVAL");
    assertErrno(alloc(grant, 2n ** 32n - 1n), "EDQUOT");
  },

  "a grant without DMA has none": () => {
    using claim = claimCard();
    using grant = grantOf(claim, { dmaLimit: 0 });
    assertErrno(alloc(grant, 1n), "EDQUOT");
    using memory = new Memory(PAGE);
    assertErrno(map(grant, memory).result, "EDQUOT");
  },

  "mapping pins the pages, and the segments cover the length": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(16 * PAGE);
    for (
      const [from, length, pages] of [[0, 16 * PAGE, 16], [100, 50, 1], [PAGE - 1, 2, 2], [7, 3 * PAGE, 4]]
    ) {
      const { result, handle, segments } = map(grant, { address: memory.address + from, length });
      assertEquals(errnoName(result), "0");
      assertEquals(segments.reduce((sum, segment) => sum + Number(segment.length), 0), length);
      assertEquals(Number(segments[0].address) % PAGE, from % PAGE);
      const { pinned_pages, dma_maps } = claim.status().counters;
      assertEquals([pinned_pages, dma_maps], [pages, 1]);
      assertEquals(unmap(grant, handle), 0);
      assertEquals(claim.status().counters.pinned_pages, 0);
    }
  },

  "fewer segments than it takes is ENOSPC, and nothing stays pinned": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE);
    assertErrno(map(grant, { ...memory, address: memory.address, length: PAGE, room: 0 }).result, "ENOSPC");
    const { pinned_pages, dma_maps } = claim.status().counters;
    assertEquals([pinned_pages, dma_maps], [0, 0]);
  },

  "segments that cannot be written is EFAULT, and nothing stays pinned": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE);
    const { result } = raw(grant.fd, uapi.CALL.DMA_MAP, {
      layout: uapi.DMA_MAP,
      values: { flags: TO_DEVICE, address: BigInt(memory.address), length: 1n, segment: 8n, segments: 16 },
    });
    assertErrno(result, "EFAULT");
    const { pinned_pages, dma_maps } = claim.status().counters;
    assertEquals([pinned_pages, dma_maps], [0, 0]);
  },

  "bad addresses are refused": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    assertErrno(map(grant, { address: 0, length: PAGE }).result, "EFAULT");
    assertErrno(map(grant, { address: 2 ** 46, length: PAGE }).result, "EFAULT");
    assertErrno(map(grant, { address: 2 ** 47, length: PAGE }).result, "EFAULT");
    assertErrno(map(grant, { address: PAGE, length: 0 }).result, "EINVAL");
    const wrapping = raw(grant.fd, uapi.CALL.DMA_MAP, {
      layout: uapi.DMA_MAP,
      values: { flags: TO_DEVICE, address: 2n ** 64n - 4096n, length: 8192n },
    });
    assertErrno(wrapping.result, "EINVAL");
  },

  "memory of which one page cannot be read is EFAULT, and nothing stays pinned": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(4 * PAGE);
    libc.mprotect(memory.address + 2 * PAGE, { length: PAGE, prot: 0 });
    assertErrno(map(grant, memory).result, "EFAULT");
    assertEquals(claim.status().counters.pinned_pages, 0);
  },

  "memory that the caller may not write is not mapped for writing": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE, { prot: libc.PROT.READ });
    assertErrno(map(grant, { address: memory.address, length: PAGE, flags: FROM_DEVICE }).result, "EFAULT");
    const { result, handle } = map(grant, { address: memory.address, length: PAGE, flags: TO_DEVICE });
    assertEquals(errnoName(result), "0");
    assertEquals(unmap(grant, handle), 0);
  },

  "a mapped window cannot be pinned in turn": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const address = libc.mmap(grant.fd, PAGE, { offset: grant.info().window[0].mmap_offset });
    assertErrno(map(grant, { address, length: PAGE }).result, "EFAULT");
    libc.munmap(address, PAGE);
  },

  "more than the kernel could ever pin is ENOMEM, without a word in its log": () => {
    using claim = claimCard();
    using grant = grantOf(claim, { dmaLimit: 2 ** 60 });
    assertErrno(map(grant, { address: PAGE, length: 2 ** 46 }).result, "ENOMEM");
    assertEquals(claim.status().counters.pinned_pages, 0);
  },

  "no direction is EINVAL": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE);
    assertErrno(map(grant, { address: memory.address, length: PAGE, flags: 0 }).result, "EINVAL");
  },

  "pinned and allocated memory share one quota": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(REQUEST.dmaLimit);
    grant.dmaAlloc(PAGE);
    assertErrno(map(grant, memory).result, "EDQUOT");
    const { result, handle } = map(grant, { address: memory.address, length: REQUEST.dmaLimit - PAGE });
    assertEquals(errnoName(result), "0");
    assertErrno(alloc(grant, 1n), "EDQUOT");
    assertEquals(unmap(grant, handle), 0);
    assertEquals(alloc(grant, 1n), 0);
  },

  "unmapping twice, or what was never mapped, is ENOENT": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE);
    const { handle } = map(grant, memory);
    assertEquals(unmap(grant, handle), 0);
    assertErrno(unmap(grant, handle), "ENOENT");
    for (const other of [0, 1000, 0xffffffff]) assertErrno(unmap(grant, other), "ENOENT");
  },

  "memory that is unmapped by its owner while pinned is given back once": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    {
      using memory = new Memory(4 * PAGE);
      assertEquals(errnoName(map(grant, memory).result), "0");
    }
    assertEquals(claim.status().counters.pinned_pages, 4);
    claim.revoke();
    assertEquals(claim.status().counters.pinned_pages, 0);
  },

  "an unprivileged process is held to RLIMIT_MEMLOCK": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const before = ["prlimit", `--memlock=${16 * PAGE}`, "setpriv", "--reuid", "1000", "--clear-groups"];
    for (const [pages, answer] of [[16, 0], [17, -ERRNO.ENOMEM]]) {
      const child = new Child(["pin", grant.fd, pages * PAGE], { before });
      assertEquals(await child.line(), `map ${answer}`, `${pages} pages`);
      await child.go();
      await child.end();
    }
  },

  "RLIMIT_MEMLOCK is the user's: another process of theirs has not as much again": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const before = ["prlimit", `--memlock=${16 * PAGE}`, "setpriv", "--reuid", "1001", "--clear-groups"];
    const answers: string[] = [];
    const children: Child[] = [];
    for (const pages of [10, 7, 6]) {
      const child = new Child(["pin", grant.fd, pages * PAGE], { before });
      children.push(child);
      answers.push(await child.line());
    }
    for (const child of children) {
      await child.go();
      await child.end();
    }
    assertEquals(answers, ["map 0", `map ${-ERRNO.ENOMEM}`, "map 0"]);
    assertEquals(claim.status().counters.pinned_pages, 16, "the grant has them still");
    claim.revoke();
    using next = grantOf(claim);
    libc.setInherited(next.fd);
    const child = new Child(["pin", next.fd, 16 * PAGE], { before });
    const answer = await child.line();
    await child.go();
    await child.end();
    assertEquals(answer, "map 0", "all of it is the user's again");
  },

  "a process killed with pinned memory leaves none": async () => {
    using claim = claimCard();
    const grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const child = new Child(["pin", grant.fd, 32 * PAGE]);
    assertEquals(await child.line(), "map 0");
    grant.dmaAlloc(PAGE);
    grant[Symbol.dispose]();
    const { pinned_pages, dma_maps, dma_bytes } = claim.status().counters;
    assertEquals([pinned_pages, dma_maps, Number(dma_bytes)], [32, 1, PAGE]);
    child.process.kill("SIGKILL");
    assertEquals(await child.end(), "SIGKILL");
    await eventually(() => claim.status().live === 0, "the grant ends");
    const after = claim.status().counters;
    assertEquals([after.pinned_pages, after.dma_maps, Number(after.dma_bytes)], [0, 0, 0]);
  },

  "an ended grant maps nothing": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    using memory = new Memory(PAGE);
    const { handle } = map(grant, memory);
    claim.revoke();
    assertErrno(map(grant, memory).result, "EKEYREVOKED");
    assertErrno(unmap(grant, handle), "EKEYREVOKED");
    assertErrno(alloc(grant, 1n), "EKEYREVOKED");
  },
});
