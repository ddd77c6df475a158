/** What a campaign injects follows from its seed and the number, by the weights, within the range. */
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { choose, parseCampaign } from "../../src/faults/mod.ts";

const CAMPAIGN = {
  driver: "e1000",
  workload: "udp",
  faults: [
    { weight: 6, fault: { model: "code.throw" } },
    { weight: 3, fault: { model: "process.kill" } },
    { fault: { model: "code.removed" } },
  ],
  when: { after: [100, 199], of: "ms" },
};

/** The first injections of a campaign. */
function first(count: number, campaign: object = {}, seed = 1) {
  const parsed = parseCampaign({ ...CAMPAIGN, ...campaign });
  return Array.from({ length: count }, (_, number) => choose(parsed, { seed, number }));
}

Deno.test("an injection follows from seed and number, whatever came before", () => {
  assertEquals(first(50), first(50));
  assertEquals(choose(parseCampaign(CAMPAIGN), { seed: 1, number: 31 }), first(50)[31]);
  assertNotEquals(first(50), first(50, {}, 2));
});

Deno.test("models come by their weights, their times from all of the range", () => {
  const all = first(5000).map(({ faults }) => faults);
  assert(all.every(({ length }) => length === 1));
  const share = (model: string) => all.filter(([fault]) => fault.model === model).length / all.length;
  for (
    const [model, expected] of [["code.throw", 0.6], ["process.kill", 0.3], ["code.removed", 0.1]] as const
  ) {
    assert(Math.abs(share(model) - expected) < 0.03, `${model}: ${share(model)}`);
  }
  const times = new Set<number>();
  for (const [fault] of all) {
    if (fault.model === "code.removed") assertEquals(fault, { model: "code.removed" });
    else if ("when" in fault) times.add(fault.when!.after);
  }
  assertEquals([Math.min(...times), Math.max(...times), times.size], [100, 199, 100]);
  assertEquals(new Set(first(5000).map(({ seed }) => seed)).size, 5000, "each has a seed of its own");
});

Deno.test("a fault that says when keeps it, and one from outside is never made to count", () => {
  const own = { model: "code.throw", when: { after: 7, of: "polls", since: "start" } };
  for (const { faults: [fault] } of first(20, { faults: [{ fault: own }] })) assertEquals(fault, own);
  const frames = { after: [1, 2], of: "frames" };
  for (const { faults: [fault] } of first(50, { when: frames })) {
    if (fault.model === "process.kill") assertEquals(fault, { model: "process.kill" });
  }
});

Deno.test("two at once are two different ones, where there are two", () => {
  for (const { faults: [one, other], together } of first(100, { together: { two: 1 } })) {
    assertEquals(together, "two");
    assertNotEquals(one.model, other.model);
  }
  const [{ faults }] = first(1, { together: { two: 1 }, faults: [{ fault: { model: "code.throw" } }] });
  assertEquals(faults.map(({ model }) => model), ["code.throw", "code.throw"]);
});

Deno.test("five at once are in the driver and all different, where there are five", () => {
  const models = ["code.throw", "code.loop", "code.block", "code.leak", "code.heap", "process.kill"];
  const faults = models.map((model) => ({ fault: { model } }));
  for (const { faults: five, together } of first(50, { together: { five: 1 }, faults })) {
    assertEquals(together, "five");
    assertEquals(
      five.map(({ model }) => model).sort(),
      models.filter((name) => name !== "process.kill").sort(),
    );
  }
  for (const { faults: five } of first(20, { together: { five: 1 }, faults: faults.slice(4) })) {
    assertEquals(five.map(({ model }) => model), Array(5).fill("code.heap"));
  }
  assertThrows(
    () => first(1, { together: { five: 1 }, faults: [{ fault: { model: "process.kill" } }] }),
    UserError,
    "together.five: no fault in the driver",
  );
});

Deno.test("ten at once are in the driver, each another for as long as there is one", () => {
  const models = ["code.throw", "code.loop", "code.block", "code.leak", "code.heap", "process.kill"];
  const inDriver = models.slice(0, 5);
  const faults = models.map((model) => ({ fault: { model } }));
  for (const { faults: ten } of first(20, { together: { ten: 1 }, faults })) {
    assertEquals(ten.length, 10);
    assertEquals(ten.slice(0, 5).map(({ model }) => model).sort(), inDriver.toSorted());
    assertEquals(ten.filter(({ model }) => !inDriver.includes(model)), []);
  }
  assertThrows(
    () => first(1, { together: { ten: 1 }, faults: [{ fault: { model: "process.kill" } }] }),
    UserError,
    "together.ten: no fault in the driver",
  );
});

Deno.test("what comes during a recovery comes from outside, and there must be such a fault", () => {
  for (const { faults: [, other] } of first(100, { together: { recovery: 1 } })) {
    assertEquals(other.model, "process.kill");
  }
  assertThrows(
    () => first(1, { together: { recovery: 1 }, faults: [{ fault: { model: "code.throw" } }] }),
    UserError,
    "together.recovery: no fault from outside",
  );
});

Deno.test("one, two and a second one during recovery come by their weights", () => {
  const all = first(3000, { together: { one: 8, two: 1, recovery: 1 } });
  const share = (name: string) => all.filter(({ together }) => together === name).length / all.length;
  for (const [name, expected] of [["one", 0.8], ["two", 0.1], ["recovery", 0.1]] as const) {
    assert(Math.abs(share(name) - expected) < 0.03, `${name}: ${share(name)}`);
  }
});
