/** The live view: what it says, how it fits, and how it is redrawn. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LiveView, type Screen } from "../../src/view/live.ts";
import { formatDuration, plain, render, renderLine } from "../../src/view/render.ts";
import { eventText } from "../../src/view/event.ts";
import { UNMEASURED } from "../../src/supervisor/meter.ts";
import type { Driver, Event } from "../../src/supervisor/schema.ts";

const DASHBOARD = "http://127.0.0.1:7333/";
const PLAIN = { columns: 80, color: false, dashboard: DASHBOARD };

const DRIVER: Driver = {
  name: "e1000",
  description: "A card",
  file: "/ring3/drivers/e1000/driver.ts",
  address: "0000:00:10.0",
  state: "running",
  since: "2026-11-21T12:00:00Z",
  uptime: 3725.9,
  reason: { kind: "signal", text: "killed by SIGKILL" },
  pid: 4711,
  memory: 33 * 2 ** 20,
  version: { id: "0123456789ab", path: "/ring3/drivers/e1000/driver.ts", since: "2026-11-21T12:00:00Z" },
  fault: null,
  restarts: { total: 1, used: 1, budget: 5, window: 1_800_000, next: null },
  recoveries: [400, 12.4],
  spare: { state: "ready", pid: 4712, memory: 30 * 2 ** 20 },
  link: { up: true, speed: 1000 },
  port: "net",
  interface: "r3n0",
  addresses: ["10.3.0.15/24", "fe80::1/64"],
  disk: null,
  rx: { packets: 12345.6, bytes: 999_960 },
  tx: { packets: 0, bytes: 12.4 },
  interruptsPerSecond: 1234,
  packetsPerWakeup: 12.34,
  totals: UNMEASURED.totals,
  grant: ["registers: BAR 0", "nothing else: no other register, interrupt, memory, file, socket or process"],
  walls: { namespaces: "stands", landlock: "stands", seccomp: "stands", cgroup: "stands" },
  confined: false,
  warnings: ["no IOMMU"],
};

/** One that has just begun: nothing but a name. */
const NEW: Driver = {
  ...DRIVER,
  address: null,
  state: "starting",
  reason: null,
  pid: null,
  restarts: { ...DRIVER.restarts, total: 0, used: 0 },
  recoveries: [],
  spare: { state: "none", pid: null, memory: null },
  link: { up: false, speed: 0 },
  interface: null,
  addresses: [],
  grant: [],
  warnings: [],
};

Deno.test("a driver in full", () => {
  assertEquals(render(DRIVER, PLAIN), [
    "e1000 0000:00:10.0  running  1 h 2 min",
    "  link        up, 1 Gb/s",
    "  interface   r3n0  10.3.0.15/24  fe80::1/64",
    "  receive     12,346 packets/s, 1.0 MB/s",
    "  transmit    0 packets/s, 12 B/s",
    "  interrupts  1,234/s, 12.3 packets per wake-up",
    "  restarts    1, 1 of 5 within 30 min, the last took 12 ms",
    "  last end    signal: killed by SIGKILL",
    "  spare       ready, 30 MiB of memory",
    "  process     4711, version 0123456789ab, 33 MiB of memory",
    "  dashboard   http://127.0.0.1:7333/",
    "  granted     registers: BAR 0",
    "              nothing else: no other register, interrupt, memory, file, socket",
    "                or process",
    "  warning     no IOMMU",
  ]);
});

Deno.test("a driver with an injected fault says so", () => {
  const driver: Driver = { ...DRIVER, fault: { label: "stuck STATUS", version: "ba9876543210" } };
  assertEquals(render(driver, PLAIN).slice(7, 11), [
    "  fault       stuck STATUS, injected until this process ends",
    "  last end    signal: killed by SIGKILL",
    "  spare       ready, 30 MiB of memory",
    "  process     4711, version ba9876543210, 33 MiB of memory",
  ]);
  assertStringIncludes(renderLine(driver), "; injected fault (stuck STATUS); restarts 1");
});

