/** What becomes of a fault, told from what was seen; and what the records of a campaign come to. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { UserError } from "../../src/error.ts";
import {
  type FaultRecord,
  formatReport,
  judge,
  type Outcome,
  parseRecords,
  plotReport,
  replayOf,
  reportOf,
  type Seen,
} from "../../src/faults/campaign/mod.ts";
import type { Word } from "../../src/faults/workloads/mod.ts";
import type { Event, EventDetail, Reason } from "../../src/supervisor/schema.ts";

/** When the fault came, milliseconds since the epoch. */
const FROM = Date.UTC(2026, 0, 1);

const USUAL = { gap: 40 };

let ids = 0;

function event(after: number, detail: EventDetail): Event {
  return { ...detail, id: ++ids, time: new Date(FROM + after).toISOString(), driver: "e1000" } as Event;
}

function ended(after: number, reason: Reason): Event {
  return event(after, { type: "ended", pid: 7, reason, next: "restart", delay: 0, report: "box" });
}

/** Words every 250 ms, in each of which ten operations ended well, from a second before to so long after. */
function words(until: number, change: (after: number) => Partial<Word> = () => ({})): Word[] {
  return Array.from({ length: (until + 1000) / 250 }, (_, index) => {
    const after = index * 250 - 750;
    return { at: FROM + after, done: 10, failed: 0, wrong: 0, gap: 30, ...change(after) };
  });
}

function seen(given: Partial<Seen> = {}): Seen {
  return {
    from: FROM,
    takesOver: false,
    tells: false,
    events: [],
    words: words(5000),
    twin: { events: [], words: words(5000), idle: 50 },
    kernel: [],
    stands: true,
    givenUp: false,
    ...given,
  };
}

const EXCEPTION: Reason = { kind: "exception", text: "Error: no more\nat driver.ts:1" };
const REPLACED: Reason = { kind: "upgrade", text: "version 2 takes over", fault: "the first" };
const TAKEN: Reason = { kind: "operator", text: "restarted on request" };

/** A long gap, half-way. */
const LATE = words(5000, (after) => ({ gap: after > 2500 ? 900 : 30 }));

const CASES: { name: string; seen: Seen; outcome: Outcome }[] = [
  { name: "nothing, of a change of source", seen: seen(), outcome: "nothing" },
  {
    name: "nothing, of one that the next replaced: what comes after that is the next one's",
    seen: seen({
      label: "the first",
      events: [ended(2000, REPLACED)],
      words: LATE,
    }),
    outcome: "nothing",
  },
  {
    name: "a delay, of one that another was replaced by",
    seen: seen({
      label: "the second",
      events: [ended(0, REPLACED)],
      words: LATE,
    }),
    outcome: "delay",
  },
  { name: "its time never came", seen: seen({ tells: true }), outcome: "unreached" },
  {
    name: "it came, and nobody saw anything",
    seen: seen({ tells: true, events: [event(100, { type: "log", text: "fault rings.id: off by 1" })] }),
    outcome: "nothing",
  },
  {
    name: "its version was refused",
    seen: seen({ from: undefined, refused: "no place" }),
    outcome: "refused",
  },
  { name: "an end that nobody saw", seen: seen({ events: [ended(500, EXCEPTION)] }), outcome: "unseen" },
  {
    name: "an end, and a time without operations",
    seen: seen({
      events: [ended(500, EXCEPTION)],
      words: words(5000, (after) => after === 750 ? { done: 1, gap: 300 } : {}),
    }),
    outcome: "delay",
  },
  {
    name: "a time without operations that ended by itself",
    seen: seen({ words: words(5000, (after) => after === 750 ? { done: 1, gap: 200 } : {}) }),
    outcome: "delay",
  },
  {
    name: "an error",
    seen: seen({ words: words(5000, (after) => after === 750 ? { failed: 1, text: "EIO" } : {}) }),
    outcome: "error",
  },
  {
    name: "nothing moved until it was taken away",
    seen: seen({
      events: [ended(6000, TAKEN)],
      words: words(7000, (after) => after > 500 && after < 6250 ? { done: 0, gap: after - 500 } : {}),
    }),
    outcome: "hung",
  },
  {
    name: "nothing moved for a moment before it was taken away",
    seen: seen({
      events: [ended(4000, TAKEN)],
      words: words(5000, (after) => after > 3250 && after < 4250 ? { done: 0, gap: 100 } : {}),
    }),
    outcome: "nothing",
  },
  {
    name: "the pause in which it is taken away is not its own",
    seen: seen({
      events: [ended(3900, TAKEN)],
      words: words(5000, (after) => after === 4250 ? { gap: 400 } : {}),
    }),
    outcome: "nothing",
  },
  {
    name: "the pause in which it takes over is not its own",
    seen: seen({
      takesOver: true,
      events: [event(120, { type: "ready", ms: 100 })],
      words: words(5000, (after) => after === 250 ? { gap: 400 } : {}),
    }),
    outcome: "nothing",
  },
  {
    name: "it ends before it has taken over, and that takes a while",
    seen: seen({
      takesOver: true,
      events: [ended(200, EXCEPTION), event(420, { type: "ready", ms: 100 })],
      words: words(5000, (after) => after === 500 ? { gap: 400 } : {}),
    }),
    outcome: "delay",
  },
  {
    name: "it has taken over, and nothing is done until the next one has",
    seen: seen({
      takesOver: true,
      events: [
        event(120, { type: "ready", ms: 100 }),
        ended(1400, EXCEPTION),
        event(1500, { type: "ready", ms: 100 }),
      ],
      words: words(5000, (after) => {
        if (after > 0 && after <= 1500) return { done: 0, gap: after + 20 };
        return after === 1750 ? { gap: 1520 } : {};
      }),
    }),
    outcome: "delay",
  },
  { name: "no driver stands any more", seen: seen({ stands: false }), outcome: "hung" },
  { name: "the driver was given up", seen: seen({ stands: false, givenUp: true }), outcome: "given-up" },
  {
    name: "wrong content, and an end",
    seen: seen({
      events: [ended(500, EXCEPTION)],
      words: words(5000, (after) => after === 500 ? { wrong: 1, text: "datagram 7" } : {}),
    }),
    outcome: "corruption",
  },
  { name: "a complaint of the kernel's", seen: seen({ kernel: ["kernel: WARNING: …"] }), outcome: "harm" },
  {
    name: "the end of the twin's driver",
    seen: seen({ twin: { events: [ended(100, EXCEPTION)], words: words(5000), idle: 50 } }),
    outcome: "harm",
  },
  {
    name: "a twin that stands still",
    seen: seen({ stands: false, twin: { events: [], words: [], idle: 60_000 } }),
    outcome: "harm",
  },
  {
    name: "wrong content at the twin",
    seen: seen({
      twin: { events: [], words: words(5000, (after) => after === 0 ? { wrong: 1 } : {}), idle: 50 },
    }),
    outcome: "harm",
  },
];

