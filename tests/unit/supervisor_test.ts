/** What the supervisor makes of a driver process: its lines, its end. */
import { assertEquals } from "@std/assert";
import { EXIT_FAILED, MAX_TEXT } from "../../src/host/messages.ts";
import { uapi } from "../../src/kernel/mod.ts";
import { lines } from "../../src/lines.ts";
import { parseHostMessage } from "../../src/supervisor/host_message.ts";
import { endReason } from "../../src/supervisor/reason.ts";

const { END } = uapi;
const QUIET = { end: END.released, text: "" };

Deno.test("a lost device and a broken protocol explain what the process says of them", () => {
  const failed = { error: "KernelError", message: "Cannot wait for the device", stack: "at wait" };
  const process = { code: EXIT_FAILED, signal: null, failed, stderr: [] };
  assertEquals(endReason(process, { end: END.deviceLost, text: "" }).kind, "device-lost");
  assertEquals(endReason(process, { end: END.protocol, text: "receive ring: …" }), {
    kind: "protocol",
    text: "receive ring: …",
  });
  assertEquals(endReason(process, QUIET), {
    kind: "exception",
    text: "KernelError: Cannot wait for the device",
    stack: "at wait",
  });
});

Deno.test("a process that said nothing is known by its signal or its status", () => {
  assertEquals(endReason({ code: 137, signal: "SIGKILL", stderr: [] }, QUIET), {
    kind: "signal",
    text: "killed by SIGKILL",
  });
  assertEquals(endReason({ code: 125, signal: null, stderr: ["ring3-launch: x: No such file", ""] }, QUIET), {
    kind: "exit",
    text: "exited with status 125: ring3-launch: x: No such file",
  });
});

Deno.test("only messages of the known shapes are taken", () => {
  assertEquals(parseHostMessage('{"type":"ready"}'), { type: "ready" });
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
