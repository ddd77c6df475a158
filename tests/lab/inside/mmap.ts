/** Mappings: only what was granted, only shared, never executable, and gone with the grant. */
import { assert, assertEquals } from "@std/assert";
import { BAR_SIZE, Child, claimCard, errnoName, grantOf, libc, PAGE, runCases } from "./harness.ts";

const SIGSEGV = 11;

/** The name of mmap's errno, or "mapped"; what is mapped is unmapped. */
function tried(fd: number, length: number, options: Parameters<typeof libc.mmap>[2] = {}): string {
  const at = libc.mmap(fd, length, options);
  if (at < 0 && at > -4096) return errnoName(at);
  libc.munmap(at, length);
  return "mapped";
}

await runCases({
  "a window can be mapped whole and in part": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const offset = grant.info().window[0].mmap_offset;
    assertEquals(tried(grant.fd, BAR_SIZE, { offset }), "mapped");
    assertEquals(tried(grant.fd, PAGE, { offset: offset + BigInt(BAR_SIZE - PAGE) }), "mapped");
    assertEquals(tried(grant.fd, PAGE, { offset, prot: libc.PROT.READ }), "mapped");
  },

  "a private mapping is refused": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const offset = grant.info().window[0].mmap_offset;
    assertEquals(tried(grant.fd, PAGE, { offset, flags: libc.MAP.PRIVATE }), "EINVAL");
  },

  "an executable mapping is refused, also by mprotect": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const offset = grant.info().window[0].mmap_offset;
    const { READ, EXEC } = libc.PROT;
    assertEquals(tried(grant.fd, PAGE, { offset, prot: READ | EXEC }), "EINVAL");
    const at = libc.mmap(grant.fd, PAGE, { offset });
    assertEquals(errnoName(libc.mprotect(at, { length: PAGE, prot: READ | EXEC })), "EACCES");
    libc.munmap(at, PAGE);
  },

  "past the window, and at offsets that were not given out, there is nothing": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const offset = grant.info().window[0].mmap_offset;
    assertEquals(tried(grant.fd, BAR_SIZE + PAGE, { offset }), "EINVAL");
    assertEquals(tried(grant.fd, PAGE, { offset: offset + BigInt(BAR_SIZE) }), "EINVAL");
    assertEquals(tried(grant.fd, 2 * PAGE, { offset: offset + BigInt(BAR_SIZE - PAGE) }), "EINVAL");
    for (const wrong of [0n, BigInt(PAGE), offset + 2n ** 32n, 2n ** 62n]) {
      assertEquals(tried(grant.fd, PAGE, { offset: wrong }), "EINVAL", `${wrong}`);
    }
  },

  "a part of a BAR is granted without the rest": () => {
    using claim = claimCard();
    using grant = grantOf(claim, { windows: [{ bar: 0, offset: 2 * PAGE, length: PAGE }] });
    const offset = grant.info().window[0].mmap_offset;
    assertEquals(tried(grant.fd, PAGE, { offset }), "mapped");
    assertEquals(tried(grant.fd, 2 * PAGE, { offset }), "EINVAL");
  },

  "a claim, an IRQ file and /dev/ring3 cannot be mapped": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const irq = grant.irqFile();
    assertEquals(tried(claim.fd, PAGE), "ENODEV");
    assertEquals(tried(irq, PAGE), "ENODEV");
  },

  "mappings are counted, in parts too": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const at = libc.mmap(grant.fd, 4 * PAGE, { offset: grant.info().window[0].mmap_offset });
    assertEquals(claim.status().counters.mappings, 1);
    libc.munmap(at + PAGE, PAGE);
    assertEquals(claim.status().counters.mappings, 2);
    libc.munmap(at, 4 * PAGE);
    assertEquals(claim.status().counters.mappings, 0);
  },

  "no mapping of an ended grant": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const offset = grant.info().window[0].mmap_offset;
    claim.revoke();
    assertEquals(tried(grant.fd, PAGE, { offset }), "EKEYREVOKED");
  },

  "after REVOKE an access is SIGBUS, to a window and to DMA memory": async () => {
    for (const kind of ["window", "dma"]) {
      using claim = claimCard();
      using grant = grantOf(claim);
      libc.setInherited(grant.fd);
      const offset = kind === "dma" ? grant.dmaAlloc(PAGE).mmapOffset : grant.info().window[0].mmap_offset;
      const child = new Child(["touch", grant.fd, offset, PAGE]);
      assert((await child.line()).startsWith("read "), kind);
      assertEquals(claim.status().counters.mappings, 1);
      claim.revoke();
      await child.go();
      assertEquals(await child.end(), "SIGBUS", kind);
    }
  },

  "a forked child has no mapping": async () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    libc.setInherited(grant.fd);
    const child = new Child(["fork", grant.fd, grant.info().window[0].mmap_offset, PAGE]);
    assertEquals(await child.line(), `signal ${SIGSEGV}`);
    assertEquals(await child.end(), 0);
  },

  "a grant has 1024 mappings and no more, not by splitting one either": () => {
    using claim = claimCard();
    using grant = grantOf(claim);
    const { mmapOffset: offset } = grant.dmaAlloc(4 * PAGE);
    const map = () => libc.mmap(grant.fd, 4 * PAGE, { offset });
    const found = Array.from({ length: 1024 }, map);
    assert(found.every((at) => at > 0));
    assertEquals(claim.status().counters.mappings, 1024);
    assertEquals(errnoName(map()), "ENOMEM");
    const [first, second] = found;
    assertEquals(errnoName(libc.mprotect(first + PAGE, { length: PAGE, prot: libc.PROT.READ })), "ENOMEM");
    libc.munmap(second, 4 * PAGE);
    libc.munmap(found[2], 4 * PAGE);
    assertEquals(libc.mprotect(first + PAGE, { length: PAGE, prot: libc.PROT.READ }), 0);
    assertEquals(claim.status().counters.mappings, 1024);
    for (const at of found) libc.munmap(at, 4 * PAGE);
    assertEquals(claim.status().counters.mappings, 0);
  },
});
