import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { formatForwardBench, type ForwardBench, FORWARDERS, plotForwardBench } from "../../bench/forward.ts";
import { loadedOf, type Turn, wrongAnswers } from "../../bench/loads.ts";
import { COMPARISON, one, sideAt } from "./figures.ts";

const point = (offered: number, [kernel, testpmd, ring3]: readonly [number, number, number]) => ({
  offered,
  sides: {
    kernel: sideAt(kernel),
    testpmd: sideAt(testpmd),
    ring3: sideAt(ring3, { waits: one(1.25), wakeups: one(0.25) }),
  },
});

const RESULT: ForwardBench = {
  bench: "forward",
  ...COMPARISON,
  problems: ["testpmd ended with status 1: EAL"],
  rounds: 3,
  size: 64,
  dpdk: "22.11",
  idle: { kernel: one(0.01), testpmd: one(1.01), ring3: one(0.02) },
  points: [point(1000, [1000, 1000, 1000]), point(40_000, [9000, 30_000, 27_000])],
};

Deno.test("the figures are tables of all three, with ring3's beside those of the others", () => {
  const text = formatForwardBench(RESULT);
  assertStringIncludes(text, "Frames of 64 bytes sent back on Linux 6.1 (tcg, 2 processors, IOMMU on)");
  assertStringIncludes(text, "medians of 3 rounds in one boot; DPDK 22.11");
  assertStringIncludes(
    text,
    "ring3's peak is 90 % of testpmd's; at least 80 % is the goal, at 64 bytes: met.",
  );
  assertStringIncludes(
    text,
    "Peak: kernel 9000/s at 40000/s offered, testpmd 30000/s at 40000/s offered, ring3 27000/s at 40000/s offered " +
      "(300 % of kernel, 90 % of testpmd).",
  );
  assertStringIncludes(text, "Processors busy without load: kernel 0.010, testpmd 1.010, ring3 0.020.");
  assertStringIncludes(text, "| 27000 (26999–27001) |         3.00 |          0.90 |");
  assertStringIncludes(text, "| ring3 switches | WAITs | slept |");
  assert(text.endsWith("\ntestpmd ended with status 1: EAL"));
  const svg = plotForwardBench(RESULT);
  for (const owner of Object.values(FORWARDERS)) assertStringIncludes(svg, owner);
});

Deno.test("a goal that is not met is told of as that", () => {
  const result = { ...RESULT, points: [point(1000, [1000, 1000, 790])] };
  assertStringIncludes(
    formatForwardBench(result),
    "79 % of testpmd's; at least 80 % is the goal, at 64 bytes: not met.",
  );
});

const turn = (busy: number, loads: readonly { returned: number; echoed: number; wrong: number }[]): Turn => ({
  idle: { busy, interrupts: 0, receives: 0, switches: 0 },
  measured: loads.map((load) => ({
    load: {
      offered: 200,
      missed: 20,
      seconds: 2,
      gap_us: 1,
      p50_us: 1,
      p99_us: 2,
      p999_us: 3,
      max_us: 4,
      ...load,
    },
    activity: { busy: 0.5, interrupts: 50, receives: 25, switches: 10 },
    totals: null,
  })),
});

Deno.test("turns come to figures load by load, and what was wrong is told of once", () => {
  const turns = {
    testpmd: [
      turn(1, [{ returned: 100, echoed: 150, wrong: 0 }, { returned: 0, echoed: 0, wrong: 2 }]),
      turn(1.5, [{ returned: 200, echoed: 180, wrong: 1 }, { returned: 50, echoed: 100, wrong: 0 }]),
    ],
    ring3: [turn(0, [{ returned: 10, echoed: 20, wrong: 0 }, { returned: 10, echoed: 200, wrong: 0 }])],
  };
  const { idle, points } = loadedOf(turns, [100, 1000]);
  assertEquals(idle, { testpmd: { min: 1, median: 1.25, max: 1.5 }, ring3: { min: 0, median: 0, max: 0 } });
  assertEquals(points.map(({ offered }) => offered), [100, 1000]);
  const [{ sides: { testpmd } }, last] = points;
  assertEquals(testpmd.offered.median, 100);
  assertEquals(testpmd.rate, { min: 50, median: 75, max: 100 });
  assertEquals([testpmd.loss.min, testpmd.loss.max, testpmd.missed.median], [1 - 180 / 200, 0.25, 0.1]);
  // Half a processor for 2 s, by frames that came back in them.
  assertEquals([testpmd.cost.min, testpmd.cost.max], [5000, 10_000]);
  assertEquals([testpmd.interrupts.max, testpmd.receives.max, testpmd.switches.max], [0.5, 0.25, 0.1]);
  assertEquals([last.sides.ring3.loss.median, last.sides.ring3.waits], [0, null]);
  const wording = { owners: { testpmd: "testpmd", ring3: "ring3" }, unit: "frame" };
  assertEquals(wrongAnswers(turns, wording), ["testpmd: 3 frames came back that were not as sent"]);
});
