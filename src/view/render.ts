/** A status as lines of text: in full for a terminal, in one line for a log. */
import { grouped } from "../size.ts";
import type { Rate, Status } from "./status.ts";

/** How the lines are drawn. */
export interface RenderOptions {
  /** No line is wider than this. */
  columns: number;
  /** Mark states with ANSI colours. */
  color: boolean;
}

const COLORS = { green: 32, yellow: 33, red: 31, bold: 1, dim: 2 } as const;

/** A run of text in one colour. */
interface Run {
  text: string;
  color?: keyof typeof COLORS;
}

const STATE_COLOR: Record<Status["state"], keyof typeof COLORS> = {
  starting: "yellow",
  running: "green",
  restarting: "yellow",
  waiting: "yellow",
  stopped: "dim",
  failed: "red",
};

/** The live view of a driver. Grant and warnings wrap, what cannot wrap is cut with an ellipsis. */
export function render(status: Status, options: RenderOptions): string[] {
  const lines: Run[][] = [];
  const field = (name: string, ...runs: Run[]) => {
    lines.push([{ text: `  ${name.padEnd(LABEL)}`, color: "dim" }, ...runs]);
  };
  const { link, rx, tx } = status;
  lines.push([
    { text: `${status.name} `, color: "bold" },
    { text: `${status.address}  ` },
    { text: status.state, color: STATE_COLOR[status.state] },
    { text: `  ${formatDuration(status.uptime)}` },
  ]);
  field(
    "link",
    link.up ? { text: `up, ${speedText(link.speed)}`, color: "green" } : { text: "down", color: "red" },
  );
  field("interface", {
    text: status.interface === null
      ? "not there yet"
      : `${status.interface}  ${status.addresses.join("  ") || "no address yet"}`,
  });
  field("receive", { text: rateText(rx) });
  field("transmit", { text: rateText(tx) });
  field("interrupts", {
    text: `${perSecond(status.interruptsPerSecond)}, ${
      status.packetsPerWakeup.toFixed(1)
    } packets per wake-up`,
  });
  field("restarts", { text: `${status.restarts}`, color: status.restarts > 0 ? "yellow" : undefined });
  if (status.dashboard) field("dashboard", { text: status.dashboard });
  for (const [index, line] of status.grant.entries()) {
    for (const [part, text] of wrap(line, options.columns - LABEL - 2).entries()) {
      field(index === 0 && part === 0 ? "granted" : "", { text: part === 0 ? text : `  ${text}` });
    }
  }
  for (const warning of status.warnings) {
    for (const [part, text] of wrap(warning, options.columns - LABEL - 2).entries()) {
      field(part === 0 ? "warning" : "", { text: part === 0 ? text : `  ${text}`, color: "yellow" });
    }
  }
  return lines.map((runs) => draw(runs, options));
}

/** The status in one line without colours, for a log. */
export function renderLine(status: Status): string {
  const { link, rx, tx } = status;
  return [
    `${status.name} ${status.address} ${status.state}`,
    `link ${link.up ? speedText(link.speed) : "down"}`,
    status.interface === null ? "no interface" : [status.interface, ...status.addresses].join(" "),
    `in ${rateText(rx)}`,
    `out ${rateText(tx)}`,
    `interrupts ${perSecond(status.interruptsPerSecond)}`,
    `${status.packetsPerWakeup.toFixed(1)} packets per wake-up`,
    `restarts ${status.restarts}`,
  ].map(plain).join("; ");
}

/** Seconds as `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`. */
export function formatDuration(seconds: number): string {
  const whole = Math.floor(seconds);
  const units: [string, number][] = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, length]) => whole >= length);
  if (first < 0) return "0 s";
  let left = whole;
  return units.slice(first, first + 2).map(([unit, length]) => {
    const count = Math.floor(left / length);
    left -= count * length;
    return `${count} ${unit}`;
  }).join(" ");
}

/** Text with its control characters shown: what a driver says must not steer the terminal. */
export function plain(text: string): string {
  // Control pictures, U+2400 and up, are in the order of the control characters.
  return text.replace(
    /\p{Cc}/gu,
    (character) => character < " " ? String.fromCharCode(0x2400 + character.charCodeAt(0)) : "\ufffd",
  );
}

/** Width of the names on the left. */
const LABEL = 12;

function speedText(megabits: number): string {
  return megabits >= 1000 ? `${megabits / 1000} Gb/s` : `${megabits} Mb/s`;
}

function perSecond(value: number): string {
  return `${grouped(value)}/s`;
}

function rateText({ packets, bytes }: Rate): string {
  const units = ["B", "kB", "MB", "GB"];
  let value = bytes;
  let unit = 0;
  // 999.95 would be shown as 1000.0.
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${grouped(packets)} packets/s, ${unit === 0 ? Math.round(value) : value.toFixed(1)} ${
    units[unit]
  }/s`;
}

/** Words in lines of at most `columns`, those after the first two shorter for their indent. */
function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const room = columns - (lines.length > 0 ? 2 : 0);
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
    } else {
      line = line === "" ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}

function draw(runs: Run[], { columns, color }: RenderOptions): string {
  let left = Math.max(columns, 1);
  let drawn = "";
  const length = runs.reduce((sum, { text }) => sum + text.length, 0);
  if (length > left) left--;
  for (const run of runs) {
    const text = plain(run.text).slice(0, left);
    left -= text.length;
    if (text === "") continue;
    drawn += color && run.color ? `\x1b[${COLORS[run.color]}m${text}\x1b[0m` : text;
  }
  return length > columns ? `${drawn}…` : drawn.trimEnd();
}