Deno.test("a driver that has nothing yet", () => {
  const lines = render(NEW, { columns: 80, color: false });
  assertEquals(lines, [
    "e1000 no device  starting",
    "  link        down",
    "  interface   not there yet",
    "  receive     12,346 packets/s, 1.0 MB/s",
    "  transmit    0 packets/s, 12 B/s",
    "  interrupts  1,234/s, 12.3 packets per wake-up",
    "  restarts    0",
    "  process     none",
  ]);
  const [, , unaddressed] = render({ ...DRIVER, addresses: [] }, PLAIN);
  assertEquals(unaddressed, "  interface   r3n0  no address yet");
});

Deno.test("a raw port has a link and frames, and no interface", () => {
  const raw: Driver = { ...DRIVER, port: "raw", interface: null, addresses: [] };
  assertEquals(render(raw, PLAIN).slice(1, 4), [
    "  link        up, 1 Gb/s",
    "  interface   none: a program in its process has the frames",
    "  receive     12,346 packets/s, 1.0 MB/s",
  ]);
  assertStringIncludes(renderLine(raw), "; link 1 Gb/s; raw port; in 12,346 packets/s, 1.0 MB/s;");
});

const DISK: Driver = {
  ...DRIVER,
  name: "nvme",
  interface: null,
  addresses: [],
  disk: {
    name: "r3b0",
    size: 64 * 2 ** 20,
    read: { requests: 12345.6, bytes: 50.04 * 2 ** 20 },
    write: { requests: 0, bytes: 0 },
    depth: 31.96,
    latency: { mean: 2.589, p50: 2.048, p99: 7.168 },
    requestsPerWakeup: 4.25,
    portCallsPerRequest: 0,
    totals: { reads: 0, readBytes: 0, writes: 0, writtenBytes: 0, discards: 0, flushes: 0 },
  },
};

Deno.test("a driver of a disk says what the disk does", () => {
  assertEquals(render(DISK, PLAIN).slice(1, 6), [
    "  disk        r3b0  64 MiB",
    "  read        12,346 IOPS, 50.0 MiB/s",
    "  write       0 IOPS, 0.0 MiB/s",
    "  depth       32.0 at a time, 2.59 ms each, half 2.05, 99 % 7.17 or less",
    "  interrupts  1,234/s, 4.3 requests per wake-up",
  ]);
  assertEquals(
    renderLine(DISK),
    "nvme 0000:00:10.0 running; r3b0 64 MiB; read 12,346 IOPS, 50.0 MiB/s; write 0 IOPS, 0.0 MiB/s; " +
      "32.0 at a time, 2.59 ms each, half 2.05, 99 % 7.17 or less; interrupts 1,234/s; 4.3 requests per wake-up; restarts 1",
  );
  const behindPorts = { ...DISK, disk: { ...DISK.disk!, portCallsPerRequest: 2.04 } };
  assertEquals(render(behindPorts, PLAIN)[6], "  I/O ports   2.0 system calls per request");
  const none = {
    ...DISK,
    disk: { ...DISK.disk!, name: null, depth: 0, latency: { mean: 0, p50: 0, p99: 0 } },
  };
  assertEquals(render(none, PLAIN).slice(1, 5).filter((_, i) => i !== 1 && i !== 2), [
    "  disk        not there yet",
    "  depth       0.0 at a time",
  ]);
});

Deno.test("a driver that was given up says why, in red", () => {
  const failed: Driver = {
    ...DRIVER,
    state: "failed",
    pid: null,
    link: { up: false, speed: 0 },
    restarts: { ...DRIVER.restarts, budget: null },
    reason: { kind: "stall", text: "no WAIT for 1000 ms; given up: 5 restarts in 30 min" },
  };
  const lines = render(failed, { columns: 80, color: true });
  assertStringIncludes(lines[0], "\x1b[31mfailed\x1b[0m");
  assertStringIncludes(lines[1], "\x1b[31mdown\x1b[0m");
  assertStringIncludes(
    lines.join("\n"),
    "\x1b[31mstall: no WAIT for 1000 ms; given up: 5 restarts in 30 min",
  );
  assertStringIncludes(lines.join("\n"), "1, the last took 12 ms");
});

