/** What the records of campaigns come to: tables for people, a chart, and the figures behind both. */
import { drawChart, empirical } from "../../plot/mod.ts";
import { grouped } from "../../size.ts";
import { type Distribution, distribution } from "../../statistics.ts";
import { formatTable } from "../../table.ts";
import type { Together } from "../schema.ts";
import { isManifested, isRecovered, type Outcome, OUTCOMES } from "./outcome.ts";
import type { FaultRecord } from "./record.ts";

/** How an outcome is headed in a table. */
const HEADS: { [Name in Outcome]: string } = {
  unreached: "not reached",
  refused: "refused",
  nothing: "nothing seen",
  unseen: "unseen",
  delay: "delay",
  error: "error",
  hung: "hung",
  "given-up": "given up",
  corruption: "corruption",
  harm: "harm",
};

/** How those that come together are headed, after all models. */
const SEVERAL: { [Name in Exclude<Together, "one">]: string } = {
  two: "~ two at once",
  five: "~ five in one driver",
  ten: "~ ten in one driver",
  recovery: "~ and another during recovery",
};

/** Outcomes of which each is listed: a fault that was not recovered from, or whose damage went further than its time. */
const LISTED: readonly Outcome[] = ["hung", "given-up", "corruption", "harm"];

/** How many of each outcome. */
export type Counts = { [Name in Outcome]: number };

/** What the records come to. */
export interface FaultReport {
  bench: "faults";
  /** Records in all, those whose time never came and those that were refused among them. */
  records: number;
  /** Of those, what a driver or the machine had: several faults that came together count as one. */
  injected: number;
  /** How many faults these had, each counted. */
  faults: number;
  manifested: number;
  /** Of those that manifested themselves, after how many the driver served again by itself. */
  recovered: number;
  kernels: string[];
  /** By driver, workload and model. */
  byDriver: { [driver: string]: Counts };
  byWorkload: { [workload: string]: Counts };
  /** Those that came together are in rows of their own. */
  byModel: { [model: string]: Counts };
  /** From the fault until the supervisor told of the end, by the reason that it gave; milliseconds. */
  detection: { [reason: string]: Distribution };
  /** Recovery times, milliseconds, and longest times without an operation where the application saw a delay. */
  recovery: Distribution | null;
  delay: Distribution | null;
  /** Those that are listed one by one. */
  exceptions: FaultRecord[];
}

/** Of what others have published, what can be set beside it. */
const PUBLISHED = [
  [
    "MINIX 3 (Herder et al. 2009)",
    "3,400,000 into 4 network drivers, machine code",
    "no crash of the system; one hang, put down to hardware; recovery about 0.36 s",
    "disks, file systems and what applications see of them",
  ],
  [
    "Nooks (Swift et al. 2003)",
    "2,000 trials, machine code of kernel extensions",
    "99 % of crashes recovered from",
    "applications, which failed with their driver; DMA, which nothing confined",
  ],
  [
    "Shadow drivers (Swift et al. 2004)",
    "machine code of a sound, a network and a disk driver",
    "98 % recovered from, with applications going on",
    "faults that are not noticed; DMA, which nothing confined",
  ],
];

function none(): Counts {
  return Object.fromEntries(OUTCOMES.map((name) => [name, 0])) as Counts;
}

function countBy(
  records: readonly FaultRecord[],
  key: (record: FaultRecord) => string,
): { [key: string]: Counts } {
  const counts: { [key: string]: Counts } = {};
  for (const record of records) (counts[key(record)] ??= none())[record.outcome]++;
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => a < b ? -1 : 1));
}

function present(values: readonly (number | null)[]): number[] {
  return values.filter((value) => value !== null);
}

/** Adds records up. */
export function reportOf(records: readonly FaultRecord[]): FaultReport {
  const injected = records.filter(({ outcome }) => outcome !== "unreached" && outcome !== "refused");
  const manifested = injected.filter(({ outcome }) => isManifested(outcome));
  const reasons = [...new Set(records.flatMap(({ reason }) => reason ? [reason.kind] : []))].sort();
  return {
    bench: "faults",
    records: records.length,
    injected: injected.length,
    faults: injected.reduce((sum, { models }) => sum + models.length, 0),
    manifested: manifested.length,
    recovered: manifested.filter(({ outcome }) => isRecovered(outcome)).length,
    kernels: [...new Set(records.map(({ kernel }) => kernel))].sort(),
    byDriver: countBy(records, ({ driver }) => driver),
    byWorkload: countBy(records, ({ workload }) => workload),
    byModel: countBy(
      records,
      ({ together, models }) => together === "one" ? models[0] : SEVERAL[together],
    ),
    detection: Object.fromEntries(reasons.flatMap((kind) => {
      const times = distribution(
        present(records.map(({ reason, detection }) => reason?.kind === kind ? detection : null)),
      );
      return times ? [[kind, times]] : [];
    })),
    recovery: distribution(present(records.map(({ recovery }) => recovery))),
    delay: distribution(records.filter(({ outcome }) => outcome === "delay").map(({ gap }) => gap)),
    exceptions: records.filter(({ outcome }) => LISTED.includes(outcome)),
  };
}

