/** What soaks make of what they see: statistics, processes, manifests, faults, verdicts. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { loadManifest } from "../../src/manifest/mod.ts";
import { parseMemory } from "../../src/memory.ts";
import type { DriverRun } from "../../src/soak/driver_run.ts";
import { pause } from "../../src/pause.ts";
import { type Fault, faultProblems, summarise } from "../../src/soak/fault.ts";
import { soakManifest } from "../../src/soak/manifest.ts";
import { parseSwitches, switchesBetween } from "../../src/soak/process.ts";
import {
  formatRecoverSoak,
  memoryGrowth,
  plotRecoverSoak,
  type RecoverSoak,
} from "../../src/soak/recover.ts";
import { formatStallSoak, idleProblems, type StallSoak } from "../../src/soak/stall.ts";
import { distribution, leastSquares, median, quantile } from "../../src/statistics.ts";
import { formatTcpSoak, type TcpSoak } from "../../src/soak/tcp.ts";
import { type Event, eventSchema } from "../../src/supervisor/schema.ts";
import { spreadOf } from "../../src/table.ts";
import { formatVerdict, verdictOf } from "../../src/verdict.ts";
import { LAB_RESULT } from "./figures.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("quantiles are values that were measured", () => {
  const values = Array.from({ length: 1000 }, (_, i) => 1000 - i);
  const found = distribution(values)!;
  assertEquals(found, { count: 1000, min: 1, p50: 500, p90: 900, p99: 990, max: 1000, mean: 500.5 });
  assertEquals(distribution([]), null);
  assertEquals([0, 0.5, 1].map((q) => quantile([7], q)), [7, 7, 7]);
});

Deno.test("the median of two is between them, as that of four is", () => {
  assertEquals([[7], [1, 3], [1, 3, 100], [1, 3, 5, 100]].map(median), [7, 2, 3, 4]);
  assertEquals(spreadOf([3, 1]), { min: 1, median: 2, max: 3 });
});

Deno.test("the line of least squares passes through points on a line, and between others", () => {
  assertEquals(leastSquares([[0, 1], [1, 3], [2, 5]]), { slope: 2, intercept: 1 });
  const line = leastSquares([[0, 0], [1, 2], [2, 1], [3, 3]])!;
  assertAlmostEquals(line.slope, 0.8);
  assertAlmostEquals(line.intercept, 0.3);
  assertEquals(leastSquares([[1, 5], [1, 6]]), null);
  assertEquals(leastSquares([]), null);
});

Deno.test("memory and context switches are read from what the kernel writes", async () => {
  const own = parseMemory(await Deno.readTextFile("/proc/self/smaps_rollup"));
  assert(own.private > 2 ** 20 && own.rss >= own.private, JSON.stringify(own));
  assertThrows(() => parseMemory("nothing"), Error, "There is no Rss");
  const text = (tid: number, voluntary: number) =>
    `Name:\tdeno\nTgid:\t7\nNgid:\t0\nPid:\t${tid}\nPPid:\t1\n` +
    `voluntary_ctxt_switches:\t${voluntary}\nnonvoluntary_ctxt_switches:\t9\n`;
  assertEquals(parseSwitches(text(7, 12) + text(8, 0)), { 7: 12, 8: 0 });
  assertThrows(() => parseSwitches(""), Error, "tells of no thread");
});

Deno.test("threads that slept, came or went are told, those that did nothing are not", () => {
  assertEquals(switchesBetween({ 7: 1, 8: 5, 9: 2 }, { 7: 1, 8: 7, 10: 0 }), { 8: 2, 9: 1, 10: 1 });
});

Deno.test("a soak's manifest grants what that of users grants, and restarts without end", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const from = `${ROOT}manifests`;
    const file = `${folder}/e1000.json`;
    const users = await Deno.readTextFile(`${from}/e1000.json`);
    await Deno.writeTextFile(file, soakManifest(users, { spare: false, stall: 300, from, to: folder }));
    const manifest = await loadManifest(file);
    const plain = await loadManifest(`${from}/e1000.json`);
    assertEquals(manifest.driver, plain.driver);
    assertEquals([manifest.grant, manifest.match], [plain.grant, plain.match]);
    assertEquals([manifest.spare, manifest.limits.stall], [false, 300]);
    assertEquals(manifest.restart.budget, Infinity);
    assertEquals(manifest.restart.backoff, { from: 0, to: 0 });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Events by their types, numbered from 1, as a supervisor tells them. */
