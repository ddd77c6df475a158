/** A driver as lines of text: in full for a terminal, in one line for a log. */
import { writtenDuration } from "../duration.ts";
import { formatSize, grouped } from "../size.ts";
import type { Disk, Driver } from "../supervisor/schema.ts";

/** How the lines are drawn. */
export interface RenderOptions {
  /** No line is wider than this. */
  columns: number;
  /** Mark states with ANSI colours. */
  color: boolean;
  /** Where the dashboard is. */
  dashboard?: string;
}

const COLORS = { green: 32, yellow: 33, red: 31, bold: 1, dim: 2 } as const;

/** A run of text in one colour. */
interface Run {
  text: string;
  color?: keyof typeof COLORS;
}

const STATE_COLOR: Record<Driver["state"], keyof typeof COLORS> = {
  starting: "yellow",
  running: "green",
  restarting: "yellow",
  waiting: "yellow",
  stopped: "dim",
  failed: "red",
};

/** The live view of a driver. Grant and warnings wrap, what cannot wrap is cut with an ellipsis. */
export function render(driver: Driver, options: RenderOptions): string[] {
  const lines: Run[][] = [];
  const field = (name: string, ...runs: Run[]) => {
    lines.push([{ text: `  ${name.padEnd(LABEL)}`, color: "dim" }, ...runs]);
  };
  const wrapped = (name: string, text: string, color?: Run["color"]) => {
    for (const [part, line] of wrap(text, options.columns - LABEL - 2).entries()) {
      field(part === 0 ? name : "", { text: part === 0 ? line : `  ${line}`, color });
    }
  };
  const { restarts, spare, state, reason } = driver;
  lines.push([
    { text: `${driver.name} `, color: "bold" },
    { text: `${driver.address ?? "no device"}  ` },
    { text: state, color: STATE_COLOR[state] },
    { text: `  ${state === "running" ? formatDuration(driver.uptime) : ""}` },
  ]);
  for (const [name, run] of portFields(driver)) field(name, run);
  field("restarts", { text: restartsText(driver), color: restarts.total > 0 ? "yellow" : undefined });
  if (driver.fault) wrapped("fault", `${driver.fault.label}, injected until this process ends`, "red");
  if (reason) wrapped("last end", `${reason.kind}: ${reason.text}`, state === "failed" ? "red" : undefined);
  if (spare.state !== "none") {
    field("spare", {
      text: `${spare.state}${spare.memory === null ? "" : `, ${memoryText(spare.memory)}`}`,
    });
  }
  field("process", {
    text: driver.pid === null
      ? "none"
      : `${driver.pid}, version ${driver.fault?.version ?? driver.version.id}` +
        (driver.memory === null ? "" : `, ${memoryText(driver.memory)}`),
  });
  if (options.dashboard) field("dashboard", { text: options.dashboard });
  for (const [index, line] of driver.grant.entries()) wrapped(index === 0 ? "granted" : "", line);
  for (const warning of driver.warnings) wrapped("warning", warning, "yellow");
  return lines.map((runs) => draw(runs, options));
}

/** What the driver carries: of a network interface, a program, or a disk. */
function portFields(driver: Driver): [string, Run][] {
  const { link, rx, tx, disk } = driver;
  const interrupts = (what: string, each: number): [string, Run] => [
    "interrupts",
    { text: `${perSecond(driver.interruptsPerSecond)}, ${each.toFixed(1)} ${what} per wake-up` },
  ];
  if (disk) {
    return [
      ["disk", { text: disk.name === null ? "not there yet" : `${disk.name}  ${formatSize(disk.size)}` }],
      ["read", { text: requestsText(disk.read) }],
      ["write", { text: requestsText(disk.write) }],
      ["depth", { text: depthText(disk) }],
      interrupts("requests", disk.requestsPerWakeup),
      ...disk.portCallsPerRequest > 0 ? [portCalls(disk)] : [],
    ];
  }
  return [
    [
      "link",
      link.up ? { text: `up, ${speedText(link.speed)}`, color: "green" } : { text: "down", color: "red" },
    ],
    ["interface", {
      text: driver.port === "raw"
        ? "none: a program in its process has the frames"
        : driver.interface === null
        ? "not there yet"
        : `${driver.interface}  ${driver.addresses.join("  ") || "no address yet"}`,
    }],
    ["receive", { text: rateText(rx) }],
    ["transmit", { text: rateText(tx) }],
    interrupts("packets", driver.packetsPerWakeup),
  ];
}

function portCalls({ portCallsPerRequest }: Disk): [string, Run] {
  return ["I/O ports", { text: `${portCallsPerRequest.toFixed(1)} system calls per request` }];
}

function requestsText({ requests, bytes }: Disk["read"]): string {
  return `${grouped(requests)} IOPS, ${(bytes / 2 ** 20).toFixed(1)} MiB/s`;
}

function depthText({ depth, latency }: Disk): string {
  const { mean, p50, p99 } = latency;
  const times = [`${mean.toFixed(2)} ms each`, `half ${p50.toFixed(2)}`, `99 % ${p99.toFixed(2)} or less`];
  return [`${depth.toFixed(1)} at a time`, ...mean > 0 ? times : []].join(", ");
}

/** Restarts so far, and how many more there may be. */
function restartsText({ restarts: { total, used, budget, window }, recoveries }: Driver): string {
  const last = recoveries.at(-1);
  return [
    `${total}`,
    ...(budget === null || total === 0 ? [] : [`${used} of ${budget} within ${writtenDuration(window)}`]),
    ...(last === undefined ? [] : [`the last took ${last.toFixed(0)} ms`]),
  ].join(", ");
}

/** A driver in one line without colours, for a log. */
export function renderLine(driver: Driver): string {
  const { link, rx, tx, disk } = driver;
  const interrupts = `interrupts ${perSecond(driver.interruptsPerSecond)}`;
  const carries = disk
    ? [
      disk.name === null ? "no disk" : `${disk.name} ${formatSize(disk.size)}`,
      `read ${requestsText(disk.read)}`,
      `write ${requestsText(disk.write)}`,
      depthText(disk),
      interrupts,
      `${disk.requestsPerWakeup.toFixed(1)} requests per wake-up`,
    ]
    : [
      `link ${link.up ? speedText(link.speed) : "down"}`,
      driver.port === "raw"
        ? "raw port"
        : driver.interface === null
        ? "no interface"
        : [driver.interface, ...driver.addresses].join(" "),
      `in ${rateText(rx)}`,
      `out ${rateText(tx)}`,
      interrupts,
      `${driver.packetsPerWakeup.toFixed(1)} packets per wake-up`,
    ];
  return [
    `${driver.name} ${driver.address ?? "no device"} ${driver.state}`,
    ...carries,
    ...driver.fault ? [`injected fault (${driver.fault.label})`] : [],
    `restarts ${driver.restarts.total}`,
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

function memoryText(bytes: number): string {
  return `${grouped(bytes / 2 ** 20)} MiB of memory`;
}

function rateText({ packets, bytes }: Driver["rx"]): string {
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