/** Which command does an injection once more. */
export function replayOf({ campaign, workload, seed, number }: FaultRecord): string {
  return `deno task faults --campaign tests/campaigns/${campaign}.json --workload ${workload} --seed ${seed} ` +
    `--only ${number}`;
}

/** A share in percent, or a dash of nothing. */
function share(part: number, whole: number): string {
  return whole === 0 ? "–" : `${(100 * part / whole).toFixed(1)} %`;
}

function countTable(head: string, counts: { [key: string]: Counts }): string {
  const shown = OUTCOMES.filter((name) => Object.values(counts).some((row) => row[name] > 0));
  const total = (row: Counts) => OUTCOMES.reduce((sum, name) => sum + row[name], 0);
  return formatTable(
    [head, "all", ...shown.map((name) => HEADS[name])],
    Object.entries(counts).map(([key, row]) => [
      key,
      grouped(total(row)),
      ...shown.map((name) => row[name] === 0 ? "" : grouped(row[name])),
    ]),
  );
}

function timesRow(name: string, { count, p50, p90, p99, max }: Distribution): string[] {
  return [name, grouped(count), ...[p50, p90, p99, max].map((value) => value.toFixed(0))];
}

/** The report as Markdown. @param crashes Why labs were given up meanwhile, if this is of a run. */
export function formatReport(report: FaultReport, crashes: readonly string[] = []): string {
  const { records, injected, faults, manifested, recovered, exceptions, detection, recovery, delay } = report;
  const times = [
    ...Object.entries(detection).map(([kind, one]) => timesRow(`until told, ${kind}`, one)),
    ...recovery ? [timesRow("recovery", recovery)] : [],
    ...delay ? [timesRow("delay seen by the application", delay)] : [],
  ];
  const exception = (record: FaultRecord) => {
    const { outcome, driver, workload, says, text } = record;
    return `- **${HEADS[outcome]}**, ${driver} under ${workload}: ${says}${text ? `. ${text}` : ""}\n` +
      `  \`${replayOf(record)}\``;
  };
  return [
    "# Faults",
    `${grouped(records)} injections on Linux ${report.kernels.join(", ")}: ${grouped(injected)} had ` +
    `their faults, ${grouped(faults)} in all. ${grouped(manifested)} of these injections showed it ` +
    `(${share(manifested, injected)}), and after ${grouped(recovered)} of those the driver served again by ` +
    `itself (${share(recovered, manifested)}).`,
    countTable("driver", report.byDriver),
    countTable("workload", report.byWorkload),
    countTable("model", report.byModel),
    "Milliseconds:",
    formatTable(["time", "count", "p50", "p90", "p99", "longest"], times),
    "## Exceptions",
    exceptions.length === 0 ? "None." : exceptions.map(exception).join("\n"),
    ...crashes.length === 0
      ? []
      : ["## Labs that were given up", crashes.map((crash) => `- ${crash}`).join("\n")],
    "## Published",
    formatTable(["system", "injected", "found", "not tried there"], [
      ...PUBLISHED,
      [
        "ring3, above",
        `${grouped(faults)} in ${
          grouped(injected)
        } trials: TypeScript, registers, interrupts, DMA, rings, processes, the machine`,
        `${share(recovered, manifested)} of what showed itself recovered from by itself`,
        "real hardware: the devices are emulated",
      ],
    ]),
  ].join("\n\n");
}

/** Recovery times and delays as a chart: SVG. */
export function plotReport(report: FaultReport, records: readonly FaultRecord[]): string {
  const series = [
    { name: "recovery, by the kernel's clock", values: present(records.map(({ recovery }) => recovery)) },
    {
      name: "delay seen by the application",
      values: records.filter(({ outcome }) => outcome === "delay").map(({ gap }) => gap),
    },
    { name: "until the end was told", values: present(records.map(({ detection }) => detection)) },
  ].filter(({ values }) => values.length > 0);
  return drawChart({
    title: "What faults cost in time",
    subtitle: `${grouped(report.faults)} faults, Linux ${report.kernels.join(", ")}, emulated machine`,
    x: { label: "milliseconds", scale: "log" },
    y: { label: "faults within that time", domain: [0, 100], format: (value) => `${value} %` },
    series: series.map(({ name, values }) => ({
      name: `${name} (${grouped(values.length)})`,
      // The axis is logarithmic, and some are told within the same millisecond.
      points: empirical(values.map((value) => Math.max(1, value))),
      draw: "step",
    })),
  });
}
