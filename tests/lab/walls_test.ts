/** Every wall, with hostile drivers: the table of `deno task walls`, a step for each attempt. */
import { assertEquals } from "@std/assert";
import { DEFAULT_HARDWARE } from "../../src/lab/mod.ts";
import { ATTEMPTS, type Row, tryWalls } from "../../src/walls/lab.ts";
import { silent } from "./health.ts";

Deno.test("the walls stand, and nobody else notices", async (t) => {
  const rows = new Map<string, Row>();
  const result = await tryWalls({
    hardware: DEFAULT_HARDWARE,
    yes: false,
    progress: silent,
    signal: new AbortController().signal,
    only: [],
    // What a device reaches without an IOMMU is dma_test.ts's to show.
    confinedOnly: true,
    onRow: (row) => rows.set(row.name, row),
  });
  for (const { name } of ATTEMPTS) {
    await t.step(name, () => assertEquals(rows.get(name)?.problems, []));
  }
  await t.step("nobody is disturbed, and nothing is left", () => {
    const { problems, escapes, bystander } = result;
    assertEquals({ problems, escapes, lost: bystander.lost }, { problems: [], escapes: 0, lost: 0 });
  });
});