Deno.test("no line is wider than the terminal, with and without colours", () => {
  // deno-lint-ignore no-control-regex
  const escapes = /\x1b\[\d+m/g;
  for (let columns = 1; columns <= 120; columns++) {
    const bare = render(DRIVER, { columns, color: false });
    const coloured = render(DRIVER, { columns, color: true });
    for (const line of bare) assertEquals([...line].length <= columns, true, `${columns}: ${line}`);
    assertEquals(
      coloured.map((line) => line.replace(escapes, "").trimEnd()),
      bare.map((line) => line.trimEnd()),
    );
  }
  const [cut] = render(DRIVER, { columns: 20, color: false });
  assertEquals(cut, "e1000 0000:00:10.0 …");
});

Deno.test("colours mark states, and end where they began", () => {
  const [head, link] = render(DRIVER, { columns: 80, color: true });
  assertStringIncludes(head, "\x1b[32mrunning\x1b[0m");
  assertStringIncludes(link, "\x1b[32mup, 1 Gb/s\x1b[0m");
});

Deno.test("what a driver says cannot steer the terminal", () => {
  const hostile = "\x1b]0;title\x07\r\n\x9b2Jx\tü…";
  assertEquals(plain(hostile), "␛]0;title␇␍␊\ufffd2Jx␉ü…");
  const status: Driver = {
    ...DRIVER,
    warnings: [hostile],
    addresses: [hostile],
    reason: { kind: "exception", text: hostile },
  };
  // deno-lint-ignore no-control-regex
  const control = /[\x00-\x1f\x7f-\x9f]/;
  for (const line of [...render(status, { columns: 80, color: false }), renderLine(status)]) {
    assertEquals(control.test(line), false, JSON.stringify(line));
  }
});

Deno.test("rates and durations are short", () => {
  const rate = (bytes: number) =>
    render({ ...DRIVER, rx: { packets: 1, bytes } }, { columns: 80, color: false })[3];
  assertStringIncludes(rate(999), ", 999 B/s");
  assertStringIncludes(rate(1000), ", 1.0 kB/s");
  assertStringIncludes(rate(999_949), ", 999.9 kB/s");
  assertStringIncludes(rate(123_456_789_012), ", 123.5 GB/s");
  assertEquals(
    [0, 59.9, 60, 3600, 86400, 100_000].map(formatDuration),
    ["0 s", "59 s", "1 min 0 s", "1 h 0 min", "1 d 0 h", "1 d 3 h"],
  );
});

/** A screen that keeps what is written. */
class FakeScreen implements Screen {
  readonly color = false;
  written = "";
  columns = 80;
  rows = 30;
  constructor(readonly terminal: boolean) {}
  size(): { columns: number; rows: number } {
    return { columns: this.columns, rows: this.rows };
  }
  write(text: string): void {
    this.written += text;
  }
  /** What has been written since the last call. */
  take(): string {
    const taken = this.written;
    this.written = "";
    return taken;
  }
}

/** Draws what is written to a terminal: as much of one as the view uses. */
function draw(text: string): { lines: string[]; cursor: boolean; row: number } {
  const lines: string[] = [""];
  let [row, column, cursor] = [0, 0, true];
  // deno-lint-ignore no-control-regex
  for (const [token, , count, command] of text.matchAll(/\x1b\[(\??)(\d*)([A-Za-z])|[\s\S]/g)) {
    if (token === "\n") {
      row++;
      column = 0;
      lines[row] ??= "";
    } else if (token === "\r") column = 0;
    else if (token === "\x1b[?25l" || token === "\x1b[?25h") cursor = command === "h";
    else if (command === "A") row -= Number(count);
    else if (command === "K") lines[row] = lines[row].slice(0, column);
    else if (command === "J") lines.splice(row, lines.length, lines[row].slice(0, column));
    else if (!command) {
      lines[row] = lines[row].slice(0, column).padEnd(column) + token + lines[row].slice(column + 1);
      column++;
    } else if (token !== "\x1b[?2026h" && token !== "\x1b[?2026l") {
      throw new Error(`unknown sequence ${JSON.stringify(token)}`);
    }
    if (row < 0) throw new Error("above the top");
  }
  return { lines, cursor, row };
}

Deno.test("on a terminal the view is redrawn in place and leaves the cursor below it", () => {
  const screen = new FakeScreen(true);
  let all = "";
  {
    using view = new LiveView(screen);
    view.show(DRIVER);
    all += screen.take();
    assertEquals(draw(all).cursor, false);
    assertEquals(draw(all).lines, [...render(DRIVER, { columns: 80, color: false }), ""]);

    const shorter: Driver = { ...DRIVER, state: "failed", addresses: [], reason: null, warnings: [] };
    view.show(shorter);
    const frame = screen.take();
    all += frame;
    assertEquals(
      draw(all).lines,
      [...render(shorter, { columns: 80, color: false }), ""],
      "nothing of the old is left",
    );
    // Cleared before it is drawn, it would flicker.
    assertEquals(frame.indexOf("\x1b[J") > frame.indexOf("failed"), true);

    view.print("driver: link lost");
    view.show(DRIVER);
    all += screen.take();
    assertEquals(draw(all).lines, [
      "driver: link lost",
      ...render(DRIVER, { columns: 80, color: false }),
      "",
    ]);

    // A frame that does not fit would scroll: only its head is drawn.
    screen.rows = 5;
    view.print("small now");
    view.show(DRIVER);
    all += screen.take();
    const { lines } = draw(all);
    assertEquals(lines.slice(0, 2), ["driver: link lost", "small now"]);
    assertEquals(lines.length, 2 + 4 + 1);
  }
  const end = draw(all + screen.take());
  assertEquals([end.cursor, end.row], [true, end.lines.length - 1]);
});

/** An event with the fields that all have. */
const event = (detail: object) => ({ id: 1, time: DRIVER.since, driver: "e1000", ...detail }) as Event;

Deno.test("an event says in words what happened, and what happens next", () => {
  const reason = { kind: "exception", text: "Error: no", stack: "at a\nat b" };
  const ended = { type: "ended", pid: 1, reason, next: "restart", delay: 0, report: "r0" };
  assertEquals(eventText(event(ended)), [
    "ended (exception): Error: no; another takes over; report r0",
    "at a",
    "at b",
  ]);
  assertEquals(
    eventText(event({ ...ended, delay: 400.4 }))[0],
    "ended (exception): Error: no; another takes over in 400 ms; report r0",
  );
  assertEquals(
    eventText(event({ ...ended, next: "give-up" }))[0],
    "ended (exception): Error: no; given up; report r0",
  );
  assertEquals(
    eventText(event({ type: "starting", pid: 7, spare: true, version: "x" })),
    ["process 7 starts, a spare that was waiting"],
  );
  assertEquals(
    eventText(event({ type: "upgrade", state: "reverted", from: "a", to: "b", text: "it threw" })),
    ["upgrade from a to b reverted: it threw"],
  );
  assertEquals(
    eventText(event({ ...ended, reason: { kind: "upgrade", text: "version b takes over" } })),
    ["ended (upgrade): version b takes over; report r0"],
  );
  const fault = { type: "fault", label: "stuck STATUS", version: "b" };
  assertEquals(
    [
      { ...fault, state: "injected", text: "" },
      { ...fault, state: "refused", text: "the new version does not start: exited" },
    ].flatMap((one) => eventText(event(one))),
    [
      "has an injected fault (stuck STATUS), version b",
      "fault (stuck STATUS), version b, not injected: the new version does not start: exited",
    ],
  );
  assertEquals(
    eventText(event({ type: "recovered", ms: 12.34, handed: 3, frame: false })),
    ["recovered: attached 12.3 ms after the death"],
  );
});

Deno.test("elsewhere it is a line a second, and only when it reads differently", () => {
  const screen = new FakeScreen(false);
  let now = 0;
  using view = new LiveView(screen, { now: () => now });
  view.show(DRIVER);
  assertEquals(
    screen.take(),
    "e1000 0000:00:10.0 running; link 1 Gb/s; r3n0 10.3.0.15/24 fe80::1/64; in 12,346 packets/s, 1.0 MB/s; " +
      "out 0 packets/s, 12 B/s; interrupts 1,234/s; 12.3 packets per wake-up; restarts 1\n",
  );
  now = 999;
  view.show({ ...DRIVER, restarts: { ...DRIVER.restarts, total: 2 } });
  assertEquals(screen.take(), "", "too soon");
  now = 5000;
  view.show({ ...DRIVER, uptime: 1 });
  assertEquals(screen.take(), "", "nothing new");
  view.show({ ...DRIVER, restarts: { ...DRIVER.restarts, total: 2 } });
  assertMatch(screen.take(), /restarts 2\n$/);
  view.print("driver: \x1b[2Jhello");
  assertEquals(screen.take(), "driver: ␛[2Jhello\n");
});
