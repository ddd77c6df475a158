/** Reports of deaths as text for a terminal. */
import type { Event, RegisterAccess, Report, ReportSummary } from "../supervisor/schema.ts";
import { grouped } from "../size.ts";
import { formatDuration, plain } from "./render.ts";

/** Width of the names on the left. */
const LABEL = 12;

/** Lines of register accesses that are shown; the whole of them is in the JSON. */
const REGISTER_LINES = 64;

/** A report in full, but for the earlier ones of many register accesses. Control characters are made visible. */
export function formatReport(report: Report): string {
  const { reason, exit, version, address, pid } = report;
  return [
    `Report ${report.id}`,
    ...field("driver", [`${report.driver} on ${address}, version ${version}`]),
    ...field("ended", [`${readableTime(report.time)}, ${ranText(report)}`]),
    ...field("reason", reasonLines(report)),
    ...field("process", [`${pid}, ${exitText(exit)}`]),
    ...field("stack", frames(reason.stack ?? "")),
    ...field("stderr", report.stderr),
    ...field("events", report.events.map(eventText)),
    ...field("rings", ringTable(report.channels)),
    ...field("counters", Object.entries(report.counters).map(([name, n]) => `${name} ${grouped(n)}`)),
    ...field("registers", registerLines(report.registers)),
  ].map((line) => plain(line).trimEnd()).join("\n");
}

/** Reports at a glance, a line each below a heading. */
export function formatReportList(reports: readonly ReportSummary[]): string {
  const rows = [
    ["REPORT", "DEVICE", "RAN", "REASON"],
    ...reports.map((one) => [
      one.id,
      one.address,
      one.ran === 0 ? "never" : span(one.ran),
      `${one.reason.kind}: ${cut(one.reason.text.split("\n")[0], 100)}`,
    ]),
  ].map((row) => row.map(plain));
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd())
    .join("\n");
}

/** Lines with a name before the first; none for none. */
function field(name: string, lines: readonly string[]): string[] {
  return lines.map((line, i) => `  ${(i === 0 ? name : "").padEnd(LABEL)}${line}`);
}

function ranText({ ran }: Report): string {
  return ran === 0 ? "before it was ready" : `${span(ran)} after it was ready`;
}

/** Of milliseconds. */
function span(ms: number): string {
  return ms < 1000 ? `${Math.ceil(ms)} ms` : formatDuration(ms / 1000);
}

function reasonLines({ reason: { kind, text } }: Report): string[] {
  const [first, ...more] = text.split("\n");
  return [`${kind}: ${first}`, ...more];
}

function exitText(exit: Report["exit"]): string {
  if (exit === null) return "which had not ended yet";
  return exit.signal === null
    ? `which exited with status ${exit.code}`
    : `which was killed by ${exit.signal}`;
}

/** The frames of a stack, without the message that V8 puts before them: it is the reason's text. */
function frames(stack: string): string[] {
  return stack.split("\n").map((line) => line.trim()).filter((line) => line.startsWith("at "));
}

function ringTable(channels: Report["channels"]): string[] {
  return channels.map(({ kind, size, submitted, seen, completed, reaped }) =>
    `${kind}, ${size} entries: submitted ${submitted}, seen ${seen}, completed ${completed}, reaped ${reaped}`
  );
}

/** Accesses a line each, with repetitions in one: a driver that polls fills the record with them. */
function registerLines(accesses: readonly RegisterAccess[]): string[] {
  const runs: { access: RegisterAccess; times: number }[] = [];
  for (const access of accesses) {
    const run = runs.at(-1);
    if (run && same(run.access, access)) run.times++;
    else runs.push({ access, times: 1 });
  }
  const shown = runs.slice(-REGISTER_LINES);
  const hidden = accesses.length - shown.reduce((sum, { times }) => sum + times, 0);
  return [
    ...(hidden > 0 ? [`${grouped(hidden)} earlier: --json shows them`] : []),
    ...shown.map(({ access: { bar, offset, write, value }, times }) =>
      `BAR ${bar} ${hex(offset, 5)} ${write ? "<-" : "->"} ${hex(value, 8)}` +
      (times > 1 ? `  ${grouped(times)} times` : "")
    ),
  ];
}

function same(a: RegisterAccess, b: RegisterAccess): boolean {
  return a.bar === b.bar && a.offset === b.offset && a.write === b.write && a.value === b.value;
}

function hex(n: number, digits: number): string {
  return `0x${n.toString(16).padStart(digits, "0")}`;
}

function eventText(event: Event): string {
  const time = event.time.slice(11, 23).replace("Z", "");
  return `${time} ${event.type}${detail(event)}`;
}

function detail(event: Event): string {
  switch (event.type) {
    case "starting":
      return `: process ${event.pid}, version ${event.version}${event.spare ? ", from a spare" : ""}`;
    case "ready":
    case "recovered":
      return ` after ${grouped(event.ms)} ms`;
    case "log":
    case "manifest":
    case "dma-fault":
      return `: ${cut(event.text, 500)}`;
    case "ended":
      return `: ${event.reason.kind}: ${cut(event.reason.text, 500)}; ${event.next}`;
    case "spare":
      return `: ${event.state}, process ${event.pid}`;
    case "interface":
      return `: ${event.interface}`;
    case "disk":
      return `: ${event.disk}`;
    case "address":
      return `: ${event.addresses.join(" ") || "none"}`;
    case "upgrade":
      return `: ${event.state}, ${event.from} to ${event.to}${event.text && `: ${cut(event.text, 500)}`}`;
    case "fault":
      return `: ${event.state} (${event.label}), version ${event.version}${
        event.text && `: ${cut(event.text, 500)}`
      }`;
  }
}

function cut(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** `2026-07-25 10:11:12.345 UTC` */
function readableTime(time: string): string {
  return new Date(time).toISOString().replace("T", " ").replace("Z", " UTC");
}
