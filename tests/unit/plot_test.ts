/** Charts: where values come to lie, and that what is drawn is sound SVG. */
import { assert, assertAlmostEquals, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Chart, drawChart, empirical } from "../../src/plot/mod.ts";
import { COLORS } from "../../src/plot/chart.ts";
import { extent, linear, logarithmic } from "../../src/plot/scale.ts";

Deno.test("a linear axis is marked at round values that hold its domain", () => {
  for (
    const [domain, ticks] of [
      [[0, 100], [0, 20, 40, 60, 80, 100]],
      [[0.1, 0.3], [0.1, 0.15, 0.2, 0.25, 0.3]],
      [[-3, 7], [-4, -2, 0, 2, 4, 6, 8]],
      [[5, 5], [5, 6]],
      [[0, 0], [0, 0.2]],
    ] as const
  ) {
    const scale = linear(domain);
    assertAlmostEquals(scale.at(scale.ticks[0]), 0);
    assertAlmostEquals(scale.at(scale.ticks.at(-1)!), 1);
    assert(scale.ticks[0] <= domain[0] && scale.ticks.at(-1)! >= domain[1], `${domain}: ${scale.ticks}`);
    if (domain[0] !== domain[1]) assertEquals([...scale.ticks], [...ticks]);
  }
});

Deno.test("a logarithmic axis gives equal room to equal ratios", () => {
  const scale = logarithmic([30, 2100]);
  assertEquals([...scale.ticks], [20, 50, 100, 200, 500, 1000, 2000, 5000]);
  assertAlmostEquals(scale.at(20), 0);
  assertAlmostEquals(scale.at(5000), 1);
  assertAlmostEquals(scale.at(1000) - scale.at(100), scale.at(2000) - scale.at(200));
  assertEquals([...logarithmic([1e-3, 1e6]).ticks], [-3, -2, -1, 0, 1, 2, 3, 4, 5, 6].map((n) => 10 ** n));
  assertEquals([...logarithmic([1783, 3931]).ticks], [1500, 2000, 3000, 4000], "a short axis has more marks");
  assertEquals([...logarithmic([7, 7]).ticks], [7, 10]);
  assertEquals([...logarithmic([10, 10]).ticks], [10, 15]);
  assertThrows(() => logarithmic([0, 10]), RangeError, "Cannot draw 0 on a logarithmic axis");
});

Deno.test("an extent of nothing is still an axis", () => {
  assertEquals(extent([]), [0, 1]);
  assertEquals(extent([3, -1, 2]), [-1, 3]);
});

Deno.test("an empirical distribution ends at all, and counts equal values once", () => {
  assertEquals(empirical([3, 1, 3, 2]), [[1, 0], [1, 25], [2, 50], [3, 100]]);
  assertEquals(empirical([]), []);
});

const CHART: Chart = {
  title: 'A <title> & "more"',
  x: { label: "time, ms", scale: "log" },
  y: { label: "share", domain: [0, 100], format: (value) => `${value} %` },
  series: [
    { name: "first", points: [[10, 0], [10, 50], [100, 100]], draw: "step" },
    { name: "second", points: [[20, 0], [200, 100]] },
  ],
  marks: [{ x: 10, label: "median", series: 0 }, { x: 200, label: "the other median", series: 1 }],
};

/** Elements of a document, checked to be closed in order. */
function elements(svg: string): string[] {
  const open: string[] = [];
  const names: string[] = [];
  for (const [, close, name, empty] of svg.matchAll(/<(\/?)([a-z]+)[^>]*?(\/?)>/g)) {
    if (close) assertEquals(open.pop(), name);
    else {
      names.push(name);
      if (!empty) open.push(name);
    }
  }
  assertEquals(open, []);
  return names;
}

Deno.test("a chart is sound SVG with a line for each series, in both shades", () => {
  const svg = drawChart(CHART);
  const names = elements(svg);
  assertEquals(names.filter((name) => name === "path").length, 2);
  assertStringIncludes(svg, ">A &lt;title&gt; &amp; &quot;more&quot;</text>");
  assertStringIncludes(svg, "prefers-color-scheme:dark");
  for (const text of ["time, ms", "share", "first", "second", "median", "100 %", "50"]) {
    assertStringIncludes(svg, `>${text}</text>`);
  }
  assert(!/NaN|undefined|Infinity/.test(svg), svg);
});

Deno.test("steps go across and then up, lines straight, all within the plot", () => {
  const [steps, line] = [...drawChart(CHART).matchAll(/<path class="series s\d" d="([^"]+)"/g)].map((m) =>
    m[1]
  );
  // 10 is where the axis begins, at the left; 0 % is at the bottom.
  assertEquals(steps.slice(0, 13), "M72 380H72V23");
  assert(/^M[\d.]+ [\d.]+(H[\d.]+V[\d.]+)+$/.test(steps), steps);
  assert(/^M[\d.]+ [\d.]+L[\d.]+ [\d.]+$/.test(line), line);
  for (const number of (steps + line).match(/[\d.]+/g)!.map(Number)) assert(number >= 72 && number <= 736);
});

Deno.test("a label near the right edge is written to the left of its mark", () => {
  const [left, right] = [...drawChart(CHART).matchAll(/class="(small[^"]*)"/g)].map((m) => m[1]);
  assertEquals([left, right], ["small", "small end"]);
});

Deno.test("more series than colours are refused", () => {
  const series = Array.from({ length: COLORS.length + 1 }, () => CHART.series[0]);
  assertThrows(
    () => drawChart({ ...CHART, series }),
    RangeError,
    "Cannot draw 5 series: there are 4 colours",
  );
});
