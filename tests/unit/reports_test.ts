/** The store of reports, on real files; the reports as text; the command that shows them. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { FleetError } from "../../src/supervisor/contract.ts";
import { ReportStore } from "../../src/supervisor/reports.ts";
import type { Event, RegisterAccess, Report } from "../../src/supervisor/schema.ts";
import { formatReport, formatReportList } from "../../src/view/report.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A death in minute `minute` of a day. */
function death(minute: number, change: Partial<Report> = {}): Omit<Report, "id"> {
  return {
    time: new Date(Date.UTC(2026, 6, 25, 10, minute, 7, 8)).toISOString(),
    driver: "e1000",
    address: "0000:01:00.0",
    version: "ab12",
    pid: 4321,
    reason: { kind: "exception", text: "DeviceError: x", stack: "DeviceError: x\n    at poll (/d.ts:1:2)" },
    ran: 65_000,
    exit: { code: 70, signal: null },
    stderr: ["one", "two"],
    events: [{ id: 3, time: "2026-07-25T10:00:01.002Z", driver: "e1000", type: "ready", ms: 1234.5 }],
    registers: [],
    channels: [{ kind: "transmit", size: 256, submitted: 5, seen: 4, completed: 3, reaped: 2 }],
    counters: { irqs_total: 12345 },
    ...change,
  };
}

/** A directory for a store, in one that is removed afterwards. */
async function inDirectory(work: (directory: string) => Promise<void>): Promise<void> {
  const parent = await Deno.makeTempDir();
  try {
    await work(`${parent}/state/reports`);
  } finally {
    await Deno.remove(parent, { recursive: true });
  }
}

function names(directory: string): string[] {
  return [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
}

/** Reports of a driver, at these minutes. */
async function fill(store: ReportStore, driver: string, minutes: number[], change: Partial<Report> = {}) {
  for (const minute of minutes) await store.write(death(minute, { ...change, driver }));
}

Deno.test("a report is written whole, for its owner only, and read as it was", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    assertEquals(await store.list(), []);
    const id = await store.write(death(5));
    assertEquals(id, "20260725T100507.008Z-e1000-4321");
    assertEquals(names(directory), [`${id}.json`]);
    assertEquals((await Deno.stat(directory)).mode! & 0o777, 0o700);
    assertEquals((await Deno.stat(`${directory}/${id}.json`)).mode! & 0o777, 0o600);
    // Others pass through the state directory.
    assertEquals((await Deno.stat(`${directory}/..`)).mode! & 0o055, 0o055 & ~Deno.umask());
    assertEquals(await store.read(id), { id, ...death(5) });
    const { time, driver, address, version, pid, reason, ran } = death(5);
    const summary = { id, time, driver, address, version, pid, reason, ran };
    assertEquals(await store.list(), [summary]);
    assertEquals(await new ReportStore(directory).list(), [summary]);
  });
});

Deno.test("the latest is first, and a driver's are found by its whole name", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    await fill(store, "e1000", [1, 3]);
    await fill(store, "e1000-b", [2, 4]);
    const minutes = async (driver?: string) =>
      (await store.list({ driver })).map(({ time }) => new Date(time).getUTCMinutes());
    assertEquals(await minutes(), [4, 3, 2, 1]);
    assertEquals(await minutes("e1000"), [3, 1]);
    assertEquals(await minutes("e1000-b"), [4, 2]);
    assertEquals(await minutes("e"), []);
  });
});

Deno.test("damaged files are passed over, and said to be so when they are asked for", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    const good = await store.write(death(1));
    const ids = [1, 2, 3].map((n) => `20260725T11000${n}.000Z-e1000-1`);
    await Deno.writeTextFile(`${directory}/${ids[0]}.json`, "{");
    await Deno.writeTextFile(
      `${directory}/${ids[1]}.json`,
      JSON.stringify({ ...death(1), id: ids[1], ran: "x" }),
    );
    await Deno.copyFile(`${directory}/${good}.json`, `${directory}/${ids[2]}.json`);
    await Deno.writeTextFile(`${directory}/notes.txt`, "x");
    await Deno.mkdir(`${directory}/20260725T110009.000Z-e1000-1.json`);
    assertEquals((await store.list()).map(({ id }) => id), [good]);
    for (const id of ids) {
      const error = await assertRejects(() => store.read(id), FleetError, `${id}.json is damaged`);
      assertEquals(error.kind, "failed");
    }
  });
});

Deno.test("an id is never a path", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    const id = await store.write(death(1));
    await Deno.copyFile(`${directory}/${id}.json`, `${directory}/../${id}.json`);
    for (
      const wrong of [`../${id}`, `./${id}`, `${id}.json`, "", "/etc/passwd", `${id}\0`, `${id}\n`, id + "1"]
    ) {
      const error = await assertRejects(() => store.read(wrong), FleetError, "There is no report");
      assertEquals(error.kind, "not-found");
    }
    await assertRejects(
      () => store.write(death(1, { driver: "../x" })),
      RangeError,
      "Cannot make a report's id",
    );
  });
});

