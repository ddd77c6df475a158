/** What the supervisor makes of a driver process: its lines, its end. */
import { assertEquals } from "@std/assert";
import { EXIT_FAILED, MAX_TEXT } from "../../src/host/messages.ts";
import { uapi } from "../../src/kernel/mod.ts";
import { lines } from "../../src/lines.ts";
import { parseHostMessage } from "../../src/supervisor/host_message.ts";
import { LastLines } from "../../src/supervisor/last_lines.ts";
import { kernelReason, processReason } from "../../src/supervisor/reason.ts";

const { END } = uapi;

/** A version whose copy lies somewhere else than its files. */
const VERSION = {
  id: "0123456789ab",
  path: "/x/drivers/e1000/driver.ts",
  file: "/run/ring3/versions/e1000/0123456789ab/x/drivers/e1000/driver.ts",
  folder: "/run/ring3/versions/e1000/0123456789ab/x/drivers/e1000",
  root: "/run/ring3/versions/e1000/0123456789ab",
  source: "/x/drivers/e1000",
  cache: "/run/ring3/versions/e1000/0123456789ab.cache",
  imports: {},
  packages: { imports: {}, scopes: {} },
  modules: [],
  since: new Date(0),
};

Deno.test("a lost device, a broken protocol, a stall and failures are the kernel's to tell", () => {
  assertEquals(kernelReason({ end: END.deviceLost, text: "" })?.kind, "device-lost");
  assertEquals(kernelReason({ end: END.protocol, text: "receive ring: …" }), {
    kind: "protocol",
    text: "receive ring: …",
  });
  assertEquals(kernelReason({ end: END.stalled, text: "no WAIT for 1000 ms …" })?.kind, "stall");
  assertEquals(kernelReason({ end: END.failing, text: "it failed 8 …" })?.kind, "failing");
  assertEquals(kernelReason({ end: END.released, text: "" }), undefined);
});

Deno.test("an exception is told with its place in the driver's own files", () => {
  const stack =
    `Error: x\n    at poll (file://${VERSION.file}:7:3)\n    at file:///ring3/src/host/loop.ts:1:2`;
  const failed = { error: "Error", message: "x", stack };
  assertEquals(processReason({ code: EXIT_FAILED, signal: null, failed, stderr: [] }, VERSION), {
    kind: "exception",
    text: "Error: x",
    stack: "Error: x\n    at poll (/x/drivers/e1000/driver.ts:7:3)\n    at /ring3/src/host/loop.ts:1:2",
  });
});

Deno.test("a process that said nothing is known by its signal, its status or V8's last words", () => {
  const reason = (code: number, signal: string | null, stderr: string[] = []) =>
    processReason({ code, signal, stderr }, VERSION);
  assertEquals(reason(137, "SIGKILL"), { kind: "signal", text: "killed by SIGKILL" });
  assertEquals(reason(125, null, ["ring3-launch: x: No such file", ""]), {
    kind: "exit",
    text: "exited with status 125: ring3-launch: x: No such file",
  });
  const full = "# Fatal JavaScript out of memory: Reached heap limit";
  assertEquals(reason(133, "SIGTRAP", ["#", full, "#"]), { kind: "out-of-memory", text: full });
  assertEquals(reason(133, "SIGTRAP").kind, "signal");
});

Deno.test("only messages of the known shapes are taken", () => {
  assertEquals(parseHostMessage('{"type":"ready"}'), { type: "ready" });
  assertEquals(parseHostMessage('{"type":"waiting"}'), { type: "waiting" });
  assertEquals(parseHostMessage('{"type":"log","text":"x"}'), { type: "log", text: "x" });
  for (
    const line of [
      "",
      "ready",
      "null",
      '{"type":"ready","more":1}',
      '{"type":"log"}',
      '{"type":"log","text":1}',
      '{"type":"stop"}',
      JSON.stringify({ type: "log", text: "x".repeat(MAX_TEXT + 1) }),
      '{"__proto__":{"type":"ready"}}',
    ]
  ) assertEquals(parseHostMessage(line), undefined, line.slice(0, 40));
});

Deno.test("of what a process writes, the last lines are kept, and of each its start", () => {
  const last = new LastLines(3);
  for (const line of ["1", "2", "3", "y".repeat(MAX_TEXT) + "z"]) last.add(line);
  assertEquals(last.lines, ["2", "3", "y".repeat(MAX_TEXT)]);
});

async function split(...parts: string[]): Promise<string[]> {
  const stream = ReadableStream.from(parts.map((part) => new TextEncoder().encode(part)));
  return await Array.fromAsync(lines(stream));
}

Deno.test("lines are put together from whatever pieces they come in", async () => {
  assertEquals(await split("a\nb", "c\n", "\n", "d"), ["a", "bc", "", "d"]);
  assertEquals(await split(), []);
});

Deno.test("a line without an end does not pile up", async () => {
  const piece = "x".repeat(64 * 1024);
  const got = await split(...Array.from({ length: 100 }, () => piece));
  assertEquals(got.join("").length, 100 * piece.length);
  assertEquals(Math.max(...got.map((line) => line.length)) < 8 * piece.length, true);
});