for (const { name, seen, outcome } of CASES) {
  Deno.test(`a fault's outcome: ${name}: ${outcome}`, () => {
    assertEquals(judge(seen, USUAL).outcome, outcome);
  });
}

Deno.test("what is told of a fault that was recovered from", () => {
  const told = judge(
    seen({
      tells: true,
      events: [
        event(300, { type: "log", text: "fault code.throw: throws" }),
        ended(420, EXCEPTION),
        event(430, { type: "starting", pid: 8, spare: true, version: "0" }),
        event(600, { type: "recovered", ms: 170, handed: 20, frame: true }),
        ended(700, EXCEPTION),
        event(900, { type: "recovered", ms: 210, handed: 20, frame: true }),
      ],
      words: words(5000, (after) => after === 750 ? { gap: 260 } : {}),
    }),
    USUAL,
  );
  assertEquals(told, {
    outcome: "delay",
    reason: { kind: "exception", text: EXCEPTION.text },
    detection: 120,
    recovery: 170,
    gap: 260,
    failed: 0,
    wrong: 0,
    ends: 2,
    report: "box",
    text: "Error: no more",
  });
});

Deno.test("a gap that began before the fault counts from the fault on", () => {
  const { gap } = judge(seen({ words: words(5000, (after) => after === 250 ? { gap: 900 } : {}) }), USUAL);
  assertEquals(gap, 250);
});

function record(given: Partial<FaultRecord> = {}): FaultRecord {
  return {
    campaign: "e1000",
    seed: 1,
    number: 0,
    driver: "e1000",
    workload: "udp",
    kernel: "6.1.0",
    at: "2026-01-01T00:00:00.000Z",
    together: "one",
    models: ["code.throw"],
    says: "throws",
    outcome: "nothing",
    reason: null,
    detection: null,
    recovery: null,
    gap: 10,
    failed: 0,
    wrong: 0,
    ends: 0,
    report: null,
    text: "",
    usual: 40,
    ...given,
  };
}

Deno.test("records are read again, but for a line that was not written to its end", () => {
  const lines = [record(), record({ number: 1, outcome: "harm" })].map((one) => `${JSON.stringify(one)}\n`);
  assertEquals(parseRecords(`${lines.join("")}{"campai`, "x.jsonl").map(({ number }) => number), [0, 1]);
  assertEquals(parseRecords("", "x.jsonl"), []);
  assertThrows(() => parseRecords(`{}\n`, "x.jsonl"), UserError, "line 1 of x.jsonl");
});

Deno.test("a report counts what was injected, what showed itself and what was recovered from", () => {
  const reason = { kind: "exception", text: "no more" } as const;
  const records = [
    record(),
    record({ number: 1, outcome: "unreached" }),
    record({ number: 2, outcome: "refused" }),
    record({ number: 3, outcome: "unseen", reason, detection: 4, recovery: 120 }),
    record({ number: 4, outcome: "delay", reason, detection: 6, recovery: 140, gap: 200 }),
    record({ number: 5, outcome: "hung", models: ["interrupts.lost"], says: "an interrupt is lost" }),
    record({ number: 6, outcome: "error", together: "two", models: ["interrupts.lost", "code.throw"] }),
  ];
  const report = reportOf(records);
  assertEquals([report.records, report.injected, report.faults], [7, 5, 6]);
  assertEquals([report.manifested, report.recovered], [4, 3]);
  assertEquals(report.byModel["interrupts.lost"].hung, 1);
  assertEquals(report.byModel["~ two at once"].error, 1);
  assertEquals([report.detection.exception.count, report.recovery?.max, report.delay?.p50], [2, 140, 200]);
  const text = formatReport(report);
  assertStringIncludes(
    text,
    "5 had their faults, 6 in all. 4 of these injections showed it (80.0 %), and after 3",
  );
  assertStringIncludes(text, `\`${replayOf(records[5])}\``);
  assertEquals(text.includes("given up\n"), false);
  assertStringIncludes(formatReport(report, ["QEMU has ended"]), "given up\n\n- QEMU has ended");
  assertStringIncludes(plotReport(report, records), "<svg");
});

Deno.test("a replay names campaign, workload, seed and number", () => {
  assertEquals(
    replayOf(record({ campaign: "nvme", workload: "fio", seed: 3, number: 41 })),
    "deno task faults --campaign tests/campaigns/nvme.json --workload fio --seed 3 --only 41",
  );
});