Deno.test("beyond the bound the oldest go; one driver's deaths do not push out another's", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory, { keep: 5 });
    await fill(store, "quiet", [1]);
    await fill(store, "other", [2, 3, 4]);
    await fill(store, "loud", [10, 11, 12, 13, 14, 15, 16]);
    const kept = (await store.list()).map(({ id }) => id.replace(/^.*T10(\d\d).*Z-(\w+)-.*$/, "$2 $1"));
    assertEquals(kept, ["loud 16", "loud 15", "other 04", "other 03", "quiet 01"]);
  });
});

Deno.test("bytes are bounded as well, and the last of each driver stays", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory, { keepBytes: 40_000 });
    await fill(store, "small", [1]);
    await fill(store, "large", [2, 3, 4, 5, 6], {
      stderr: Array.from({ length: 12 }, () => "x".repeat(1000)),
    });
    assertEquals((await store.list()).map(({ driver }) => driver), ["large", "large", "large", "small"]);
    const one = new ReportStore(directory, { keep: 1, keepBytes: 1 });
    // The clock has been set back: what is written is not the latest by name, and stays all the same.
    const early = await one.write(death(0, { driver: "large" }));
    assertEquals((await one.list()).map(({ driver, id }) => [driver, id === early]), [
      ["small", false],
      ["large", true],
    ]);
  });
});

Deno.test("writes at once do not disturb each other, and the drafts of the dead are removed", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory, { keep: 10 });
    await store.write(death(0));
    for (const name of ["old", "new"]) await Deno.writeTextFile(`${directory}/${name}.draft`, "{");
    await Deno.utime(`${directory}/old.draft`, 0, Date.now() / 1000 - 3600);
    const ids = await Promise.all(Array.from({ length: 20 }, (_, i) => store.write(death(i + 1))));
    assertEquals((await store.list()).map(({ id }) => id), ids.slice(10).reverse());
    assertEquals(names(directory).filter((name) => !name.endsWith(".json")), ["new.draft"]);
  });
});

Deno.test("a store that cannot be written says why, and goes on when it can", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(directory.replace(/\/reports$/, ""));
    await Deno.writeTextFile(directory, "in the way");
    const store = new ReportStore(directory);
    const error = await assertRejects(() => store.write(death(1)), Error);
    assertMatch(error.message, /^Cannot keep the report of e1000 in .*: Not a directory/);
    await Deno.remove(directory);
    await store.write(death(2));
    assertEquals((await store.list()).length, 1);
  });
});

Deno.test("a full disk leaves no file behind", async () => {
  await inDirectory(async (directory) => {
    await Deno.mkdir(directory, { recursive: true });
    // A limit on the size of files that a process writes acts as a full disk does.
    const access = "{ sequence: 0, bar: 0, offset: 8, write: false, value: 1 }";
    const script = `
      const { ReportStore } = await import(${JSON.stringify(`${ROOT}src/supervisor/reports.ts`)});
      const report = ${JSON.stringify(death(1))};
      report.registers = Array.from({ length: 4096 }, () => (${access}));
      await new ReportStore(${JSON.stringify(directory)}).write(report)
        .then(() => console.log("written"), ({ message }) => console.log(message));`;
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", 'ulimit -f 200; trap "" XFSZ; exec "$@"', "sh", Deno.execPath(), "eval", script],
      cwd: ROOT,
    }).output();
    assertMatch(new TextDecoder().decode(stdout), /^Cannot keep the report of e1000 in .*: File too large/);
    assertEquals(names(directory), []);
  });
});

function logged(text: string, id: number): Event {
  return { id, time: "2026-07-25T10:00:01.002Z", driver: "e1000", type: "log", text };
}

Deno.test("nothing in a report is longer than its bound", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    const text = "y".repeat(100_000);
    const access: RegisterAccess = { sequence: 0, bar: 0, offset: 8, write: false, value: 1 };
    const id = await store.write(death(1, {
      reason: { kind: "exception", text, stack: text },
      stderr: Array.from({ length: 50 }, (_, i) => `${i}`),
      events: Array.from({ length: 300 }, (_, i) => logged(`${i}`, i)),
      registers: Array.from({ length: 5000 }, (_, i) => ({ ...access, sequence: i })),
      counters: Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`n${i}`, i])),
    }));
    const report = await store.read(id);
    assertEquals([report.reason.text.length, report.reason.stack?.length], [16_384, 16_384]);
    assertEquals([report.stderr.length, report.stderr.at(-1)], [20, "49"]);
    assertEquals([report.events.length, report.events.at(-1)], [100, logged("299", 299)]);
    assertEquals([report.registers.length, report.registers[0].sequence], [4096, 904]);
    assertEquals(Object.keys(report.counters).length, 64);

    // Characters that JSON writes as six.
    const worst = "\0".repeat(20_000);
    const large = await store.write(death(2, {
      reason: { kind: "exception", text: worst, stack: worst },
      stderr: Array.from({ length: 20 }, () => worst),
      events: Array.from({ length: 100 }, (_, i) => logged(worst, i)),
    }));
    const { size } = await Deno.stat(`${directory}/${large}.json`);
    assert(size < 2 * 2 ** 20, `a report of ${size} bytes`);
    const cut = await store.read(large);
    assertEquals(cut.events.at(-1)?.id, 99);
    assert(cut.events.length >= 5 && cut.events.length < 20);
  });
});

