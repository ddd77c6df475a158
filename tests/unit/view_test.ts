/** The live view: what it says, how it fits, and how it is redrawn. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LiveView, type Screen } from "../../src/view/live.ts";
import { formatDuration, plain, render, renderLine } from "../../src/view/render.ts";
import type { Status } from "../../src/view/status.ts";

const STATUS: Status = {
  name: "e1000",
  address: "0000:00:10.0",
  state: "running",
  link: { up: true, speed: 1000 },
  interface: "r3n0",
  addresses: ["10.3.0.15/24", "fe80::1/64"],
  rx: { packets: 12345.6, bytes: 999_960 },
  tx: { packets: 0, bytes: 12.4 },
  interruptsPerSecond: 1234,
  packetsPerWakeup: 12.34,
  restarts: 1,
  uptime: 3725.9,
  dashboard: "http://127.0.0.1:8080",
  grant: ["registers: BAR 0", "nothing else: no other register, interrupt, memory, file, socket or process"],
  warnings: ["no IOMMU"],
};

Deno.test("a status in full", () => {
  assertEquals(render(STATUS, { columns: 80, color: false }), [
    "e1000 0000:00:10.0  running  1 h 2 min",
    "  link        up, 1 Gb/s",
    "  interface   r3n0  10.3.0.15/24  fe80::1/64",
    "  receive     12,346 packets/s, 1.0 MB/s",
    "  transmit    0 packets/s, 12 B/s",
    "  interrupts  1,234/s, 12.3 packets per wake-up",
    "  restarts    1",
    "  dashboard   http://127.0.0.1:8080",
    "  granted     registers: BAR 0",
    "              nothing else: no other register, interrupt, memory, file, socket",
    "                or process",
    "  warning     no IOMMU",
  ]);
});

Deno.test("a driver that has nothing yet", () => {
  const lines = render({
    ...STATUS,
    state: "starting",
    link: { up: false, speed: 0 },
    interface: null,
    addresses: [],
    dashboard: undefined,
    grant: [],
    warnings: [],
  }, { columns: 80, color: false });
  assertEquals(lines.length, 7);
  assertStringIncludes(lines[0], "starting");
  assertEquals(lines[1], "  link        down");
  assertEquals(lines[2], "  interface   not there yet");
  const [, , unaddressed] = render({ ...STATUS, addresses: [] }, { columns: 80, color: false });
  assertEquals(unaddressed, "  interface   r3n0  no address yet");
});

Deno.test("no line is wider than the terminal, with and without colours", () => {
  // deno-lint-ignore no-control-regex
  const escapes = /\x1b\[\d+m/g;
  for (let columns = 1; columns <= 120; columns++) {
    const bare = render(STATUS, { columns, color: false });
    const coloured = render(STATUS, { columns, color: true });
    for (const line of bare) assertEquals([...line].length <= columns, true, `${columns}: ${line}`);
    assertEquals(
      coloured.map((line) => line.replace(escapes, "").trimEnd()),
      bare.map((line) => line.trimEnd()),
    );
  }
  const [cut] = render(STATUS, { columns: 20, color: false });
  assertEquals(cut, "e1000 0000:00:10.0 …");
});

Deno.test("colours mark states, and end where they began", () => {
  const [head, link] = render(STATUS, { columns: 80, color: true });
  assertStringIncludes(head, "\x1b[32mrunning\x1b[0m");
  assertStringIncludes(link, "\x1b[32mup, 1 Gb/s\x1b[0m");
  const [failed, down] = render(
    { ...STATUS, state: "failed", link: { up: false, speed: 0 } },
    { columns: 80, color: true },
  );
  assertStringIncludes(failed, "\x1b[31mfailed\x1b[0m");
  assertStringIncludes(down, "\x1b[31mdown\x1b[0m");
});

Deno.test("what a driver says cannot steer the terminal", () => {
  const hostile = "\x1b]0;title\x07\r\n\x9b2Jx\tü…";
  assertEquals(plain(hostile), "␛]0;title␇␍␊\ufffd2Jx␉ü…");
  const status = { ...STATUS, warnings: [hostile], addresses: [hostile] };
  // deno-lint-ignore no-control-regex
  const control = /[\x00-\x1f\x7f-\x9f]/;
  for (const line of [...render(status, { columns: 80, color: false }), renderLine(status)]) {
    assertEquals(control.test(line), false, JSON.stringify(line));
  }
});

Deno.test("rates and durations are short", () => {
  const rate = (bytes: number) =>
    render({ ...STATUS, rx: { packets: 1, bytes } }, { columns: 80, color: false })[3];
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
    view.show(STATUS);
    all += screen.take();
    assertEquals(draw(all).cursor, false);
    assertEquals(draw(all).lines, [...render(STATUS, { columns: 80, color: false }), ""]);

    const shorter: Status = { ...STATUS, state: "failed", addresses: [], dashboard: undefined, warnings: [] };
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
    view.show(STATUS);
    all += screen.take();
    assertEquals(draw(all).lines, [
      "driver: link lost",
      ...render(STATUS, { columns: 80, color: false }),
      "",
    ]);

    // A frame that does not fit would scroll: only its head is drawn.
    screen.rows = 5;
    view.print("small now");
    view.show(STATUS);
    all += screen.take();
    const { lines } = draw(all);
    assertEquals(lines.slice(0, 2), ["driver: link lost", "small now"]);
    assertEquals(lines.length, 2 + 4 + 1);
  }
  const end = draw(all + screen.take());
  assertEquals([end.cursor, end.row], [true, end.lines.length - 1]);
});

Deno.test("elsewhere it is a line a second, and only when it reads differently", () => {
  const screen = new FakeScreen(false);
  let now = 0;
  using view = new LiveView(screen, { now: () => now });
  view.show(STATUS);
  assertEquals(
    screen.take(),
    "e1000 0000:00:10.0 running; link 1 Gb/s; r3n0 10.3.0.15/24 fe80::1/64; in 12,346 packets/s, 1.0 MB/s; " +
      "out 0 packets/s, 12 B/s; interrupts 1,234/s; 12.3 packets per wake-up; restarts 1\n",
  );
  now = 999;
  view.show({ ...STATUS, restarts: 2 });
  assertEquals(screen.take(), "", "too soon");
  now = 5000;
  view.show({ ...STATUS, uptime: 1 });
  assertEquals(screen.take(), "", "nothing new");
  view.show({ ...STATUS, restarts: 2 });
  assertMatch(screen.take(), /restarts 2\n$/);
  view.print("driver: \x1b[2Jhello");
  assertEquals(screen.take(), "driver: ␛[2Jhello\n");
});
