/** Drivers that die: at any moment, and with nothing left behind. */
import { assertEquals } from "@std/assert";
import { boot } from "../../src/lab/mod.ts";
import { up } from "./driver_run.ts";
import { writeManifest } from "../../src/soak/manifest.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const KILLS = 50;

/** A reproducible sequence of numbers in [0, 1): Park and Miller's generator. */
function random(seed: number): () => number {
  return () => (seed = seed * 48271 % 0x7fffffff) / 0x7fffffff;
}

Deno.test("a driver killed at random moments under load is replaced, and nothing leaks", async () => {
  await using lab = await boot({}, { progress: silent });
  const run = await up(lab, [await writeManifest(lab, "e1000", { spare: true, stall: 1000 })]);
  await using _ = run;
  // Frames in flight both ways at every death.
  const load = lab.spawn(["ping", "-f", "-q", "-s", "1400", "10.3.0.2"], { stdout: "null", stderr: "null" });
  const next = random(20261121);
  let after = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const { id, pid } = await run.next("starting", { after });
    // From before it has its grant to some time after it carries traffic.
    await new Promise((resolve) => setTimeout(resolve, next() * 4000));
    await lab.exec(["kill", "-KILL", `${pid}`]);
    const { reason, next: then } = await run.next("ended", { after: id });
    assertEquals([reason.kind, then], ["signal", "restart"], `after ${kill + 1} kills`);
    after = id;
  }
  const { id } = await run.next("starting", { after });
  await run.next("ready", { after: id });
  const { code } = await lab.exec(["ping", "-c", "3", "-W", "5", "10.3.0.2"]);
  assertEquals(code, 0, "the last driver carries traffic");
  await lab.exec(["pkill", "ping"]);
  await load.status;
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
