// @ts-check
/**
 * What pages say of drivers and events. The server renders with it, and the browser keeps the page up to
 * date with it, so that both say the same.
 */

/** @import { Driver, Event, EndKind, ReportSummary, State } from "../../supervisor/schema.ts" */

/** What cannot be seen and may reorder what can: control, line separator and direction characters. */
const HIDDEN = /[\p{Cc}\p{Cs}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

/**
 * Text with what hides in it made visible; a driver's own words may hold anything.
 * @param {string} text
 * @param {{ lines?: boolean }} [options] `lines`: line breaks and tabs stay, as in a stack
 * @returns {string}
 */
export function visible(text, { lines = false } = {}) {
  return text.replace(HIDDEN, (character) => {
    if (lines && (character === "\n" || character === "\t")) return character;
    // Control pictures, U+2400 and up, are in the order of the control characters.
    if (character < " ") return String.fromCharCode(0x2400 + character.charCodeAt(0));
    return `\u27e8U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
  });
}

/**
 * Seconds as `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  /** @type {[string, number][]} */
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = units.findIndex(([, length]) => whole >= length);
  if (first < 0) return "0 s";
  const parts = [];
  let left = whole;
  for (const [unit, length] of units.slice(first, first + 2)) {
    const count = Math.floor(left / length);
    if (count > 0) parts.push(`${count} ${unit}`);
    left -= count * length;
  }
  return parts.join(" ");
}

/**
 * Milliseconds as `4.2 ms`, `180 ms`, `1.25 s`.
 * @param {number} ms
 */
export function milliseconds(ms) {
  if (ms >= 100_000) return duration(ms / 1000);
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return `${ms >= 10 ? Math.round(ms) : ms.toFixed(1)} ms`;
}

/**
 * A number, with its thousands separated; small ones with one decimal place.
 * @param {number} value
 */
export function count(value) {
  const small = value < 10 && !Number.isInteger(value);
  return small ? value.toFixed(1) : Math.round(value).toLocaleString("en-US");
}

/**
 * Bytes in a unit of their size, 1000 to the next: `1.2 MB`.
 * @param {number} value
 */
export function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  // 999.95 would be shown as 1000.0.
  for (; value >= 999.95 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * Memory, 1024 to the next unit: `31 MiB`.
 * @param {number} value bytes
 */
export function memory(value) {
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${Math.round(value / 2 ** 20)} MiB`;
}

/**
 * A moment's time of day to the millisecond, here or at Greenwich.
 * @param {string} time ISO 8601, UTC
 * @param {{ utc: boolean }} options
 */
export function clock(time, { utc }) {
  const date = new Date(time);
  if (utc) return date.toISOString().slice(11, 23);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  const ms = String(date.getMilliseconds()).padStart(3, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${ms}`;
}

/**
 * Mb/s as a link's speed is called.
 * @param {number} megabits
 */
function speed(megabits) {
  return megabits >= 1000 ? `${megabits / 1000} Gb/s` : `${megabits} Mb/s`;
}

/**
 * How good a state is, for its colour.
 * @type {Record<State, "good" | "busy" | "off" | "bad">}
 */
export const TONES = {
  starting: "busy",
  running: "good",
  restarting: "busy",
  waiting: "busy",
  stopped: "off",
  failed: "bad",
};

/**
 * Ends in words.
 * @type {Record<EndKind, string>}
 */
export const ENDS = {
  exit: "exit",
  exception: "exception",
  signal: "signal",
  "out-of-memory": "out of memory",
  stall: "stall",
  protocol: "protocol violation",
  failing: "failed requests",
  "dma-fault": "DMA fault",
  "device-lost": "device lost",
  refused: "refused by the kernel",
  forbidden: "forbidden system call",
  operator: "operator's request",
  upgrade: "upgrade",
};

/** Ways to have a driver end, in words, for a choice. */
export const KILLS = {
  kill: "kill -9: its process is gone at once",
  stall: "stall: it loops, and makes no progress",
  exception: "exception: it throws",
  exit: "exit: its process ends by itself",
  "out-of-memory": "out of memory: it fills its heap",
};

/**
 * Parts of its sandbox that a driver runs without, and why.
 * @param {Driver} driver
 */
function holes({ walls }) {
  return Object.entries(walls ?? {}).filter(([, standing]) => standing !== "stands").map(([wall, standing]) =>
    `no ${wall} (${standing === "off" ? "its manifest leaves it out" : "this system has none"})`
  );
}

/** @param {Driver} driver Whether it runs with less than all that confines drivers. */
export function isUnsafe(driver) {
  return driver.confined === false || holes(driver).length > 0;
}

/** @param {Driver} driver */
function wallsOf(driver) {
  if (driver.walls === null) return "no process";
  const process = Object.entries(driver.walls).filter(([, standing]) => standing === "stands").map(([wall]) =>
    wall
  );
  const standing = [
    "language",
    `process (${process.length > 0 ? process.join(", ") : "its user and limits alone"})`,
    "module",
    ...(driver.confined ? ["IOMMU"] : []),
  ];
  return standing.join(", ");
}

/**
 * The number in the middle, and the largest.
 * @param {readonly number[]} values at least one
 */
export function middle(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: sorted[sorted.length >> 1], worst: sorted[sorted.length - 1] };
}

/**
 * What a driver carries each second, in and out, or read and written: packets, or requests of its disk.
 * @param {Driver} driver
 */
export function carriedBy({ disk, rx, tx, packetsPerWakeup }) {
  return disk
    ? {
      packets: [disk.read.requests, disk.write.requests],
      bytes: [disk.read.bytes, disk.write.bytes],
      perWakeup: disk.requestsPerWakeup,
    }
    : { packets: [rx.packets, tx.packets], bytes: [rx.bytes, tx.bytes], perWakeup: packetsPerWakeup };
}

/** @param {NonNullable<Driver["disk"]>} disk */
function latencyOf({ latency: { mean, p99 } }) {
  return mean > 0 ? `, ${milliseconds(mean)} each, 99\u00a0% in ${milliseconds(p99)}` : "";
}

/**
 * The other side of a driver in words, and what its parts are called: of a network interface, a program, or a disk.
 * @param {Driver} driver
 */
function portOf({ disk, interface: name, link, port }) {
  if (disk) {
    return {
      linkName: "Load",
      link: `${count(disk.depth)} at a time${latencyOf(disk)}`,
      interfaceName: "Disk",
      interface: disk.name === null ? "none yet" : `${visible(disk.name)}, ${memory(disk.size)}`,
      packetsName: "Requests",
      wakeupsName: "Requests per wake-up",
      inName: "read",
      outName: "written",
    };
  }
  return {
    linkName: "Link",
    link: link.up ? speed(link.speed) : "down",
    interfaceName: "Interface",
    interface: port === "raw" ? "none: a program has the frames" : name === null ? "none yet" : visible(name),
    packetsName: "Packets",
    wakeupsName: "Packets per wake-up",
    inName: "in",
    outName: "out",
  };
}

/**
 * A driver as its card shows it: texts, lists and parts by the names they have in the page.
 * @param {Driver} driver
 * @param {number} now milliseconds since 1970, by the server's clock
 */
export function cardOf(driver, now) {
  const { address, reason, recoveries, restarts, spare, state, version } = driver;
  const carried = carriedBy(driver);
  const inState = driver.uptime > 0 && state === "running"
    ? driver.uptime
    : (now - Date.parse(driver.since)) / 1000;
  const next = restarts.next === null ? 0 : Math.max(0, (Date.parse(restarts.next) - now) / 1000);
  const { median, worst } = recoveries.length > 0 ? middle(recoveries) : { median: 0, worst: 0 };
  const last = recoveries[recoveries.length - 1];
  return {
    tone: TONES[state],
    state,
    text: {
      name: visible(driver.name),
      description: visible(driver.description),
      address: address === null ? "no device yet" : visible(address),
      state,
      since: `for ${duration(inState)}`,
      next: `next try in ${duration(Math.ceil(next))}`,
      ...portOf(driver),
      process: driver.pid === null ? "none" : String(driver.pid),
      memory: driver.memory === null ? "" : `, ${memory(driver.memory)}`,
      spare: {
        none: "none",
        starting: "starting",
        ready: `ready${spare.memory === null ? "" : `, ${memory(spare.memory)}`}`,
      }[spare.state],
      version: visible(driver.fault?.version ?? version.id).slice(0, 12),
      used: restarts.budget === null
        ? `${restarts.used}, no limit`
        : `${restarts.used} of ${restarts.budget} in ${duration(restarts.window / 1000)}`,
      total: `${count(restarts.total)} in all`,
      end: reason === null ? "" : ENDS[reason.kind],
      why: reason === null ? "" : visible(reason.text),
      stack: reason?.stack === undefined ? "" : visible(reason.stack, { lines: true }),
      packetsIn: `${count(carried.packets[0])}/s`,
      packetsOut: `${count(carried.packets[1])}/s`,
      bytesIn: `${bytes(carried.bytes[0])}/s`,
      bytesOut: `${bytes(carried.bytes[1])}/s`,
      interrupts: `${count(driver.interruptsPerSecond)}/s`,
      perWakeup: count(carried.perWakeup),
      walls: wallsOf(driver),
      holes: holes(driver).join(", "),
      fault: driver.fault === null ? "" : visible(driver.fault.label),
      recoveries: last === undefined
        ? "none yet"
        : `last ${milliseconds(last)}, median ${milliseconds(median)}, worst ${milliseconds(worst)}`,
    },
    lists: {
      addresses: driver.addresses.map((line) => visible(line)),
      grant: driver.grant.map((line) => visible(line)),
      warnings: driver.warnings.map((line) => visible(line)),
    },
    shown: {
      unsafe: driver.confined === false,
      weak: holes(driver).length > 0,
      fault: driver.fault !== null,
      next: state === "waiting" && restarts.next !== null,
      end: reason !== null,
      stack: reason?.stack !== undefined,
      warnings: driver.warnings.length > 0,
      budget: restarts.budget !== null,
    },
    budget: { used: restarts.used, max: restarts.budget ?? 1 },
    /** Actions that make sense in its state. */
    actions: state === "stopped" || state === "failed"
      ? ["start"]
      : driver.pid === null
      ? ["restart", "stop"]
      : ["restart", "stop", "kill"],
  };
}

/**
 * All drivers in a line.
 * @param {readonly Driver[]} drivers
 */
export function overview(drivers) {
  if (drivers.length === 0) return "no drivers";
  /** @type {Map<State, number>} */
  const states = new Map();
  for (const { state } of drivers) states.set(state, (states.get(state) ?? 0) + 1);
  const each = [...states].map(([state, number]) => `${number} ${state}`).join(", ");
  return `${drivers.length} ${drivers.length === 1 ? "driver" : "drivers"}: ${each}`;
}

/**
 * An event as the timeline shows it.
 * @param {Event} event
 * @returns {{ word: string, tone: "good" | "busy" | "off" | "bad", text: string, report: string | null }}
 */
export function eventOf(event) {
  const { word, tone, text, report = null } = parts(event);
  return { word, tone, text: visible(text), report };
}

/**
 * @param {Event} event
 * @returns {{ word: string, tone: "good" | "busy" | "off" | "bad", text: string, report?: string }}
 */
function parts(event) {
  switch (event.type) {
    case "starting":
      return {
        word: "starting",
        tone: "busy",
        text: `process ${event.pid}${event.spare ? ", a spare that was waiting" : ""}, version ${
          event.version.slice(0, 12)
        }`,
      };
    case "ready":
      return { word: "ready", tone: "good", text: `${milliseconds(event.ms)} after it got its grant` };
    case "log":
      return { word: "says", tone: "off", text: event.text };
    case "ended": {
      const asked = event.reason.kind === "operator" || event.reason.kind === "upgrade";
      const next = {
        restart: event.delay === 0 ? "" : `; next try in ${milliseconds(event.delay)}`,
        stop: "; stays ended",
        "give-up": "; given up",
      }[event.next];
      return {
        word: "ended",
        tone: asked ? "off" : "bad",
        text: `${ENDS[event.reason.kind]}: ${event.reason.text}${
          event.waited === undefined ? "" : `; work had waited ${milliseconds(event.waited)}`
        }${next}`,
        report: event.report ?? undefined,
      };
    }
    case "recovered":
      return {
        word: "recovered",
        tone: "good",
        text: `${event.frame ? "first frame" : "attached, and no frame yet,"} ${
          milliseconds(event.ms)
        } after the death`,
      };
    case "spare":
      return {
        word: "spare",
        tone: event.state === "lost" ? "busy" : "off",
        text: `${event.state}, process ${event.pid}`,
      };
    case "interface":
      return { word: "interface", tone: "off", text: event.interface };
    case "disk":
      return { word: "disk", tone: "off", text: event.disk };
    case "address":
      return { word: "address", tone: "off", text: event.addresses.join(", ") || "none" };
    case "upgrade": {
      const way = `${event.from.slice(0, 12)} → ${event.to.slice(0, 12)}`;
      const tone = { started: "busy", done: "good", refused: "bad", reverted: "bad" }[event.state];
      return {
        word: "upgrade",
        tone: /** @type {"good" | "busy" | "bad"} */ (tone),
        text: `${event.state}: ${way}${event.text === "" ? "" : `: ${event.text}`}`,
      };
    }
    case "fault":
      return {
        word: "fault",
        tone: "bad",
        text: `${event.state}: ${event.label}, version ${event.version.slice(0, 12)}${
          event.text === "" ? "" : `: ${event.text}`
        }`,
      };
    case "dma-fault":
      return { word: "DMA fault", tone: "bad", text: event.text };
    case "manifest":
      return { word: "manifest", tone: "off", text: event.text };
  }
}

/**
 * Text as a part of a path or a query. Half of a surrogate pair has no place in one.
 * @param {string} text
 */
function inUrl(text) {
  return encodeURIComponent(text.toWellFormed());
}

/**
 * Where a report's page is.
 * @param {string} id
 */
export function reportPath(id) {
  return `/reports/${inUrl(id)}`;
}

/**
 * Where the list of a driver's reports is.
 * @param {string} driver
 */
export function reportsPath(driver) {
  return `/reports?driver=${inUrl(driver)}`;
}

/**
 * Where an action on a driver is sent.
 * @param {string} driver
 * @param {string} action
 */
export function actionPath(driver, action) {
  return `/api/v1/drivers/${inUrl(driver)}/${action}`;
}