function told(...details: Record<string, unknown>[]): Pick<DriverRun, "events"> {
  const events = details.map((detail, i): Event =>
    eventSchema.parse({ id: i + 1, time: "2026-01-01T00:00:00Z", driver: "e1000", ...detail })
  );
  return { events };
}

const END = { type: "ended", pid: 9, next: "restart", delay: 0, report: "20260101T000000.000Z-e1000-9" };
const ended = (kind: string) => ({ ...END, reason: { kind, text: "words" } });
const RECOVERED = { type: "recovered", ms: 250, handed: 20, frame: true };
const READY = { type: "ready", ms: 100 };

function made(how: Fault["how"], kind: Fault["reason"]["kind"], place: { from: number; to: number }): Fault {
  return { how, reason: { kind, text: "words" }, spare: how === "kill", ...place };
}

Deno.test("faults are counted by way, with the recovery that belongs to each", () => {
  const run = told(READY, ended("signal"), READY, RECOVERED, ended("exit"), READY, ended("signal"), READY, {
    ...RECOVERED,
    ms: 400,
  });
  const faults = [
    made("kill", "signal", { from: 1, to: 3 }),
    made("stall", "exit", { from: 4, to: 6 }),
    made("kill", "signal", { from: 6, to: 8 }),
  ];
  assertEquals(summarise(run, faults), [
    { how: "kill", count: 2, right: 2, spares: 2, recoveries: [250, 400] },
    { how: "stall", count: 1, right: 0, spares: 0, recoveries: [] },
  ]);
  assertEquals(faultProblems(run, faults), ['faults: "stall" was reported as "exit": words']);
  assertEquals(faultProblems(run, faults.slice(0, 1)), [
    "faults: 1 were made, and the supervisor saw 3 ends",
  ]);
});

Deno.test("a pause ends with its time or with the whole", async () => {
  const over = new AbortController();
  await pause(1, over.signal);
  const long = pause(60_000, over.signal);
  over.abort();
  await long;
  await pause(60_000, over.signal);
});

Deno.test("memory is flat or not by its last half, and too few samples say nothing", () => {
  const MIB = 2 ** 20;
  const samples = (at: (cycle: number) => number) =>
    Array.from({ length: 21 }, (_, i) => ({ cycle: i * 50, rss: 200 * MIB, private: at(i * 50) * MIB }));
  const warm = memoryGrowth(samples((cycle) => cycle < 400 ? 40 + cycle / 10 : 80))!;
  assertEquals([Math.round(warm.bytes), warm.flat], [0, true]);
  const leak = memoryGrowth(samples((cycle) => 60 + cycle / 50))!;
  assertAlmostEquals(leak.bytes, 10 * MIB, 1);
  assertEquals(leak.flat, false);
  assertEquals(memoryGrowth(samples(() => 1).slice(0, 3)), null);
  assertEquals(memoryGrowth([]), null);
});

Deno.test("a verdict is a table, and what cannot fail has none", () => {
  const findings = [{ name: "a", found: "one", ok: true }, { name: "long", found: "x", ok: false }, {
    name: "b",
    found: "as it is",
  }];
  assertEquals(
    formatVerdict("Title", findings, ["it broke"]),
    "Title\n  a     one       ok\n  long  x         FAILED\n  b     as it is\n  it broke",
  );
  assertEquals([verdictOf([]), verdictOf(["x"])], ["all of it held", "1 did not hold"]);
});