Deno.test("a report as text", () => {
  const access = (sequence: number, value: number, write = false): RegisterAccess => (
    { sequence, bar: 0, offset: 0x2818, write, value }
  );
  const report: Report = {
    id: "20260725T100507.008Z-e1000-4321",
    ...death(5, {
      registers: [access(0, 7, true), access(1, 0), access(2, 0), access(3, 0), access(4, 0xffffffff)],
      events: [...death(5).events, logged("\x1b[2Jhello\nworld", 4)],
    }),
  };
  assertEquals(formatReport(report).split("\n"), [
    "Report 20260725T100507.008Z-e1000-4321",
    "  driver      e1000 on 0000:01:00.0, version ab12",
    "  ended       2026-07-25 10:05:07.008 UTC, 1 min 5 s after it was ready",
    "  reason      exception: DeviceError: x",
    "  process     4321, which exited with status 70",
    "  stack       at poll (/d.ts:1:2)",
    "  stderr      one",
    "              two",
    "  events      10:00:01.002 ready after 1,235 ms",
    "              10:00:01.002 log: ␛[2Jhello␊world",
    "  rings       transmit, 256 entries: submitted 5, seen 4, completed 3, reaped 2",
    "  counters    irqs_total 12,345",
    "  registers   BAR 0 0x02818 <- 0x00000007",
    "              BAR 0 0x02818 -> 0x00000000  3 times",
    "              BAR 0 0x02818 -> 0xffffffff",
  ]);
  assertStringIncludes(formatReport({ ...report, ran: 0.2 }), "08 UTC, 1 ms after it was ready\n");
  const quiet = formatReport({
    ...report,
    ran: 0,
    exit: null,
    reason: { kind: "stall", text: "no WAIT for 1000 ms\x07\nsecond" },
    registers: Array.from({ length: 4096 }, (_, i) => access(i, i)),
  });
  assertStringIncludes(quiet, "08 UTC, before it was ready\n");
  assertStringIncludes(quiet, "stall: no WAIT for 1000 ms␇\n              second\n");
  assertStringIncludes(quiet, "  registers   4,032 earlier: --json shows them\n");
  assertStringIncludes(quiet, "4321, which had not ended yet\n");
  assertEquals(quiet.includes("stack"), false);
  assertEquals(/[^\P{Cc}\n]/u.test(formatReport(report) + quiet), false);
});

Deno.test("a list of reports", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    await fill(store, "e1000", [1]);
    await fill(store, "x", [2], {
      ran: 0,
      reason: { kind: "signal", text: "killed by SIGKILL\x1b[2J\nmore" },
    });
    assertEquals(
      formatReportList(await store.list()),
      [
        "REPORT                           DEVICE        RAN        REASON",
        "20260725T100207.008Z-x-4321      0000:01:00.0  never      signal: killed by SIGKILL␛[2J",
        "20260725T100107.008Z-e1000-4321  0000:01:00.0  1 min 5 s  exception: DeviceError: x",
      ].join("\n"),
    );
  });
});

Deno.test("the command shows an id, a driver's latest, or the list", async () => {
  await inDirectory(async (directory) => {
    const store = new ReportStore(directory);
    await fill(store, "e1000", [1, 2]);
    const latest = await store.write(death(3));
    const ring3 = async (...args: string[]) => {
      const state = directory.replace(/\/reports$/, "");
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", `${ROOT}src/cli.ts`, "report", "--state", state, ...args],
        // As in the lab: others that run on this machine are not asked.
        env: { NO_COLOR: "1", RING3_LAB: "1" },
      }).output();
      const decoder = new TextDecoder();
      return { code, out: decoder.decode(stdout).trimEnd(), err: decoder.decode(stderr).trimEnd() };
    };
    const [byId, byDriver, list, json, listJson, none, missing, wrong] = await Promise.all([
      ring3(latest),
      ring3("e1000"),
      ring3(),
      ring3("e1000", "--json"),
      ring3("--list", "--json"),
      ring3("--list", "null"),
      ring3("null"),
      ring3("../x"),
    ]);
    assertEquals(byId, { code: 0, out: formatReport(await store.read(latest)), err: "" });
    assertEquals(byDriver, byId);
    assertEquals(list, { code: 0, out: formatReportList(await store.list()), err: "" });
    assertEquals(JSON.parse(json.out), await store.read(latest));
    assertEquals(JSON.parse(listJson.out), { reports: await store.list() });
    assertEquals(none, { code: 0, out: "There are no reports of null.", err: "" });
    assertEquals(missing, {
      code: 1,
      out: "",
      err: "ring3: There is no report of null; see: ring3 report --list",
    });
    assertEquals(wrong.code, 2);
  });
});
