/** What the fuzzer makes of what it is told. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { formatFuzz, type FuzzResult } from "../../src/fuzz/lab.ts";
import { complaintsOf } from "../../src/lab/mod.ts";
import { LAB_RESULT } from "./figures.ts";

const STOPPED = "[   12.5] DMAR: [DMA Write NO_PASID] Request device [01:00.0] fault addr 0x1000 " +
  "[fault reason 0x05] PTE Write access is not set";
const WARNING = "[   13.0] WARNING: CPU: 0 PID: 99 at net/core/dev.c:1 f+0x1/0x2 [ring3]";

Deno.test("accesses that the IOMMU stopped are counted, everything else is a complaint", () => {
  assertEquals(complaintsOf([STOPPED, `${WARNING}\n[   13.0] CPU: 0 PID: 99`, STOPPED]), {
    complaints: [`kernel: ${WARNING}`],
    stopped: 2,
  });
});

const RESULT: FuzzResult = {
  ...LAB_RESULT,
  seed: 4711,
  rounds: 30,
  claims: 4,
  ends: { released: 10, revoked: 0, protocol: 20 },
  calls: { DMA_MAP: [1200, 34] },
  stopped: 5,
  bystander: { sent: 100, answered: 100 },
};

Deno.test("the summary names the seed, each kind of call, and why grants ended", () => {
  const text = formatFuzz(RESULT);
  assertStringIncludes(text, "Fuzz with seed 4711 on Linux 6.1 (tcg): all of it held, in 60 s");
  assertStringIncludes(text, "DMA MAP       1,200 succeeded, 34 failed");
  assertStringIncludes(text, "grants ended  10 released, 20 protocol");
  assertEquals(text.includes("FAILED"), false);
});

Deno.test("what did not hold is marked where it belongs, and listed", () => {
  const problems = ["round 3: left: live 1", `kernel: ${WARNING}`, "module: 1 grants left"];
  const text = formatFuzz({ ...RESULT, ok: false, problems });
  assertStringIncludes(text, "3 did not hold");
  for (const name of ["rounds", "kernel", "module"]) {
    assertEquals(new RegExp(`^  ${name} .*FAILED$`, "m").test(text), true, name);
  }
  assertEquals(/^ {2}bystander .*ok$/m.test(text), true);
  assertStringIncludes(text, "  round 3: left: live 1");
});
