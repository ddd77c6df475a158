/** Drivers that die: at any moment, and with nothing left behind. */
import { assert, assertEquals } from "@std/assert";
import { boot } from "../../src/lab/mod.ts";
import { DriverRun } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const KILLS = 50;

/** A reproducible sequence of numbers in [0, 1): Park and Miller's generator. */
function random(seed: number): () => number {
  return () => (seed = seed * 48271 % 0x7fffffff) / 0x7fffffff;
}

Deno.test("a driver killed at random moments under load is replaced, and nothing leaks", async () => {
  await using lab = await boot({}, { progress: silent });
  const run = await DriverRun.up(lab);
  await using _ = run;
  // Frames in flight both ways at every death.
  const load = lab.spawn(["ping", "-f", "-q", "-s", "1400", "10.3.0.2"], { stdout: "null", stderr: "null" });
  const next = random(20261121);
  let from = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { at, detail } = await run.driverEvent("starting", { from });
    // From before it has its grant to some time after it carries traffic.
    await new Promise((resolve) => setTimeout(resolve, next() * 4000));
    await lab.exec(["kill", "-KILL", `${detail.pid}`]);
    const { detail: ended } = await run.driverEvent("ended", { from: at });
    assertEquals(ended.reason.kind, "signal");
    assert(ended.restarting, `given up after ${kill + 1} kills`);
    from = at + 1;
  }
  const { at } = await run.driverEvent("starting", { from });
  await run.driverEvent("ready", { from: at });
  const { code } = await lab.exec(["ping", "-c", "3", "-W", "5", "10.3.0.2"]);
  assertEquals(code, 0, "the last driver carries traffic");
  await lab.exec(["pkill", "ping"]);
  await load.status;
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