Deno.test("the TCP soak tells throughput, loss, reasons and spares", () => {
  const account = { bytes: 2 ** 28, sha256: "ab".repeat(32) };
  const [undisturbed, disturbed] = [10, 20].map((seconds) => ({ sent: account, received: account, seconds }));
  const directions = (["out", "in"] as const).map((direction) => ({
    direction,
    undisturbed,
    disturbed,
    mbps: { undisturbed: 214.7, disturbed: 107.4 },
    loss: 50,
  }));
  const faults = [{ how: "kill" as const, count: 4, right: 3, spares: 2, recoveries: [100, 200, 300] }];
  const result: TcpSoak = { ...LAB_RESULT, soak: "tcp", bytes: 2 ** 28, stallLimit: 300, directions, faults };
  const text = formatTcpSoak(result);
  assertStringIncludes(text, "Soak of TCP, 256 MiB each way, on Linux 6.1 (tcg): all of it held, in 60 s");
  assertStringIncludes(text, "20.0 s, 107.4 Mb/s, SHA-256 abababababab…, loss 50 %");
  assert(/faults: kill +4, 3 reported as "signal"; recovery p50 200 ms.* FAILED/.test(text), text);
  assertStringIncludes(text, "ready at 2 of 4 ends (50 %)");
  assertStringIncludes(text, "mean recovery 360 ms; here 50 %, 200 ms");
});

Deno.test("the recovery soak tells both distributions and draws them", () => {
  const cycles = (times: number[]) => ({ asked: times.length, times, distribution: distribution(times) });
  const result: RecoverSoak = {
    ...LAB_RESULT,
    ok: false,
    problems: ["module: 2 grants left"],
    soak: "recover",
    spare: cycles([100, 200, 300]),
    alone: cycles([1000, 2000]),
    ratio: 0.2,
    memory: { samples: [{ cycle: 0, rss: 2 ** 26, private: 2 ** 25 }], growth: null },
  };
  const text = formatRecoverSoak(result);
  assert(
    /with a spare +3 of 3 kills recovered; min 100, p50 200, .* max 300, mean 200 ms +ok/.test(text),
    text,
  );
  assert(/spare +median 20\.0 % of that without; at most 25\.0 % +ok/.test(text), text);
  assert(/module +something is left +FAILED/.test(text), text);
  assertStringIncludes(text, "private memory 32.0 MiB at first, 32.0 MiB at the end; too few samples");
  const svg = plotRecoverSoak(result);
  assertStringIncludes(svg, ">with a spare (3 kills)</text>");
  assertStringIncludes(svg, ">median 1000 ms</text>");
});

Deno.test("the stall soak fails on a late stall, and on any wake-up of an idle driver", () => {
  const quiet = { interrupts: 0, waits: 0, wakeups: 0 };
  const idle = { seconds: 3600, counts: quiet, driver: {}, spare: {} };
  const result: StallSoak = {
    ...LAB_RESULT,
    soak: "stall",
    limit: 1000,
    stalls: [{ phase: "traffic", waited: 1004 }, { phase: "idle", waited: 1101 }],
    idle,
  };
  const text = formatStallSoak(result);
  assert(/stalls under traffic +1, seen after 1004 to 1004 ms.* ok/.test(text), text);
  assert(/while idle, then a frame +1, seen after 1101 .* FAILED/.test(text), text);
  assert(/idle +for 3,600 s: 0 interrupts, 0 waits, 0 wake-ups; .*driver 0, spare 0 +ok/.test(text), text);
  assertEquals(idleProblems(idle), []);
  assertEquals(idleProblems({ ...idle, counts: { ...quiet, waits: 3 }, driver: { 12: 3 } }), [
    "idle: 3 waits where there should be none",
    "idle: thread 12 of the driver was woken 3 times",
  ]);
});
