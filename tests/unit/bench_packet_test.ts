/** The benchmark of packets: what it prints, and that the two drivers and the null card work together. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  benchPacket,
  formatPacketBench,
  type PacketBench,
  PATHS,
  plotPacketBench,
  type Point,
  type Side,
} from "../../bench/packet.ts";
import { UserError } from "../../src/error.ts";
import { one } from "./figures.ts";

const side = (cost: number, instructions: number | null): Side => ({
  cost: one(cost),
  mean: one(cost),
  p50: one(100),
  p99: one(200),
  p999: one(300),
  max: one(40_000),
  instructions,
});
const point = (batch: number, ratio: number, instructions: number | null): Point => ({
  path: "receive",
  batch,
  c: side(10, instructions),
  ring3: side(10 * ratio, instructions && instructions * 2),
  ratio: one(ratio),
  heap: one(0.5),
  collections: 3,
  packets: 2_000_000,
});

const RESULT: PacketBench = {
  bench: "packet",
  ok: true,
  processor: "a processor",
  deno: "2",
  v8: "15",
  rounds: 5,
  points: [point(1, 3, 40), point(32, 1.5, null)],
};

Deno.test("what packets cost is a table of both drivers with their ratios, and what became of the goal", () => {
  const text = formatPacketBench(RESULT);
  assertStringIncludes(
    text,
    "|     1 | 10.0 (9.0–11.0) | 30.0 (29.0–31.0) | 3.00 (2.00–4.00) |     40.0 |         80.0 |  2.00 |",
  );
  assertStringIncludes(text, "| 1.50 (0.50–2.50) |        – |            – |     – |  0.500 |  3 in 2.0 M |");
  assertStringIncludes(text, "|   100 | 200 |   300 | 40000 |");
  assertStringIncludes(text, "receive at 32: 1.50 times C, within the goal of 1.5");
  assertEquals(text.includes("receive at 1:"), false);
  assertStringIncludes(
    formatPacketBench({ ...RESULT, points: [point(32, 1.51, 40)] }),
    "receive at 32: 1.51 times C, above the goal of 1.5",
  );
  assertStringIncludes(plotPacketBench(RESULT), "receive, ring3");
});

Deno.test("both drivers move packets over the null card, and it tells what they took", async () => {
  const rounds: string[] = [];
  const result = await benchPacket({
    batches: [1, 32],
    rounds: 1,
    warm: 20,
    packets: 4000,
    counts: 1,
    progress: (line) => rounds.push(line),
  });
  assertEquals(rounds, ["round 1 of 1, counting instructions"]);
  assertEquals(
    result.points.map(({ path, batch }) => `${path} ${batch}`),
    PATHS.flatMap((path) => [1, 32].map((batch) => `${path} ${batch}`)),
  );
  for (const { path, batch, c, ring3, packets, ratio } of result.points) {
    const what = `${path} of ${batch}`;
    assert(packets >= 400 && packets % batch === 0, what);
    assertEquals(ratio.median, ring3.cost.median / c.cost.median, what);
    for (const { cost, mean, p50, p99, p999, max, instructions } of [c, ring3]) {
      assert(cost.median > 0 && cost.median <= mean.median, what);
      assert(p50.median <= p99.median && p99.median <= p999.median && p999.median <= max.median, what);
      assert(instructions !== null && instructions > 10, what);
    }
    assert(c.instructions! < ring3.instructions!, `${what}: TypeScript is not less than C`);
  }
  // A counted instruction is one: C takes the same in each run, and the more the more packets.
  const [first, second] = result.points.map(({ c, batch }) => c.instructions! * batch);
  assert(first < second, `${first} for a packet, ${second} for 32`);
});

Deno.test("what the card cannot do ends the benchmark", async () => {
  await assertRejects(
    () =>
      benchPacket({
        paths: ["receive"],
        batches: [257],
        rounds: 1,
        warm: 1,
        packets: 257,
        counts: 0,
        progress: () => {},
      }),
    UserError,
    "The driver in C ended with status 70 at: receive 257",
  );
});
