/** The fuzzer in its lab: the machine it attacks, who watches it, and whether all is well afterwards. */
import { z } from "zod";
import { buildFuzz } from "../build.ts";
import { UserError } from "../error.ts";
import { CHECKOUT, MANAGEMENT } from "../lab/guest.ts";
import { complaintsOf, type Lab, memoryLeaks } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { grouped } from "../size.ts";
import { DriverRun } from "../soak/driver_run.ts";
import { giveToModule, leftInModule, sh, unloadModule } from "../soak/lab.ts";
import { failedIn, formatLabResult, type LabResult, labResult, lastFindings } from "../soak/result.ts";
import { DEVICE, layFarEnd, OURS, PEER, WIRE } from "../soak/wire.ts";
import type { Finding } from "../verdict.ts";
import { within } from "../within.ts";

/** The attacking program, in the guest. */
const PROGRAM = `${CHECKOUT}/build/fuzz/ring3-fuzz`;

/** The IDE controller of a lab that has one. */
const IDE = "0000:00:1c.0";

/** Longest time without a word from the program or a driver: on a kernel with every check built in, milliseconds. */
const SILENCE_MS = 240_000;

/** What the program tells: see `src/fuzz/root.c`. */
const lineSchema = z.union([
  z.object({
    round: z.number(),
    claims: z.number(),
    seconds: z.number(),
    done: z.boolean(),
    ends: z.record(z.string(), z.number()),
    calls: z.record(z.string(), z.tuple([z.number(), z.number()])),
  }),
  z.object({ finding: z.string() }),
]);

/** How far the program is. */
export type FuzzState = Exclude<z.infer<typeof lineSchema>, { finding: string }>;

/** How to fuzz. */
export interface FuzzOptions extends LabOptions {
  /** How long to attack. */
  seconds: number;
  /** 32 bits. */
  seed: number;
}

/** What came of it. */
export interface FuzzResult extends LabResult {
  seed: number;
  /** Grants given to hostile processes, claims they were made from, why they ended, and calls by kind: how many succeeded and failed. */
  rounds: number;
  claims: number;
  ends: Record<string, number>;
  calls: Record<string, [succeeded: number, failed: number]>;
  /** Accesses of the device outside its memory that the IOMMU stopped, as far as the kernel told of them. */
  stopped: number;
  /** Pings of another card meanwhile: sent and answered. */
  bystander: { sent: number; answered: number };
}

/**
 * Boots a lab of two cards on one wire and an IDE controller, attacks the module through the first card, as an
 * interface and as a disk, and through the controller, and sees whether the machine, another card and an honest
 * driver of the first one are well afterwards.
 * @throws {UserError} if the lab does not come up.
 */
