import { assert, assertEquals } from "@std/assert";
import { type Next, type PolicyEnd, RestartBudget } from "../../src/supervisor/policy.ts";

const POLICY = {
  on: "crash",
  budget: 5,
  window: 1_800_000,
  quiet: 600_000,
  backoff: { from: 100, to: 1000 },
  fallback: "none",
} as const;

const CRASH: PolicyEnd = {
  reason: { kind: "signal", text: "killed by SIGKILL" },
  status: null,
  wasReady: true,
  first: false,
  now: 0,
  since: 0,
};

/** Ends of the same kind, each so long after the one before. */
function decide(budget: RestartBudget, gaps: number[], end: Partial<PolicyEnd> = {}): Next[] {
  let now = 0;
  return gaps.map((gap) => {
    const since = now;
    now += gap;
    return budget.decide({ ...CRASH, ...end, now, since });
  });
}

const restart = (delay: number): Next => ({ next: "restart", delay });
/** In the middle of the jitter: no change. */
const even = () => 0.5;

Deno.test("the first restart is at once, the next wait twice as long each, up to a cap; then it is given up", () => {
  const budget = new RestartBudget({ ...POLICY, budget: 7 }, even);
  assertEquals(decide(budget, Array(8).fill(10)), [
    ...[0, 100, 200, 400, 800, 1000, 1000].map(restart),
    { next: "give-up", why: "restarted 7 times within 30 min" },
  ]);
});

Deno.test("waits vary by a quarter either way", () => {
  for (const [random, delay] of [[0, 75], [0.999999, 125]]) {
    const [, second] = decide(new RestartBudget(POLICY, () => random), [1, 1]);
    assertEquals(second.next === "restart" && Math.round(second.delay), delay);
  }
});

Deno.test("restarts older than the window do not count", () => {
  const budget = new RestartBudget({ ...POLICY, quiet: 24 * 3_600_000 }, even);
  const ends = decide(budget, Array(20).fill(POLICY.window / 4));
  assert(ends.every(({ next }) => next === "restart"));
  assertEquals(budget.used(20 * POLICY.window / 4), 4);
});

Deno.test("a quiet time gives a full budget and no back-off", () => {
  const budget = new RestartBudget(POLICY, even);
  assertEquals(decide(budget, [1, 1, 1, POLICY.quiet, 1]), [0, 100, 200, 0, 100].map(restart));
  assertEquals(budget.used(POLICY.quiet + 4), 2);
});

Deno.test("a start by hand gives a full budget", () => {
  const budget = new RestartBudget({ ...POLICY, budget: 1 }, even);
  assertEquals(decide(budget, [1, 1]).map(({ next }) => next), ["restart", "give-up"]);
  budget.reset();
  assertEquals(decide(budget, [1])[0], restart(0));
});

Deno.test("a budget of none gives up at once; one without limit never does", () => {
  assertEquals(decide(new RestartBudget({ ...POLICY, budget: 0 }), [1]), [
    { next: "give-up", why: "its manifest allows no restart" },
  ]);
  const ends = decide(new RestartBudget({ ...POLICY, budget: Infinity }, even), Array(10_000).fill(1));
  assertEquals(ends.at(-1), restart(1000));
});

Deno.test("what the policy says of an exit, by its status", () => {
  const exit = (status: number): Partial<PolicyEnd> => ({
    reason: { kind: "exit", text: `exited with status ${status}` },
    status,
  });
  const of = (on: "never" | "crash" | "always", status: number) =>
    decide(new RestartBudget({ ...POLICY, on }, even), [1], exit(status))[0].next;
  assertEquals(of("crash", 0), "stop");
  assertEquals(of("crash", 1), "restart");
  assertEquals(of("always", 0), "restart");
  assertEquals(of("never", 0), "stop");
  assertEquals(of("never", 1), "give-up");
});

Deno.test("a device that reached outside its memory counts as a crash does", () => {
  const fault: Partial<PolicyEnd> = { reason: { kind: "dma-fault", text: "the device tried to read 0x0" } };
  const ends = decide(new RestartBudget({ ...POLICY, on: "crash", budget: 2 }, even), [1, 1, 1], fault);
  assertEquals(ends.map(({ next }) => next), ["restart", "restart", "give-up"]);
});

Deno.test("a lost device, and an exception at the very first start, are no matter for restarts", () => {
  const budget = new RestartBudget(POLICY, even);
  const lost: Partial<PolicyEnd> = { reason: { kind: "device-lost", text: "the device was removed" } };
  assertEquals(decide(budget, [1], lost), [{ next: "give-up", why: "" }]);
  const thrown: Partial<PolicyEnd> = { reason: { kind: "exception", text: "Error: x" }, wasReady: false };
  assertEquals(decide(budget, [1], { ...thrown, first: true }), [{
    next: "give-up",
    why: "at its first start",
  }]);
  assertEquals(decide(budget, [1], { ...thrown, first: true, wasReady: true }), [restart(0)]);
  assertEquals(decide(new RestartBudget(POLICY, even), [1], thrown), [restart(0)]);
});

Deno.test("whether a restart comes at once is known before the reason, and asking counts nothing", () => {
  const budget = new RestartBudget(POLICY, even);
  const asked = (gap: number) => budget.allowsAtOnce({ now: gap, since: 0 });
  assert(asked(1) && asked(1), "the first");
  decide(budget, [1]);
  assertEquals([asked(2), asked(POLICY.quiet + 1)], [false, true], "a back-off, and its end by a quiet time");
  assertEquals(decide(budget, [1]), [restart(100)]);
  const spent = new RestartBudget({ ...POLICY, budget: 1, backoff: { from: 0, to: 0 } }, even);
  decide(spent, [1]);
  assertEquals([spent.allowsAtOnce({ now: 2, since: 1 }), spent.used(2)], [false, 1]);
  for (const policy of [{ on: "never" as const }, { budget: 0 }]) {
    assert(!new RestartBudget({ ...POLICY, ...policy }, even).allowsAtOnce({ now: POLICY.quiet, since: 0 }));
  }
});
