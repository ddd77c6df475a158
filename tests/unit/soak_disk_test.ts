/** What the soaks of disks make of what they see: fio's words, the kernel's trace, commits, verdicts. */
import { assert, assertEquals, assertRejects, assertStringIncludes, assertThrows } from "@std/assert";
import { loadManifest } from "../../src/manifest/mod.ts";
import { failureProblems, parseBlockTrace } from "../../src/soak/block_trace.ts";
import {
  checkDatabases,
  CommitLog,
  committedLine,
  KINDS,
  lostCommits,
  parseCommitted,
} from "../../src/soak/database.ts";
import { diskComplaints } from "../../src/soak/disk.ts";
import { type FioPart, type FioSoak, formatFioSoak, mergeSummaries } from "../../src/soak/fio.ts";
import { fioCommand, parseFio } from "../../src/soak/fio_job.ts";
import { soakManifest } from "../../src/soak/manifest.ts";
import { losePower } from "../../src/soak/write_log.ts";
import { formatSqliteSoak, killsBeforeCuts, type SqliteSoak } from "../../src/soak/sqlite.ts";
import { DatabaseSync } from "node:sqlite";
import { LAB_RESULT } from "./figures.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

async function inFolder(work: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const direction = (total_ios: number) => ({ total_ios, io_bytes: total_ios * 16384, iops: 1.5 });
const output = (totalErr?: number, error = 0) =>
  `fio: a note\n${
    JSON.stringify({
      "fio version": "fio-3.33",
      jobs: [{ read: direction(300), write: direction(100), job_runtime: 2000, error, total_err: totalErr }],
    })
  }`;
const IO_ERROR = "fio: io_u error on file /dev/r3b0: Input/output error: write offset=32768, buflen=16384";
const WRONG =
  "verify: bad header rand_seed 1, wanted 2 at file /dev/r3b0 offset 4096, length 4096 (requested block: offset=0, length=16384)";

Deno.test("fio is read: what it did, which requests failed, and what was not as written", () => {
  assertEquals(parseFio({ stdout: output(), stderr: "" }), {
    requests: 400,
    bytes: 400 * 16384,
    writes: 100,
    seconds: 2,
    failed: [],
    wrong: [],
  });
  const run = parseFio({ stdout: output(2), stderr: `${IO_ERROR}\n${WRONG}\n` });
  assertEquals(run.failed, [{ operation: "write", offset: 32768, length: 16384 }]);
  assertEquals(run.wrong, [WRONG]);
});

Deno.test("an fio that breaks off, or counts errors that it does not name, is no result", () => {
  assertThrows(
    () => parseFio({ stdout: "", stderr: "fio: no such engine\n" }),
    Error,
    "did not come to its end: fio: no such engine",
  );
  assertThrows(() => parseFio({ stdout: output(2), stderr: IO_ERROR }), Error, "counts 2 errors and names 1");
  assertThrows(() => parseFio({ stdout: output(0, 19), stderr: "" }), Error, "ended with error 19");
});

Deno.test("fio has no limit of time, which would end it before it has verified", () => {
  const argv = fioCommand({ path: "/dev/r3b0", depth: 8, requests: 100, seed: 3, mayFail: false });
  assertEquals(argv.filter((arg) => /runtime|time_based/.test(arg)), []);
  for (const wanted of ["--iodepth=8", "--verify=crc32c", "--direct=1", `--io_size=${100 * 16384}`]) {
    assert(argv.includes(wanted), wanted);
  }
});

Deno.test("where writes may fail, fio verifies as if now and then, which is at the end", () => {
  const job = { path: "/dev/r3b0", depth: 8, requests: 100, seed: 3 };
  const backlog = (mayFail: boolean) =>
    fioCommand({ ...job, mayFail }).filter((arg) => arg.startsWith("--verify_backlog"));
  assertEquals([backlog(false), backlog(true)], [[], ["--verify_backlog=101"]]);
});

const line = (at: number, what: string) => `          <idle>-0       [001] d.s1.   ${at.toFixed(6)}: ${what}`;
const error = (at: number, kind: string, place: string) =>
  line(at, `block_rq_error: 259,0 ${kind} () ${place} [-5]`);
const detach = (at: number) => line(at, "detach: (r3_block_detach+0x0/0x120 [ring3])");
const attach = (at: number) => line(at, "attach: (r3_block_attach+0x0/0x4d0 [ring3])");
const traced = (lines: string[], written = lines.length) =>
  `# tracer: nop\n#\n# entries-in-buffer/entries-written: ${lines.length}/${written}   #P:2\n#\n${
    lines.join("\n")
  }`;
const LINES = [
  detach(10),
  error(10.001, "WS", "64 + 32"),
  // As later kernels write it, with a priority.
  error(10.002, "R", "128 + 32 none,0,0"),
  line(10.1, "block_rq_error: 254,0 R () 0 + 8 [-5]"),
  attach(10.5),
  detach(20),
];

Deno.test("the trace tells failures of one disk, and times without a driver", () => {
  const trace = parseBlockTrace(traced(LINES), "259:0");
  assertEquals(trace.failures, [
    { at: 10.001, operation: "write", sector: 64, sectors: 32 },
    { at: 10.002, operation: "read", sector: 128, sectors: 32 },
  ]);
  assertEquals(trace.gaps, [{ from: 10, to: 10.5 }, { from: 20, to: Infinity }]);
  assertThrows(() => parseBlockTrace(traced(LINES, 9), "259:0"), Error, "holds 6 of 9 lines");
  assertThrows(() => parseBlockTrace("", "259:0"), Error, "holds none of its lines");
});

Deno.test("under fail an error must be the kernel's, come at a death, and not be one too many", () => {
  const failed = [{ operation: "write" as const, offset: 64 * 512, length: 16384 }, {
    operation: "read" as const,
    offset: 128 * 512,
    length: 16384,
  }];
  const trace = parseBlockTrace(traced(LINES), "259:0");
  assertEquals(failureProblems(trace, { failed, depth: 2 }), []);
  assertEquals(failureProblems(trace, { failed, depth: 1 }), [
    "errors: 2 requests failed at the death at 10 s, with 1 under way",
  ]);
  const other = [{ operation: "read" as const, offset: 64 * 512, length: 16384 }];
  assertEquals(failureProblems(trace, { failed: other, depth: 2 }), [
    "errors: fio saw a read at byte 32768 fail, and the kernel did not",
  ]);
  const served = parseBlockTrace(traced([...LINES.slice(0, 5), error(11, "W", "64 + 32")]), "259:0");
  assertEquals(failureProblems(served, { failed, depth: 2 }), [
    "errors: a write at sector 64 failed at 11 s, while a driver served the disk",
  ]);
});

Deno.test("a disk's manifest has the policy of the soak, and the rest of its port as users have it", async () => {
  await inFolder(async (folder) => {
    const from = `${ROOT}manifests`;
    const text = await Deno.readTextFile(`${from}/nvme.json`);
    const policy = {
      spare: true,
      stall: 1000,
      port: { onDeath: "fail" as const, hold: "20s" },
      backoff: 2000,
    };
    await Deno.writeTextFile(`${folder}/nvme.json`, soakManifest(text, { ...policy, from, to: folder }));
    const [soaked, plain] = [
      await loadManifest(`${folder}/nvme.json`),
      await loadManifest(`${from}/nvme.json`),
    ];
    assertEquals(soaked.grant, {
      ...plain.grant,
      port: { ...plain.grant.port, onDeath: "fail", hold: 20_000 } as typeof plain.grant.port,
    });
    assertEquals(soaked.restart.backoff, { from: 2000, to: 2000 });
  });
});

Deno.test("the kernel's words of failed requests and damaged file systems are found, for one disk", () => {
  const bad = [
    "[   9.1] I/O error, dev r3b0, sector 64 op 0x1:(WRITE) flags 0x8800",
    "[   9.2] Buffer I/O error on dev r3b0, logical block 0, async page read",
    "[   9.3] EXT4-fs error (device r3b0): ext4_lookup:1855: inode #2: comm x: bad",
    "[   9.4] Aborting journal on device r3b0-8.",
    "[   9.5] JBD2: Error -5 detected when updating journal superblock for r3b0-8.",
  ];
  const good = [
    "[   9.6] EXT4-fs (r3b0): mounted filesystem with ordered data mode. Quota mode: none.",
    "[   9.7] EXT4-fs (r3b0): recovery complete",
    "[   9.8] EXT4-fs (r3b0): re-mounted. Opts: errors=remount-ro",
    "[   9.9] I/O error, dev vda, sector 64",
  ];
  assertEquals(diskComplaints([...bad, ...good].join("\n"), "r3b0"), bad.map((text) => `disk: ${text}`));
});

Deno.test("databases commit, are found whole, and go on where they were", async () => {
  await inFolder((folder) => {
    for (const kind of KINDS) {
      using log = new CommitLog(folder, kind);
      assertEquals([log.commit(), log.commit()], [1, 2]);
    }
    assertEquals(checkDatabases(folder).problems, []);
    {
      using log = new CommitLog(folder, "wal");
      assertEquals(log.commit(), 3);
    }
    const { last, problems, version } = checkDatabases(folder);
    assertEquals([last, problems], [{ wal: 3, rollback: 2 }, []]);
    assert(/^3\.\d+/.test(version), version);
  });
});

Deno.test("a lost, a changed and a half-committed entry are found", async () => {
  const found = async (spoil: string) => {
    let problems: string[] = [];
    await inFolder((folder) => {
      for (const kind of KINDS) {
        using log = new CommitLog(folder, kind);
        for (let i = 0; i < 3; i++) log.commit();
      }
      const database = new DatabaseSync(`${folder}/rollback.sqlite`);
      database.exec(spoil);
      database.close();
      ({ problems } = checkDatabases(folder));
    });
    return problems;
  };
  assertEquals(await found("DELETE FROM entries WHERE number = 2"), ["rollback: entry 2 is missing"]);
  const changed = await found("UPDATE entries SET content = zeroblob(length(content)) WHERE number = 2");
  assertEquals(changed, ["rollback: entry 2 is not what was committed"]);
  const [half] = await found("DELETE FROM entries WHERE number = 3");
  assertStringIncludes(half, "rollback: its 2 entries of");
});

Deno.test("an acknowledgement is a whole line", () => {
  assertEquals(parseCommitted(committedLine("wal", 12)), { kind: "wal", number: 12 });
  for (const text of ["wal 12", "wal 12 commit", "log 12 committed", "wal x committed", ""]) {
    assertEquals(parseCommitted(text), undefined, text);
  }
});

Deno.test("commits that were acknowledged must be there; one more may be", () => {
  assertEquals(lostCommits({ wal: 5, rollback: 7 }, { wal: 5, rollback: 8 }), []);
  assertEquals(lostCommits({ wal: 5, rollback: 7 }, { wal: 4, rollback: 7 }), [
    "commits: wal acknowledged 5 and has 4",
  ]);
});

const SECTOR = 512;

/** A log as QEMU writes it, of these entries; one of undefined is a gap. */
function logged(
  entries: ({ sector: number; content: Uint8Array; flags?: number } | undefined)[],
): Uint8Array {
  const parts: Uint8Array[] = [];
  const head = (numbers: readonly bigint[]) => {
    const bytes = new Uint8Array(SECTOR);
    bytes.set(new Uint8Array(new BigUint64Array(numbers).buffer));
    parts.push(bytes);
  };
  head([0x6a736677736872n, 1n, BigInt(entries.length), BigInt(SECTOR)]);
  for (const entry of entries) {
    if (!entry) {
      head([]);
      continue;
    }
    const { sector, content, flags = 0 } = entry;
    head([BigInt(sector), BigInt(content.length / SECTOR), BigInt(flags), 0n]);
    parts.push(content);
  }
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

const content = (byte: number, length = 4096) => new Uint8Array(length).fill(byte);
const FLUSH = { sector: 0, content: content(0, 0), flags: 1 };

/** What a disk of 16 blocks holds after a loss of power, a byte of each, and what was said of it. */
async function after(log: Uint8Array, draws: number[]) {
  let found: { blocks: number[]; loss: ReturnType<typeof losePower> } | undefined;
  await inFolder(async (folder) => {
    await Deno.writeFile(`${folder}/log`, log);
    await Deno.writeFile(`${folder}/disk`, content(9, 16 * 4096));
    let draw = 0;
    const loss = losePower(`${folder}/disk`, {
      log: `${folder}/log`,
      random: () => draws[draw++ % draws.length],
    });
    const disk = await Deno.readFile(`${folder}/disk`);
    found = { blocks: Array.from({ length: 16 }, (_, i) => disk[i * 4096 + 100]), loss };
  });
  return found!;
}

Deno.test("a loss of power leaves what was flushed, and any part of what came after", async () => {
  const log = logged([
    { sector: 8, content: content(1) },
    FLUSH,
    { sector: 16, content: content(2, 3 * 4096) },
    { sector: 8, content: content(3) },
  ]);
  // The first number is how much is held back; each of the others decides on a block.
  const { blocks, loss } = await after(log, [0.5, 0.1, 0.9, 0.1, 0.1]);
  assertEquals(blocks.slice(0, 6), [9, 1, 9, 2, 9, 9]);
  assertEquals(loss, { writes: 3, flushes: 1, kept: 1, lost: 3 });
  const all = await after(log, [0]);
  assertEquals(all.blocks.slice(0, 6), [9, 3, 2, 2, 2, 9]);
});

Deno.test("a write that was forced is not lost, whether its log says so or what ext4 forces does", async () => {
  const commit = content(5);
  commit.set([0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 2]);
  const descriptor = commit.slice();
  descriptor[7] = 1;
  const log = logged([
    { sector: 8, content: content(1), flags: 2 },
    { sector: 16, content: commit },
    { sector: 24, content: descriptor },
    { sector: 0, content: content(4) },
  ]);
  const { blocks, loss } = await after(log, [1, 0.5]);
  assertEquals(blocks.slice(0, 4), [4, 1, 5, 9]);
  assertEquals([loss?.lost, loss?.kept], [1, 0]);
});

Deno.test("of a disk that was never flushed, whose log has no head yet, everything may be lost", async () => {
  const log = logged([{ sector: 8, content: content(1) }, { sector: 16, content: content(2) }]);
  log.fill(0, 0, SECTOR);
  const { blocks, loss } = await after(log, [0.5, 0.1, 0.9]);
  assertEquals(blocks.slice(0, 4), [9, 9, 2, 9]);
  assertEquals(loss, { writes: 2, flushes: 0, kept: 1, lost: 1 });
});

Deno.test("a log with a gap tells nothing, an empty one of no write, and another file is none", async () => {
  const { blocks, loss } = await after(logged([{ sector: 8, content: content(1) }, undefined, FLUSH]), [0]);
  assertEquals([blocks[1], loss], [9, undefined]);
  assertEquals((await after(new Uint8Array(), [0])).loss, { writes: 0, flushes: 0, kept: 0, lost: 0 });
  await assertRejects(() => after(content(7), [0]), Error, "not in the format of dm-log-writes");
});

Deno.test("kills are shared out among cuts", () => {
  assertEquals(killsBeforeCuts({ kills: 200, cuts: 20 }), Array(20).fill(10));
  assertEquals(killsBeforeCuts({ kills: 8, cuts: 3 }), [3, 2, 3]);
  assertEquals(killsBeforeCuts({ kills: 8, cuts: 1 }), [8]);
});

const BASE = { ...LAB_RESULT, disk: "nvme" as const };

Deno.test("the fio soak tells rates, errors by policy, and faults", () => {
  const part = (policy: FioPart["policy"], errors: FioPart["errors"]): FioPart => ({
    policy,
    depth: 32,
    runs: 2,
    requests: 1500,
    bytes: 1500 * 16384,
    writes: 500,
    seconds: 10,
    iops: { undisturbed: 400, disturbed: 150 },
    errors,
    faults: 4,
  });
  const faults = mergeSummaries([
    { how: "kill", count: 2, right: 2, spares: 2, recoveries: [100, 300] },
    { how: "stall", count: 1, right: 1, spares: 0, recoveries: [900] },
    { how: "kill", count: 1, right: 1, spares: 1, recoveries: [200] },
  ]);
  const result: FioSoak = {
    ...BASE,
    soak: "fio",
    ok: false,
    time: 24_000,
    parts: [
      part("reissue", { verify: 0, io: 0 }),
      part("fail", { verify: 0, io: 0 }),
      part("hold", { verify: 1, io: 0 }),
    ],
    failedAtDeaths: [31, 32],
    faults,
  };
  const text = formatFioSoak(result);
  assert(
    /reissue, depth 32 +1,500 requests in 10 s with 4 ends: 150 IOPS, 2\.3 MiB\/s.* ok/.test(text),
    text,
  );
  // Where errors must happen, none is none of the expected; where nothing may be wrong, one block is too many.
  assert(/fail, depth 32 .*I\/O errors 0 +FAILED/.test(text), text);
  assert(/hold, depth 32 .*verify errors 1, I\/O errors 0 +FAILED/.test(text), text);
  assert(/faults: kill +3, 3 reported as "signal"; recovery p50 200 ms/.test(text), text);
  assertStringIncludes(text, "under way at a death: 31, 32");
  assertStringIncludes(text, "ready at 3 of 4 ends");
});

Deno.test("the SQLite soak tells commits, cuts and what it looked at", () => {
  const result: SqliteSoak = {
    ...BASE,
    soak: "sqlite",
    ok: false,
    problems: ["file system: fsck finds it damaged: x"],
    sqlite: "3.53.2",
    kills: 8,
    cuts: 2,
    seed: 1,
    looks: [
      { kills: 4, loss: null, acknowledged: { wal: 10, rollback: 10 }, found: { wal: 11, rollback: 10 } },
      {
        kills: 4,
        loss: { writes: 90, flushes: 9, kept: 3, lost: 1200 },
        acknowledged: { wal: 1020, rollback: 1019 },
        found: { wal: 1020, rollback: 1019 },
      },
    ],
    recoveries: [200, 300, 400],
    crashes: ["SIGSEGV"],
  };
  const text = formatSqliteSoak(result);
  assertStringIncludes(text, "Soak of nvme with SQLite 3.53.2 on ext4, on Linux 6.1 (tcg): 1 did not hold");
  assert(/commits +wal 1,020, rollback 1,019 acknowledged.* 2 cuts; 1 more .* ok/.test(text), text);
  assert(/file system +damaged +FAILED/.test(text), text);
  assert(
    /cuts +2, after 90 writes and 9 flushes .* 1,200 blocks of 4 KiB were lost and 3 kept; at 1 cuts the disk kept everything/
      .test(text),
    text,
  );
  assert(/databases +integrity_check ok 2 times.* ok/.test(text), text);
  assert(/QEMU +ended once by a fault of its own \(SIGSEGV\).* ok/.test(text), text);
});
