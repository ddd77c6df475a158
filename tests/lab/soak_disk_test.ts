/** The soaks of a disk, much shortened: what they watch for must not be there, and they must have done something. */
import { assert, assertEquals } from "@std/assert";
import { DEFAULT_HARDWARE } from "../../src/lab/mod.ts";
import { soakFio } from "../../src/soak/fio.ts";
import { soakSqlite } from "../../src/soak/sqlite.ts";
import { silent } from "./health.ts";

const OPTIONS = {
  hardware: DEFAULT_HARDWARE,
  yes: true,
  progress: silent,
  signal: new AbortController().signal,
  disk: "nvme" as const,
};

Deno.test("everything fio writes to an NVMe disk is there, however often its driver ends", async () => {
  const { problems, parts, faults } = await soakFio({ ...OPTIONS, time: 9000 });
  assertEquals(problems, []);
  assertEquals(parts.map(({ policy, depth }) => `${policy} ${depth}`), [
    "reissue 1",
    "reissue 8",
    "reissue 32",
    "fail 32",
    "hold 32",
  ]);
  for (const { policy, depth, writes, faults, errors } of parts) {
    assert(writes > 0 && faults > 0, `${policy}, depth ${depth}: ${writes} writes, ${faults} ends`);
    assertEquals([errors.verify, errors.io > 0], [0, policy === "fail"], `${policy}, depth ${depth}`);
  }
  assertEquals(faults.map(({ how }) => how).sort(), ["exception", "kill", "stall"]);
});

Deno.test("what SQLite has committed to an NVMe disk is there after a cut", async () => {
  const { problems, looks, recoveries } = await soakSqlite({ ...OPTIONS, kills: 5, cuts: 1, seed: 7 });
  assertEquals(problems, []);
  assertEquals(looks.length, 1);
  const [{ kills, loss, acknowledged }] = looks;
  assertEquals(kills, 5);
  assert(acknowledged.wal > 0 && acknowledged.rollback > 0);
  // Both kinds of commit flush.
  assert(!loss || loss.flushes > 0, JSON.stringify(loss));
  assert(recoveries.length > 0);
});
