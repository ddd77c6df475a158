/** Workloads: their words, how those of two ends become one, and what their parts in the guest make of what they see. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { Broken, commitOn, type FileSystem } from "../../src/faults/workloads/inside/commits.ts";
import { nextRequests, requestsIn, Watch, wrongIn } from "../../src/faults/workloads/inside/fio.ts";
import { damageIn } from "../../src/faults/workloads/inside/sqlite.ts";
import { Tally } from "../../src/faults/workloads/inside/tally.ts";
import { untilInputEnds } from "../../src/faults/workloads/programs.ts";
import {
  follow,
  MAX_TEXT,
  Merger,
  parseWord,
  type Program,
  reasonIn,
  together,
  type Word,
} from "../../src/faults/workloads/workload.ts";
import { pause } from "../../src/pause.ts";

const word = (parts: Partial<Word> = {}): Word => ({ at: 0, done: 0, failed: 0, wrong: 0, gap: 0, ...parts });

Deno.test("a word is read as it is, and nothing else is a word", () => {
  const whole = word({ at: 1.5, done: 2, gap: 3.25, text: "x" });
  assertEquals(parseWord(JSON.stringify(whole)), whole);
  for (const line of ["", "ready", "{}", JSON.stringify({ ...whole, more: 1 }), '{"at":1']) {
    assertThrows(() => parseWord(line), Error, "it says what is no word");
  }
});

Deno.test("why a program ended is its error, without colours, or else the last that it said", () => {
  const said =
    "\u001b[0m\u001b[1m\u001b[31merror\u001b[0m: Uncaught Error: disk I/O error\n    at commit (a.ts:1:2)\n";
  assertEquals(reasonIn(said), "error: Uncaught Error: disk I/O error");
  assertEquals(reasonIn("one\n  two \n\n"), "two");
  assertEquals(reasonIn(" \n"), undefined);
});

Deno.test("two words are one: counts add up, the longest gap and the first text stay", () => {
  const one = word({ at: 10, done: 1, failed: 2, gap: 5, text: "first" });
  const other = word({ at: 9, done: 3, wrong: 1, gap: 7, text: "second" });
  const both = { at: 10, done: 4, failed: 2, wrong: 1, gap: 7, text: "first" };
  assertEquals(together(one, other), both);
});

Deno.test("two ends speak as one, and none waits for one that is silent", () => {
  const merger = new Merger(2);
  assertEquals(merger.take(0, word({ at: 1, done: 1 })), undefined);
  assertEquals(merger.take(1, word({ at: 2, done: 2, gap: 4 })), word({ at: 2, done: 3, gap: 4 }));
  assertEquals(merger.take(0, word({ at: 3 })), undefined);
  assertEquals(merger.take(0, word({ at: 4, failed: 1 })), word({ at: 3 }));
  // What the other end says comes later than what it is about.
  assertEquals(merger.take(1, word({ at: 1 })), word({ at: 4, failed: 1 }));
  assertEquals(merger.rest(), undefined);
  merger.take(1, word({ at: 2, wrong: 1 }));
  assertEquals(merger.rest(), word({ at: 4, wrong: 1 }));
});

/** A shell that says words. */
function shell(script: string, tells = true): Program {
  const child = new Deno.Command("dash", {
    args: ["-c", script],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  return { name: "the shell", child, tells };
}

/** Its line that says a word. */
const says = (parts: Partial<Word>) => `echo '${JSON.stringify(word(parts))}'`;

Deno.test("words begin with the first operation that ends well, and end with the programs", async () => {
  const workload = await follow([
    shell(
      `${says({ failed: 1 })}; ${says({ done: 1, gap: 900 })}; ${says({ gap: 70 })}; cat; ${
        says({ done: 5 })
      }`,
    ),
    shell("echo ready; cat", false),
  ]);
  const seen: Word[] = [];
  for await (const one of workload.words) {
    seen.push(one);
    if (one.gap === 70) workload.stop();
  }
  assertEquals(seen, [word({ done: 1 }), word({ gap: 70 }), word({ done: 5 })]);
  await workload.stop();
});

Deno.test("a program that ends by itself, or says something else, ends the words and the others", async () => {
  const failing = async (script: string, tells: boolean) => {
    await using workload = await follow([shell(`${says({ done: 1 })}; cat`), shell(script, tells)]);
    for await (const _ of workload.words);
  };
  await assertRejects(
    () => failing("sleep 0.2; echo no memory >&2; exit 3", false),
    Error,
    "the shell ended by itself: no memory",
  );
  await assertRejects(
    () => failing("sleep 0.2; echo 'error: Uncaught X' >&2; echo '  at y' >&2; exit 1", false),
    Error,
    "ended by itself: error: Uncaught X",
  );
  await assertRejects(() => failing("sleep 0.2; exit 3", false), Error, "ended by itself: status 3");
  await assertRejects(() => failing("sleep 0.2; echo what; cat", true), Error, "says what is no word: what");
  await assertRejects(() => follow([shell("echo no disk >&2")]), Error, "the shell ended by itself: no disk");
});

Deno.test("a command that does not look at its input ends with it, and is missed if it ends before", async () => {
  const start = (argv: string[]) => {
    const [program, ...args] = untilInputEnds(argv);
    return new Deno.Command(program, { args, stdin: "piped", stdout: "piped", stderr: "null" }).spawn();
  };
  const sleeping = start(["sleep", "1000"]);
  await sleeping.stdin.close();
  assertEquals((await sleeping.output()).code, 128 + 15);
  const ending = start(["dash", "-c", "echo said; exit 3"]);
  const said = await new Response(ending.stdout).text();
  assertEquals([said, (await ending.status).code], ["said\n", 3]);
  await ending.stdin.close();
});

Deno.test("a tally tells what there was since its last word, and of a gap as long as it lasts", () => {
  let now = 1000;
  const tally = new Tally({ now: () => now, wall: () => now + 0.5 });
  now += 40;
  tally.well(3);
  now += 10;
  assertEquals(tally.word(), { at: 1050.5, done: 3, failed: 0, wrong: 0, gap: 40 });
  now += 250;
  tally.failed(" one\n  line ");
  tally.wrong("x".repeat(1000));
  assertEquals(tally.word(), { at: 1300.5, done: 0, failed: 1, wrong: 1, gap: 260, text: "one line" });
  now += 100;
  tally.well();
  tally.wrong("x".repeat(1000));
  const { gap, text } = tally.word();
  assertEquals([gap, text?.length], [360, MAX_TEXT]);
  now += 30;
  tally.rest();
  now += 5000;
  tally.well();
  assertEquals(tally.word(), { at: 6430.5, done: 1, failed: 0, wrong: 0, gap: 30 });
});

const FAILED = "fio: io_u error on file /dev/r3b0: Input/output error: write offset=32768, buflen=16384";

Deno.test("what a disk has done counts, but for what fio was told has failed", () => {
  assertEquals(requestsIn("   100 2 800 30  50 1 400 20 0 40 50 0 0 0 0 9 1\n"), 150);
  const tally = new Tally();
  const watch = new Watch(tally);
  const done = (requests?: number) => {
    watch.look(requests);
    return tally.word().done;
  };
  assertEquals([done(100), done(130), done(undefined), done(20), done(25)], [0, 30, 0, 0, 5]);
  watch.said(FAILED);
  watch.said("fio: something else");
  watch.look(27);
  const { failed, text, done: well } = tally.word();
  assertEquals([failed, well, text], [1, 1, FAILED]);
  assertEquals(done(28), 1);
});

Deno.test("a run of fio is as long as the last was quick, and out of step it finds nothing wrong", () => {
  const next = (requests: number, seconds: number, places = 65_536) =>
    nextRequests({ requests, seconds }, { places });
  assertEquals([next(300, 0.5), next(300, 60), next(1e6, 0)], [1200, 100, 32_768]);
  assertEquals(next(1e6, 1, 16_384), 16_384);
  const failed = [{ operation: "write" as const, offset: 0, length: 16384 }];
  const run = { requests: 1, bytes: 1, writes: 1, seconds: 1, wrong: ["verify: x"], failed };
  assertEquals(wrongIn(run, { mayFail: true }), ["verify: x"]);
  assertEquals(wrongIn(run, { mayFail: false }), []);
  assertEquals(wrongIn({ ...run, failed: [] }, { mayFail: false }), ["verify: x"]);
});

Deno.test("fsck's word is damage, unless it could not read", () => {
  assertEquals(damageIn({ code: 0, said: "clean" }), undefined);
  assertEquals(damageIn({ code: 1, said: "FILE SYSTEM WAS MODIFIED" }), undefined);
  const said = "fsck.ext4: Bad magic number in super-block";
  assertEquals(damageIn({ code: 8, said }), `fsck cannot repair the file system: status 8: ${said}`);
  assertThrows(
    () => damageIn({ code: 8, said: "Error reading block 1 (Input/output error)." }),
    Broken,
    "fsck: Error reading block 1",
  );
});

/** A folder in the place of a file system, and what was asked of it. */
class Folder implements FileSystem {
  readonly asked: string[] = [];
  readonly folder: string;
  #work: Partial<FileSystem>;

  constructor(folder: string, work: Partial<FileSystem>) {
    this.folder = folder;
    this.#work = work;
  }

  async make() {
    this.asked.push("make");
    for await (const { name } of Deno.readDir(this.folder)) {
      await Deno.remove(`${this.folder}/${name}`, { recursive: true });
    }
  }

  async repair() {
    this.asked.push("repair");
    return await this.#work.repair?.();
  }

  async forget(path: string) {
    await this.#work.forget?.(path);
  }

  unmount() {
    this.asked.push("unmount");
    return Promise.resolve();
  }
}

/** Commits on a folder until something that is awaited is there: all that was told, and what was asked. */
async function committing(work: Partial<FileSystem>, enough: (sum: Word) => boolean) {
  const folder = await Deno.makeTempDir();
  try {
    const files = new Folder(folder, work);
    const tally = new Tally();
    const over = new AbortController();
    const running = commitOn(files, { tally, over: over.signal, round: 700, retry: 20 });
    let sum = word();
    for (const end = performance.now() + 60_000; !enough(sum) && performance.now() < end;) {
      await Promise.race([pause(50), running]);
      sum = together(sum, tally.word());
    }
    over.abort();
    await running;
    sum = together(sum, tally.word());
    const left = [...Deno.readDirSync(folder)].length;
    return { sum, asked: files.asked, left };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("databases commit without a pause, and each round is looked at; what is wrong there is told", async () => {
  let looks = 0;
  const forget = (path: string) => {
    // Of the second round, one of the two databases.
    if (path.endsWith("/2/wal.sqlite")) {
      using database = new DatabaseSync(path);
      database.exec("UPDATE entries SET content = zeroblob(length(content)) WHERE number = 2");
    }
    looks++;
    return Promise.resolve();
  };
  const { sum, asked, left } = await committing({ forget }, ({ wrong }) => wrong > 0);
  assert(sum.done > 4, JSON.stringify(sum));
  assertEquals([sum.failed, sum.wrong, sum.text], [0, 1, "wal: entry 2 is not what was committed"]);
  assertEquals([asked, left], [["make", "unmount"], 0]);
  assert(looks >= 6, `${looks} looks`);
});

Deno.test("what breaks is repaired, what cannot be is made anew, and it goes on", async () => {
  let broken = 0;
  let repaired = 0;
  const forget = () => {
    if (broken++ < 2) throw new Broken("dd: Input/output error");
    return Promise.resolve();
  };
  const repair = () => Promise.resolve(++repaired === 2 ? "fsck cannot repair it" : undefined);
  let last = 0;
  const { sum, asked, left } = await committing({ forget, repair }, ({ done, wrong }) => {
    if (wrong === 0) last = done;
    return wrong > 0 && done > last + 10;
  });
  assertEquals([sum.failed, sum.wrong, sum.text], [2, 1, "dd: Input/output error"]);
  assertEquals([asked, left], [["make", "repair", "repair", "make", "unmount"], 0]);
});
