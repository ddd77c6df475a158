import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import {
  formatScaleBench,
  type Machine,
  parseUsed,
  plotScaleBench,
  type Point,
  type Processes,
  type ScaleBench,
  type Side,
} from "../../bench/scale.ts";
import { linkThatIsUp } from "../../bench/links.ts";
import { COMPARISON, one } from "./figures.ts";

Deno.test("a link is up when it has a carrier", () => {
  const line = (flags: string) =>
    `7: r3n0: <${flags}> mtu 1500 qdisc fq_codel state X group default \\    link/ether`;
  assertEquals(linkThatIsUp(line("BROADCAST,MULTICAST,UP,LOWER_UP")), "r3n0");
  assertEquals(linkThatIsUp(line("NO-CARRIER,BROADCAST,MULTICAST,UP")), undefined);
  assertEquals(linkThatIsUp(line("BROADCAST,MULTICAST")), undefined);
  assertEquals(linkThatIsUp(`Deleted ${line("BROADCAST,LOWER_UP")}`), undefined);
  assertEquals(linkThatIsUp("9: veth0@if8: <BROADCAST,UP,LOWER_UP> mtu 1500"), "veth0");
  assertEquals(linkThatIsUp(""), undefined);
});

Deno.test("memory in use is what is not available", () => {
  assertEquals(parseUsed("MemTotal:        4096000 kB\nMemFree:  1 kB\nMemAvailable:    3072000 kB\n"), 1000);
  assertThrows(() => parseUsed("MemTotal: 1 kB\n"), Error, "no MemAvailable");
});

const processes = (driver: number): Processes => ({
  driver: one(driver),
  spare: one(33),
  supervisor: one(70),
});
const side = (rate: number, used: number): Side => ({
  idle: one(0.01),
  used: one(used),
  echo: { offered: one(16_000), rate: one(rate), least: one(0.9), busy: one(2) },
});
const point = (cards: number, kernel: number, ring3: number): Point => ({
  cards,
  kernel: side(kernel, 200),
  ring3: {
    ...side(ring3, 200 + 150 * cards),
    up: { each: one(4 * cards), last: one(5 * cards) },
    memory: { fresh: processes(30 + cards), worked: processes(40 + cards) },
  },
  ratio: { min: 1, median: ring3 / kernel, max: 2 },
});
const machine = (processors: number, points: Point[], problems: string[]): Machine => ({
  ...COMPARISON,
  ok: problems.length === 0,
  problems,
  processors,
  rounds: 3,
  points,
});
const RESULT: ScaleBench = {
  bench: "scale",
  ok: false,
  memory: 4096,
  size: 1024,
  machines: [
    machine(1, [point(1, 4000, 5000), point(8, 3000, 3300)], []),
    machine(4, [point(1, 8000, 9000), point(8, 9000, 9900)], ["ring3's driver ended"]),
  ],
};

Deno.test("the figures are two tables for each machine, with the memory against its goal", () => {
  const text = formatScaleBench(RESULT);
  assertStringIncludes(
    text,
    "Private memory of an idle driver: 34.5 (30.0–39.0) MiB, within the goal of 40; after a load 44.5 (40.0–49.0).",
  );
  assertStringIncludes(text, "Linux 6.1 (tcg, 1 processor, IOMMU on) with 4096 MiB: medians of 3 rounds");
  assert(/\| +8 \| +32\.0 \(31\.0–33\.0\) \| +40\.0 \(39\.0–41\.0\) \| 3000 \(2999–3001\)/.test(text), text);
  assertStringIncludes(text, "1.10 (1.00–2.00)");
  assert(/\| +200 \| +1400 \| +150 \|/.test(text), text);
  assert(text.endsWith("\nring3's driver ended"));
  const above = structuredClone(RESULT);
  for (const { points } of above.machines) {
    for (const { ring3 } of points) ring3.memory.fresh.driver = one(50);
  }
  assertStringIncludes(formatScaleBench(above), "above the goal of 40");
});

Deno.test("the chart has a line for each machine", () => {
  const svg = plotScaleBench(RESULT);
  assertStringIncludes(svg, "1 processor<");
  assertStringIncludes(svg, "4 processors<");
  assertStringIncludes(svg, "100 %");
});
