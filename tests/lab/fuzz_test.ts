/** The fuzzer for half a minute: `deno task fuzz` runs it for as long as one likes. */
import { assert, assertEquals } from "@std/assert";
import { formatFuzz, fuzz } from "../../src/fuzz/lab.ts";
import { DEFAULT_HARDWARE } from "../../src/lab/mod.ts";
import { silent } from "./health.ts";

Deno.test("hostile native processes find nothing in the module", async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  console.log(`seed ${seed}`);
  const result = await fuzz({
    hardware: DEFAULT_HARDWARE,
    yes: true,
    progress: silent,
    signal: new AbortController().signal,
    seconds: 30,
    seed,
  });
  assert(result.ok, formatFuzz(result));
  assert(result.rounds >= 5, formatFuzz(result));
  // Kinds in capitals are calls of the contract.
  const idle = Object.entries(result.calls)
    .filter(([kind, [succeeded]]) => /^[A-Z_]+$/.test(kind) && succeeded === 0);
  assertEquals(idle, [], "calls that never succeeded");
});
