/** Faults that are injected into a driver that runs, for the life of one process, under pings. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { reportDirectory } from "../../src/run/state.ts";
import { sh } from "../../src/soak/lab.ts";
import type { Driver, Report } from "../../src/supervisor/schema.ts";
import { up } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const HOST = "10.3.0.2";
const REPORTS = reportDirectory();

/** A version with a fault in the lab, made with sed; its folder. */
async function faulty(lab: Lab, name: string, sed: string): Promise<string> {
  const folder = `/tmp/${name}/drivers/e1000`;
  await sh(
    lab,
    `mkdir -p ${folder}; cp /ring3/drivers/e1000/* ${folder}; sed -i '${sed}' ${folder}/driver.ts`,
  );
  return folder;
}

/** `ring3 inject`: its exit status, and what it said. */
async function inject(
  lab: Lab,
  folder: string,
  args: readonly string[],
): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await lab.exec(["ring3", "inject", "e1000", folder, ...args]);
  return { code, said: stdout + stderr };
}

Deno.test("a fault is injected only where that is allowed, and for the life of one process", async (t) => {
  await using lab = await boot({}, { progress: silent });
  const harmless = await faulty(lab, "harmless", "1i // a fault that never shows");

  await t.step("without --allow-faults it is refused", async () => {
    await using run = await up(lab);
    const { pid } = await run.next("starting");
    assertEquals(await inject(lab, harmless, ["--label", "none"]), {
      code: 1,
      said: "ring3: No fault may be injected into e1000: its supervisor was started without --allow-faults\n",
    });
    assertEquals(run.last("starting")!.pid, pid);
    assertEquals(await run.stop(), { code: 0, stderr: "" });
  });

  await using run = await up(lab, ["e1000", "--allow-faults"]);
  const client = await run.client();
  const { version: before } = await run.next("starting");
  await run.next("spare", { where: ({ state }) => state === "ready" });
  const pings = lab.spawn(["ping", "-q", "-i", "0.1", HOST], { stdout: "piped", stderr: "null" });
  const answered = new Response(pings.stdout).text();

  await t.step("one that throws under pings ends its process, and the version before is back", async () => {
    const label = "throws at the 20th poll";
    const throwing =
      's/^function poll.*/let polls = 0;\\n&\\n  if (++polls > 20) throw new Error("no more");/';
    const folder = await faulty(lab, "throwing", throwing);
    await sh(lab, `grep -q "no more" ${folder}/driver.ts`);
    const { code, said } = await inject(lab, folder, ["--label", label]);
    assertEquals(code, 0, said);
    const { version, id } = await run.next("fault");
    assertEquals(said, `e1000: version ${version} runs for one life (${label}), then ${before} again\n`);
    const left = run.events.findLast((event) => event.id < id && event.type === "ended");
    assert(left?.type === "ended" && left.reason.kind === "upgrade" && left.reason.fault === undefined);

    const { reason, next, delay, report, ...ended } = await run.next("ended", { after: id });
    assertEquals([reason.kind, reason.fault, next, delay], ["exception", label, "restart", 0]);
    assertEquals(reason.text, `injected fault (${label}): Error: no more`);
    assertMatch(reason.stack ?? "", /\/tmp\/throwing\/drivers\/e1000\/driver\.ts:/);
    const starting = await run.next("starting", { after: ended.id });
    assertEquals([starting.version, starting.spare], [before, true]);
    const recovered = await run.next("recovered", { after: ended.id });
    assertEquals(recovered.frame, true);
    const now = await run.status(
      (driver) => driver.state === "running" && driver.pid === starting.pid,
      { what: "the version before to run" },
    );
    assertEquals([now.fault, now.version.id, now.restarts.used], [null, before, 1]);
    assertEquals(now.reason, reason);
    assert(now.warnings.some((line) => line.includes("--allow-faults")), now.warnings.join("\n"));
    // It is written behind the recovery.
    await sh(
      lab,
      `for i in $(seq 50); do test -e ${REPORTS}/${report}.json && exit; sleep 0.1; done; exit 1`,
    );
    const kept = await client.get<Report>(`reports/${report}`);
    assertEquals([kept.reason, kept.version, kept.pid], [reason, version, ended.pid]);
  });

  await t.step("while one runs the next is made ready, and has its turn when that one is over", async () => {
    const after = run.lastId;
    const another = await faulty(lab, "another", "1i // another fault that never shows");
    const { code, said } = await inject(lab, harmless, ["--label", "harmless", "--for", "30s"]);
    assertEquals(code, 0, said);
    const { version, id } = await run.next("fault", { after });
    const now = await run.status((driver) => driver.fault !== null, { what: "the fault in the status" });
    assertEquals([now.fault, now.version.id], [{ label: "harmless", version }, before]);
    const refused = async (asked: Promise<unknown>, says: string) => {
      const { message } = await assertRejects(() => asked, UserError);
      assertStringIncludes(message, says);
    };
    await refused(
      client.act("e1000", "upgrade", {}),
      "e1000 runs with an injected fault (harmless): wait for its end, or restart e1000",
    );

    const next = inject(lab, another, ["--label", "another", "--for", "1s"]);
    // What runs, what is to run again, and what is made ready.
    const caches = "ls -d /run/ring3/supervisors/*/versions/e1000/*.cache | wc -l";
    await sh(lab, `for i in $(seq 200); do test $(${caches}) = 3 && exit; sleep 0.1; done; exit 1`);
    const third = client.act("e1000", "faults", { label: "third" });
    await refused(third, "Another version of e1000 is being tried: wait for that");
    const { fault } = await client.get<Driver>("drivers/e1000");
    assertEquals(fault, { label: "harmless", version });

    const ended = await run.next("ended", { after: id });
    assertEquals([ended.reason.kind, ended.reason.text], [
      "operator",
      "injected fault (harmless): its time of 30 s has passed",
    ]);
    const starting = await run.next("starting", { after: ended.id });
    assertEquals([starting.version, starting.spare], [before, true]);
    const spare = await run.next("spare", { after: starting.id, where: ({ state }) => state === "ready" });
    const begun = await run.next("fault", { after: starting.id });
    assertEquals([begun.state, begun.label, begun.id > spare.id], ["injected", "another", true]);
    const given = run.events.findLast((event) => event.id < begun.id && event.type === "starting");
    assert(given?.type === "starting" && given.version === begun.version && given.spare);
    assertEquals(await next, {
      code: 0,
      said: `e1000: version ${begun.version} runs for one life (another), then ${before} again\n`,
    });

    const last = await run.next("ended", { after: begun.id });
    assertEquals(last.reason.text, "injected fault (another): its time of 1 s has passed");
    assertEquals((await run.next("starting", { after: last.id })).version, before);
  });

  await t.step("a restart ends it, and so does not count", async () => {
    const { id } = await run.next("spare", { after: run.lastId, where: ({ state }) => state === "ready" });
    const { code, said } = await inject(lab, harmless, ["--label", "harmless"]);
    assertEquals(code, 0, said);
    const begun = await run.next("fault", { after: id });
    await run.next("ready", { after: begun.id });
    await client.act("e1000", "restart");
    const { restarts, version, fault } = await client.get<Driver>("drivers/e1000");
    assertEquals([restarts.used, version.id, fault], [1, before, null]);
    const { reason } = await run.next("ended", { after: begun.id });
    assertEquals(reason.text, "injected fault (harmless): restarted on request");
  });

  await t.step("pings went on", async () => {
    await sh(lab, `ping -q -c 3 -W 5 ${HOST}`);
    await sh(lab, "pkill -INT ping");
    await pings.status;
    const counts = /(\d+) packets transmitted, (\d+) (?:packets )?received/.exec(await answered);
    const [sent, received] = counts?.slice(1).map(Number) ?? [0, 0];
    // Several processes took over from one another: what was lost on the way is little.
    assert(received > 0.8 * sent && sent > 100, `${received} of ${sent}`);
  });

  assertEquals(await run.stop(), { code: 0, stderr: "" });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
