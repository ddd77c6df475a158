/** The walls in a lab: each attempt is made, and somebody else's traffic is looked after meanwhile. */
import { buildWalls } from "../build.ts";
import { startOutside } from "../check/outside.ts";
import { CHECKOUT } from "../lab/guest.ts";
import { type Lab, nicNetwork } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { MACHINE_VARIABLE } from "../machine.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { DriverRun } from "../soak/driver_run.ts";
import { kernelComplaints, leftInModule, unloadModule } from "../soak/lab.ts";
import type { Attempt, AttemptResult, Stopped, WallName } from "./attempt.ts";
import type { Account } from "./bystander.ts";
import { NATIVE_ATTEMPTS } from "./native_attempts.ts";

/** The card to attack, and the one of somebody else. */
const ATTACKED = "0000:01:00.0";
const OTHER = "0000:02:00.0";
const OTHER_CARD = 1;

const DENO = ["deno", "run", "-A", "--quiet", "--no-check", "--cached-only"];

/** A line of the table. */
export interface Row {
  name: string;
  what: string;
  how: "native";
  stops: Stopped[];
  /** What did not hold, a line each. */
  problems: string[];
}

/** What the walls have stood. */
export interface WallsResult {
  ok: boolean;
  rows: Row[];
  /** What did not hold beside the attempts, a line each. */
  problems: string[];
  /** Attempts that no wall has stopped, or of which something was left. */
  escapes: number;
  bystander: Account;
  kernel: string;
  accelerator: string;
  seconds: number;
}

/** How to try the walls. */
export interface WallsOptions extends LabOptions {
  /** Names of the attempts to be made; all of them if there is none. */
  only: readonly string[];
  /** Called when an attempt is done. */
  onRow: (row: Row) => void;
}

/** Programs in a lab that answer a line with a line. */
class Partner implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #said: AsyncGenerator<string>;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;

  constructor(lab: Lab, argv: string[]) {
    this.#child = lab.spawn(argv, { stdin: "piped", stdout: "piped", stderr: "inherit" });
    this.#said = lines(this.#child.stdout);
    this.#input = this.#child.stdin.getWriter();
  }

  /** @throws {Error} if it has ended. */
  async ask<T>(line: string): Promise<T> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    const { value, done } = await this.#said.next();
    if (done) throw new Error(`A part of the attempts in the lab ended before it answered "${line}"`);
    return JSON.parse(value) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
  }
}

/** Names of all attempts. */
export const ATTEMPTS: readonly Attempt[] = NATIVE_ATTEMPTS;

/**
 * Boots a lab and makes the attempts in it.
 * @throws {UserError} if the lab or the driver of the bystander does not come up.
 */
export async function tryWalls(options: WallsOptions): Promise<WallsResult> {
  const { only, onRow, progress } = options;
  const start = performance.now();
  await buildWalls();
  await using lab = await startLab({
    ...options,
    hardware: {
      ...options.hardware,
      nic: ["e1000", "82540em"],
      memory: Math.max(options.hardware.memory, 4096),
    },
  });
  progress("starting the driver of a bystander");
  const { host } = nicNetwork(OTHER_CARD);
  await using outside = await startOutside();
  await using run = DriverRun.start(lab, ["e1000", "--device", OTHER]);
  await run.next("address");
  const { interface: name } = await run.next("interface");
  const bystander = new Partner(lab, [...DENO, "src/walls/bystander.ts", host, `${outside.udp}`]);
  const native = new Partner(lab, [
    "env",
    `${MACHINE_VARIABLE}=/run/ring3-walls`,
    `${CHECKOUT}/src/supervisor/start.sh`,
    ...[...DENO, "src/walls/inside.ts", ATTACKED, OTHER, name, host],
  ]);

  const rows: Row[] = [];
  const total: Account = { sent: 0, answered: 0, corrupt: 0, lost: 0, gap: 0 };
  // What came up with the drivers was nobody's attempt.
  await bystander.ask("account");
  for (const attempt of ATTEMPTS) {
    if (only.length > 0 && !only.includes(attempt.name)) continue;
    const complaints = kernelComplaints(lab).length;
    const { stops, problems } = await native.ask<AttemptResult>(attempt.name);
    const account = await bystander.ask<Account>("account");
    const row: Row = {
      name: attempt.name,
      what: attempt.what,
      how: "native",
      stops,
      problems: [
        ...problems,
        ...stops.filter(({ held }) => !held).map(({ wall, outcome }) => `${wall}: ${outcome}`),
        ...accountProblems(account),
        ...kernelComplaints(lab).slice(complaints),
      ],
    };
    total.sent += account.sent;
    total.answered += account.answered;
    total.corrupt += account.corrupt;
    total.lost += account.lost;
    total.gap = Math.max(total.gap, account.gap);
    rows.push(row);
    onRow(row);
  }
  await bystander[Symbol.asyncDispose]();
  await native[Symbol.asyncDispose]();
  const problems = run.events.filter(({ type }) => type === "ended").map((event) =>
    `bystander: its driver ended: ${JSON.stringify(event)}`
  );
  const { code, stderr } = await run.stop();
  if (code !== 0) problems.push(`bystander: its run ended with status ${code}: ${stderr.trim()}`);
  problems.push(...await leftInModule(lab), ...await unloadModule(lab));
  return {
    ok: problems.length === 0 && rows.every((row) => row.problems.length === 0),
    rows,
    problems,
    escapes: rows.filter(({ stops }) => stops.length === 0 || stops.some(({ held }) => !held)).length,
    bystander: total,
    kernel: lab.kernel.release,
    accelerator: lab.accelerator,
    seconds: (performance.now() - start) / 1000,
  };
}

/** What a bystander has suffered, a line each. */
function accountProblems({ sent, answered, corrupt, lost }: Account): string[] {
  if (sent > 0 && answered === sent && corrupt === 0) return [];
  return [
    `bystander: of ${sent} datagrams ${answered} came back, ${lost} were lost, ${corrupt} were changed`,
  ];
}

/** The walls behind the first, or that there is none. */
export function behind(stops: readonly { wall: WallName }[]): string {
  return stops.slice(1).map(({ wall }) => wall).join(", ") || "none";
}