export async function fuzz(options: FuzzOptions): Promise<FuzzResult> {
  const { progress, seed } = options;
  const start = performance.now();
  await buildFuzz();
  await using lab = await startLab({
    ...options,
    hardware: { ...options.hardware, ...WIRE, disk: ["ide"], iommu: true },
  });
  progress(`attacking for ${options.seconds} s, seed ${seed}`);
  await prepareGuest(lab);
  const problems: string[] = [];
  const flood = lab.spawn(["ip", "netns", "exec", "peer", PROGRAM, "flood", "eth1"], {
    stdout: "null",
    stderr: "null",
  });
  const bystander = watchBystander(lab);
  // If the lab ends before that is looked at, more will be found wrong.
  bystander.catch(() => {});
  let state: FuzzState | undefined;
  try {
    for await (const line of attack(lab, options)) {
      if ("finding" in line) {
        problems.push(line.finding);
        continue;
      }
      state = line;
      progress(progressLine(line));
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    problems.push(error.message);
  }
  if (!state?.done) problems.push(`attack: it broke off after ${state?.seconds ?? 0} s`);
  const answered = { sent: 0, answered: 0 };
  // Each look is had, whatever the ones before it have found.
  const look = async (what: string, find: () => Promise<string[]>) => {
    const message = `${what}: no answer within ${SILENCE_MS / 1000} s`;
    try {
      problems.push(...await within(find(), SILENCE_MS, { message }));
    } catch (error) {
      problems.push(`${what}: ${error instanceof Error ? error.message : error}`);
    }
  };
  await look("bystander", async () => {
    // What is on its way is answered once nobody attacks any more.
    await sh(lab, "pkill -x ring3-fuzz; sleep 5; pkill -INT -x ping");
    await flood.status;
    return bystanderProblems(Object.assign(answered, await bystander));
  });
  progress("an honest driver takes the card");
  await look("driver", () => driveHonestly(lab));
  await look("module", async () => [...await leftInModule(lab), ...await unloadModule(lab)]);
  await look("kernel", () => leaks(lab));
  const { complaints, stopped } = complaintsOf(lab.kernelProblems());
  problems.push(...complaints);
  return {
    ...labResult(lab, { problems, start }),
    seed,
    rounds: state?.round ?? 0,
    claims: state?.claims ?? 0,
    ends: state?.ends ?? {},
    calls: state?.calls ?? {},
    stopped,
    bystander: answered,
  };
}

/** Loads the module, gives it the first card and the controller, and puts the second card at the other end of the wire. */
async function prepareGuest(lab: Lab): Promise<void> {
  await giveToModule(lab, [DEVICE, IDE]);
  await layFarEnd(lab);
}

/** Runs the program, and gives its lines. @throws {UserError} if it is silent for too long, or fails without a finding. */
async function* attack(lab: Lab, { seconds, seed }: FuzzOptions): AsyncGenerator<z.infer<typeof lineSchema>> {
  const child = lab.spawn([PROGRAM, "run", DEVICE, `${seed}`, `${seconds}`, IDE], {
    stdout: "piped",
    stderr: "piped",
  });
  const said = new Response(child.stderr).text();
  const told = lines(child.stdout);
  let findings = 0;
  for (;;) {
    const { value, done } = await within(told.next(), SILENCE_MS, {
      message: `attack: no word of it for ${SILENCE_MS / 1000} s`,
    });
    if (done) break;
    const line = lineSchema.parse(JSON.parse(value));
    if ("finding" in line) findings++;
    yield line;
  }
  const { code } = await child.status;
  if (code !== 0 && findings === 0) {
    throw new UserError(`attack: it ended with status ${code}: ${(await said).trim()}`);
  }
}

/** Pings over another card until it is interrupted: how many were sent and answered. */
async function watchBystander(lab: Lab): Promise<{ sent: number; answered: number }> {
  const { stdout } = await lab.exec(["ping", "-q", "-i", "0.2", "-W", "5", MANAGEMENT.host]);
  const [, sent, answered] = /(\d+) packets transmitted, (\d+) received/.exec(stdout) ?? [];
  return { sent: Number(sent ?? 0), answered: Number(answered ?? 0) };
}

/** The last one may still be on its way. */
function bystanderProblems({ sent, answered }: { sent: number; answered: number }): string[] {
  if (sent > 0 && answered >= sent - 1) return [];
  return [`bystander: of ${sent} pings over another card ${answered} were answered`];
}

/** Starts the driver of the card's users, and pings through it. */
async function driveHonestly(lab: Lab): Promise<string[]> {
  await lab.freeWires();
  const run = DriverRun.start(lab, ["e1000", "--device", DEVICE, "--no-dhcp"]);
  await using _ = run;
  await run.next("interface", { ms: SILENCE_MS });
  await sh(lab, `ip address add ${OURS}/24 dev r3n0`);
  await run.status(({ link }) => link.up, { what: "link of the honest driver" });
  // A card drops frames for a second after it was enabled, and addresses are asked for no longer than that.
  await sh(lab, `for i in $(seq 20); do ping -q -c 1 -W 1 ${PEER} > /dev/null && break; done`);
  await sh(lab, `ping -q -i 0.02 -s 1400 -c 100 -w 60 ${PEER}`);
  const { code, stderr } = await run.stop();
  return code === 0 ? [] : [`driver: its run ended with status ${code}: ${stderr.trim()}`];
}

/** What a kernel that looks for leaks has found: a line for each, or nothing. */
async function leaks(lab: Lab): Promise<string[]> {
  return (await memoryLeaks(lab) ?? []).map((leak) => `kernel: ${leak.split("\n")[0]}`);
}

function sum(counts: Iterable<number>): number {
  let all = 0;
  for (const count of counts) all += count;
  return all;
}

/** `12 s: 31 grants, 120,000 calls`. */
function progressLine({ seconds, round, calls }: FuzzState): string {
  const made = sum(Object.values(calls).map(([succeeded, failed]) => succeeded + failed));
  return `${seconds.toFixed(0)} s: ${round} grants, ${grouped(made)} calls`;
}

/** The result as a table. */
export function formatFuzz(result: FuzzResult): string {
  const { problems, ends, calls, bystander } = result;
  const failed = failedIn(problems);
  const rows = Object.entries(calls).map(([kind, [succeeded, failures]]): Finding => ({
    name: kind.replaceAll("_", " "),
    found: `${grouped(succeeded)} succeeded, ${grouped(failures)} failed`,
  }));
  const because = Object.entries(ends).filter(([, count]) => count > 0)
    .map(([end, count]) => `${count} ${end}`).join(", ");
  const findings: Finding[] = [
    ...rows,
    { name: "grants ended", found: because || "none" },
    {
      name: "rounds",
      found: `${result.rounds} grants of ${result.claims} claims, nothing left of any`,
      ok: result.rounds > 0 && !failed("round") && !failed("attack"),
    },
    { name: "IOMMU", found: `${grouped(result.stopped)} accesses stopped that the kernel told of` },
    {
      name: "bystander",
      found: `${bystander.answered} of ${bystander.sent} pings over another card answered`,
      ok: !failed("bystander"),
    },
    {
      name: "driver",
      found: failed("driver:") ? "an honest one does not carry traffic" : "an honest one carries traffic",
      ok: !failed("driver:"),
    },
    ...lastFindings(problems),
  ];
  return formatLabResult(result, { title: `Fuzz with seed ${result.seed}`, findings });
}
