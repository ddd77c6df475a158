/** Faults that are injected one after the other: the next is made ready while one runs. */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { FleetError } from "../../src/supervisor/contract.ts";
import { type Supervised, supervised } from "../fakes/supervised.ts";

/** A driver that runs with a fault, "first", and its spare, if it has one, ready. */
async function faulty(options: { spare: boolean }): Promise<Supervised> {
  const run = await supervised(options);
  await run.supervisor.start();
  if (options.spare) await run.next("spare ready");
  await run.supervisor.upgrade(await run.version("one", "first"));
  await run.next("fault injected first");
  await run.next("ready");
  return run;
}

/** What was asked for is refused: the kind, and the words. */
async function refusal(asked: Promise<void>): Promise<[FleetError["kind"], string]> {
  const { kind, message } = await assertRejects(() => asked, FleetError) as FleetError;
  return [kind, message];
}

async function isAlive(pid: number): Promise<boolean> {
  return await Deno.stat(`/proc/${pid}`).then(() => true, () => false);
}

for (const spare of [true, false]) {
  Deno.test(`a second fault is made ready while the first runs, with${spare ? "" : "out"} a spare`, async () => {
    await using run = await faulty({ spare });
    const { supervisor, told } = run;
    const begun = told.length;
    const second = supervisor.upgrade(await run.version("two", "second"));
    const pid = await run.process("two");
    assertEquals(supervisor.view.fault, { label: "first", version: "one" });
    assert(await isAlive(pid));
    supervisor.kill("kill");
    await second;
    assertEquals(supervisor.view.pid, pid);
    assertEquals(told.slice(begun), [
      "ended signal",
      `starting plain${spare ? ", which waited" : ""}`,
      "ready",
      "recovered",
      ...(spare ? ["spare starting", "spare ready"] : []),
      "ended upgrade",
      "starting two, which waited",
      "fault injected second",
    ]);
    assertEquals(supervisor.view.version.id, "plain");
  });
}

Deno.test("a fault that is taken away is followed by the next that waits, with no other process between", async () => {
  await using run = await faulty({ spare: true });
  const { supervisor, told } = run;
  await run.next("recovered");
  const begun = told.length;
  const second = supervisor.upgrade(await run.version("two", "second"));
  const pid = await run.process("two");
  supervisor.withdraw();
  await second;
  await run.next("ready");
  await run.next("recovered");
  assertEquals([supervisor.view.pid, supervisor.view.fault?.label], [pid, "second"]);
  assertEquals(told.slice(begun), [
    "ended upgrade",
    "starting two, which waited",
    "fault injected second",
    "ready",
    "recovered",
  ]);
  // Its own end is found as any other's.
  supervisor.kill("kill");
  await run.next("starting plain, which waited");
  assertEquals(supervisor.view.restarts.total, 1);
});

Deno.test("a fault that is taken away, with none that waits, is followed by the version before", async () => {
  await using run = await faulty({ spare: true });
  run.supervisor.withdraw();
  await run.next("ended operator");
  await run.next("starting plain, which waited");
  await run.next("ready");
  assertThrows(() => run.supervisor.withdraw(), FleetError, "e1000 runs without an injected fault");
});

Deno.test("a fault that is taken away for one that comes to nothing is followed by the version before", async () => {
  await using run = await faulty({ spare: true });
  const second = run.supervisor.upgrade(await run.version("slow", "second"));
  const answer = refusal(second);
  const pid = await run.process("slow");
  run.supervisor.withdraw();
  Deno.kill(pid);
  assertEquals((await answer)[0], "failed");
  await run.next("ended operator");
  await run.next("starting plain, which waited");
});

Deno.test("a fault that is asked for in a recovery waits for its end", async () => {
  await using run = await faulty({ spare: true });
  run.supervisor.kill("kill");
  await run.next("ended signal");
  await run.supervisor.upgrade(await run.version("two", "second"));
  await run.next("recovered");
  await run.next("spare ready");
  await run.next("fault injected second");
});

Deno.test("while a fault runs, no version may replace it that has none", async () => {
  await using run = await faulty({ spare: true });
  const message = "e1000 runs with an injected fault (first): wait for its end, or restart e1000";
  assertThrows(() => run.supervisor.needReplaceable({}), FleetError, message);
  assertEquals(await refusal(run.supervisor.upgrade(await run.version("two"))), ["conflict", message]);
});

Deno.test("a fault whose turn does not come is refused as if nobody could wait", async () => {
  await using run = await faulty({ spare: true });
  const second = run.supervisor.upgrade(await run.version("two", "second"), { turn: 100 });
  const message = "e1000 runs with an injected fault (first): wait for its end, or restart e1000";
  assertEquals(await refusal(second), ["conflict", message]);
  await run.next(`fault refused second: ${message}`);
  assertEquals(await isAlive(await run.process("two")), false);
  assertEquals(run.supervisor.view.fault?.label, "first");
});

Deno.test("a fault whose process ends before its turn is refused", async () => {
  await using run = await faulty({ spare: true });
  const second = run.supervisor.upgrade(await run.version("two", "second"));
  Deno.kill(await run.process("two"));
  assertEquals(await refusal(second), [
    "failed",
    "Cannot inject a fault into e1000: the new version does not start: killed by SIGTERM",
  ]);
});

for (const [id, when] of [["two", "waits for its turn"], ["slow", "does not wait yet"]]) {
  Deno.test(`a stop ends a process with a fault that ${when}`, async () => {
    await using run = await faulty({ spare: true });
    const second = run.supervisor.upgrade(await run.version(id, "second"));
    const answer = refusal(second);
    const pid = await run.process(id);
    await run.supervisor.stop();
    assertEquals(await answer, ["failed", "Cannot inject a fault into e1000: e1000 is stopped by now"]);
    assertEquals(await isAlive(pid), false);
    assertThrows(
      () => run.supervisor.needReplaceable({ fault: { label: "third" } }),
      FleetError,
      "e1000 is stopped, not running",
    );
  });
}
