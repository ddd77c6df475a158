import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import {
  formatRecoveryBench,
  type Kind,
  plotRecoveryBench,
  type RecoveryBench,
} from "../../bench/recovery.ts";
import { buildBench } from "../../src/build.ts";
import { freePort } from "../../src/lab/mod.ts";
import { lines } from "../../src/lines.ts";
import { recoveryOf } from "../../src/soak/killed_driver.ts";
import { distribution } from "../../src/statistics.ts";
import { COMPARISON } from "./figures.ts";

Deno.test("the receiver of a stream tells how much came, and for how long nothing did", async () => {
  const program = `${await buildBench()}/receive`;
  const port = await freePort("tcp");
  const child = new Deno.Command(program, { args: [`${port}`, "127.0.0.1"], stdout: "piped" }).spawn();
  const said = lines(child.stdout);
  assertEquals((await said.next()).value, "ready");
  const connection = await Deno.connect({ hostname: "127.0.0.1", port });
  await connection.write(new Uint8Array(1000));
  await new Promise((resolve) => setTimeout(resolve, 200));
  await connection.write(new Uint8Array(234));
  connection.close();
  const { bytes, seconds, gap_us } = JSON.parse(`${(await said.next()).value}`);
  assertEquals((await child.status).code, 0);
  assertEquals(bytes, 1234);
  assert(gap_us > 190_000 && gap_us <= seconds * 1e6 + 1, `${gap_us} us of ${seconds} s`);
});

Deno.test("the sender of a stream sends until its input ends", async () => {
  const program = `${await buildBench()}/send`;
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const child = new Deno.Command(program, {
    args: ["127.0.0.1", `${listener.addr.port}`],
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  const connection = await listener.accept();
  let bytes = 0;
  let closed: Promise<void> | undefined;
  const buffer = new Uint8Array(1 << 20);
  for (let got: number | null; (got = await connection.read(buffer)) !== null;) {
    bytes += got;
    if (bytes > 4 << 20) closed ??= child.stdin.close();
  }
  connection.close();
  await closed;
  const { code, stdout } = await child.output();
  assertEquals(code, 0);
  assert(JSON.parse(new TextDecoder().decode(stdout)).retransmits >= 0);
  assert(bytes > 4 << 20);
});

Deno.test("both ends of a stream say what they take", async () => {
  const built = await buildBench();
  const refused = async (program: string, ...args: string[]) => {
    const { code, stderr } = await new Deno.Command(`${built}/${program}`, { args, stdin: "null" }).output();
    return [code, new TextDecoder().decode(stderr)];
  };
  assertEquals(await refused("receive", "0"), [64, "usage: receive PORT [ADDRESS]\n"]);
  assertEquals(await refused("receive", "80", "nonsense"), [64, "usage: receive PORT [ADDRESS]\n"]);
  assertEquals(await refused("send", "127.0.0.1"), [64, "usage: send ADDRESS PORT\n"]);
});

Deno.test("the parts of a recovery add up to it", () => {
  const ready = { ms: 80 };
  const recovered = { ms: 170, handed: 40, frame: true };
  const { ms, parts } = recoveryOf({ ready, recovered });
  assertEquals(ms, 170);
  assertEquals(parts, { handedOver: 40, broughtUp: 80, rest: 50 });
  assertEquals(recoveryOf({ ready, recovered: { ...recovered, frame: false } }).ms, null);
});

const kind = (gaps: number[], frames: number[], lost: number): Kind => ({
  kills: gaps.length,
  gaps,
  frames,
  gap: distribution(gaps),
  frame: distribution(frames),
  parts: frames.length === 0 ? null : { handedOver: 12, broughtUp: 33, rest: 25 },
  lost: distribution(gaps.map(() => lost)),
});
const quiet = { gap: distribution([3]), lost: distribution([0]) };
const RESULT: RecoveryBench = {
  bench: "recovery",
  ...COMPARISON,
  problems: ["spare: 1 of 3 kills were not answered by the waiting spare"],
  rounds: 3,
  rows: [
    { rate: 1000, quiet, spare: kind([80, 90, 95], [70, 75, 80], 60), alone: kind([1800], [1700], 1700) },
    { rate: null, quiet, spare: kind([220], [], 8), alone: kind([2500], [1900], 9) },
  ],
};

Deno.test("the figures are a table of both kinds under each load, against the goal", () => {
  const text = formatRecoveryBench(RESULT);
  assertStringIncludes(
    text,
    "under UDP 1,000/s: nothing came through for 90 ms in the median, within the goal of 100.",
  );
  assert(
    /UDP 1,000\/s \| with a spare \| +3 \| +90 \(80–95\) \| +95 \| +75 \(70–80\) \| +80 \| +60/.test(text),
    text,
  );
  assert(/TCP stream \| +without \| +1 \| 2500/.test(text), text);
  assert(/UDP 1,000\/s \| +undisturbed \| +0 \| +3 \(3–3\)/.test(text), text);
  assert(/UDP 1,000\/s \| with a spare \| +12 \| +33 \| +25 \|/.test(text), text);
  assert(text.endsWith("the waiting spare"));
  const slow = { ...RESULT, rows: [{ ...RESULT.rows[0], spare: RESULT.rows[0].alone }] };
  assertStringIncludes(formatRecoveryBench(slow), "for 1800 ms in the median, above the goal of 100.");
});

Deno.test("the chart shows what the application saw beside what the kernel did", () => {
  const svg = plotRecoveryBench(RESULT);
  assertStringIncludes(svg, "no spare, first frame");
  assertStringIncludes(svg, "goal, 100 ms");
});
