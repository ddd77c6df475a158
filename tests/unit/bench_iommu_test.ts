/** The benchmark of IOMMUs: what it makes of the figures of each boot. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { formatIommuBench, type IommuBench, type Mode, MODES, plotIommuBench } from "../../bench/iommu.ts";
import type { Side } from "../../bench/loads.ts";
import { COMPARISON, same, sideAt } from "./figures.ts";

/** A driver to which `rate` datagrams a second came back, each for so many microseconds of a processor. */
function side(rate: number, cost: number): Side {
  return { ...sideAt(rate), rate: same(rate), cost: same(cost) };
}

function mode(mode: Mode, [kernel, ring3]: [number, number]): IommuBench["modes"][number] {
  const machine = { ...COMPARISON, ok: true, problems: [], ...MODES[mode], rounds: 2 };
  const disk = (mib: number) => ({ throughput: same(mib * 2 ** 20), cpu: same(1), cost: same(0.0005) });
  return {
    mode,
    udp: {
      ...machine,
      bench: "udp",
      size: 1024,
      idle: { kernel: same(0), ring3: same(0) },
      points: [
        { offered: 8000, sides: { kernel: side(kernel, 100), ring3: side(ring3, 80) } },
        { offered: 32_000, sides: { kernel: side(kernel / 2, 200), ring3: side(ring3 / 4, 150) } },
      ],
    },
    disk: {
      ...machine,
      bench: "disk",
      disk: "ide",
      points: [{ sectors: 8, kernel: disk(8), ring3: disk(9) }],
      random: [],
    },
  };
}

const RESULT: IommuBench = {
  bench: "iommu",
  ok: false,
  problems: ["strict, disk: ring3's driver ended"],
  rounds: 2,
  modes: [mode("off", [8000, 7900]), mode("lazy", [5000, 6500]), mode("strict", [3000, 6000])],
};

Deno.test("each mode's peaks are held against its goal, and its figures are rows", () => {
  const text = formatIommuBench(RESULT);
  assertStringIncludes(text, "off: ring3's peak is 99 % of the kernel's, below the goal of 100 %.");
  assertStringIncludes(text, "lazy: ring3's peak is 130 % of the kernel's, within the goal of 130 %.");
  assertStringIncludes(text, "strict: ring3's peak is 200 % of the kernel's");
  assertStringIncludes(
    text,
    "| strict |      8000 |   3000 |  6000 |  2.00 |         100.0 |         80.0 |  0.80 |",
  );
  assertStringIncludes(
    text,
    "|    off |       8 |    8.0 |   9.0 |  1.13 |         500.0 |        500.0 |  1.00 |",
  );
  assertStringIncludes(text, "medians of 2 rounds in one boot for each");
  assert(text.endsWith("\nstrict, disk: ring3's driver ended"));
});

Deno.test("the chart has both drivers without an IOMMU and with the strictest", () => {
  const svg = plotIommuBench(RESULT);
  for (const name of ["the kernel's driver, off", "ring3's driver, strict"]) assertStringIncludes(svg, name);
  assertEquals(svg.includes("lazy"), false);
});
