/** The workloads of campaigns, through drivers without a fault: each does something, and sees nothing. */
import { assert, assertEquals } from "@std/assert";
import { buildFaults } from "../../src/build.ts";
import { startWorkload, together, type Word, type Workload } from "../../src/faults/workloads/mod.ts";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { pause } from "../../src/pause.ts";
import { diskOfRun } from "../../src/soak/disk.ts";
import { DriverRun } from "../../src/soak/driver_run.ts";
import { writeManifest } from "../../src/soak/manifest.ts";
import { DEVICE, keepQuiet, layWire, WIRE } from "../../src/soak/wire.ts";
import { ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

/** How long each is looked at, milliseconds. */
const LOOK_MS = 6000;

/** Longest time from one word to the next that is let pass on a busy host, milliseconds. */
const LONGEST_MS = 5000;

type Name = Parameters<typeof startWorkload>[1];

/** What it sees until it is stopped. */
async function look(workload: Workload): Promise<Word[]> {
  const words: Word[] = [];
  const reading = async () => {
    for await (const word of workload.words) words.push(word);
  };
  await Promise.all([reading(), pause(LOOK_MS).then(() => workload.stop())]);
  return words;
}

async function assertUndisturbed(lab: Lab, name: Name): Promise<void> {
  const workload = await startWorkload(lab, name);
  await using _ = workload;
  const words = await look(workload);
  // One end may have come before the other: the first word is of that too.
  const { done, failed, wrong, text } = words.slice(1).reduce(together);
  assertEquals([failed, wrong, text], [0, 0, undefined], name);
  assert(done > 0, `${name} has done nothing`);
  const pauses = words.slice(1).map(({ at }, i) => at - words[i].at);
  assert(Math.max(...pauses) < LONGEST_MS, `${name}: words came ${pauses.join(", ")} ms apart`);
}

Deno.test("workloads on the network see nothing of a driver without a fault", async (t) => {
  await buildFaults();
  await using lab = await boot(WIRE, { progress: silent });
  await keepQuiet(lab);
  await using run = await ready(lab, ["e1000", "--device", DEVICE]);
  await layWire(lab);
  for (const name of ["udp", "tcp", "http"] as const) {
    await t.step(name, async () => await assertUndisturbed(lab, name));
  }
  await t.step("one after the other starts where another was", async () => {
    await assertUndisturbed(lab, "tcp");
  });
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});

Deno.test("workloads on a disk see nothing of a driver without a fault", async (t) => {
  await using lab = await boot({ nic: [], disk: ["nvme"] }, { progress: silent });
  const policy = { spare: true, stall: 1000, port: { onDeath: "reissue" as const } };
  await using run = DriverRun.start(lab, [await writeManifest(lab, "nvme", policy)]);
  assertEquals(await diskOfRun(run), "r3b0");
  for (const name of ["fio", "sqlite", "fio"] as const) {
    await t.step(name, async () => await assertUndisturbed(lab, name));
  }
  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
