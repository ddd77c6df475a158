/** The gate: runs every step, tells which did not hold, and has the steps it must. */
import { assertEquals, assertMatch } from "@std/assert";
import { runGate, STEPS } from "../gate.ts";

Deno.test("every step is run, and each failure is told", async () => {
  const printed: string[] = [];
  const results = await runGate([
    { name: "bad", run: () => Promise.resolve("line one\nline two\n") },
    { name: "broken", run: () => Promise.reject(new Error("no such thing")) },
    { name: "good", run: () => Promise.resolve(undefined) },
  ], { print: (line) => printed.push(line) });
  assertEquals(results.map(({ name, failure }) => [name, failure === undefined]), [
    ["bad", false],
    ["broken", false],
    ["good", true],
  ]);
  assertMatch(
    printed.join("\n"),
    /^FAILED bad \([\d.]+ s\)\n {7}line one\n {7}line two\nFAILED broken .*\n {7}Error: no such thing\n(.*\n)*ok {5}good \([\d.]+ s\)$/,
  );
});

Deno.test("the gate has its steps", () => {
  const names = STEPS.map(({ name }) => name);
  for (const name of ["fmt", "lint", "types", "manifest schema", "campaign schema", "module", "unit tests"]) {
    assertEquals(names.includes(name), true, name);
  }
});
