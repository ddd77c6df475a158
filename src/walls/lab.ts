/** The walls in a lab: each attempt is made, and somebody else's traffic is looked after meanwhile. */
import { relative } from "node:path";
import { buildWalls } from "../build.ts";
import { startOutside } from "../check/outside.ts";
import { checkout } from "../lab/checkout.ts";
import { CHECKOUT } from "../lab/guest.ts";
import { type Lab, nicNetwork } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { MACHINE_VARIABLE } from "../machine.ts";
import { UserError } from "../error.ts";
import { within } from "../within.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { DriverRun } from "../soak/driver_run.ts";
import { kernelComplaints, leftInModule, unloadModule } from "../soak/lab.ts";
import { type LabResult, labResult } from "../soak/result.ts";
import type { AttemptResult, Stopped, WallName } from "./attempt.ts";
import type { Account } from "./bystander.ts";
import { type DmaAttempt, overwriteSecret, prepareDma, readSecret } from "./dma_attempts.ts";
import { behindLanguage, FATAL_ATTEMPTS, tryFatal, tryLanguage } from "./driver_attempts.ts";
import { GRANT_ATTEMPTS } from "./grant_attempts.ts";
import { LANGUAGE_ATTEMPTS } from "./language_attempts.ts";
import { NATIVE_ATTEMPTS, wallsOf } from "./native_attempts.ts";

/** The card to attack, the one of somebody else, and at the end of the first one's wire a third. */
const NIC = ["e1000", "82540em", "e1000e"] as const;
const ONE_WIRE = [0, 2];
const ATTACKED = "0000:01:00.0";
const OTHER = "0000:02:00.0";
const THIRD = "0000:03:00.0";
const OTHER_CARD = 1;

/** Memory of the lab, MiB: enough for a bomb that no cgroup stops. */
const MEMORY = 4096;

const DENO = ["deno", "run", "-A", "--quiet", "--no-check", "--cached-only"];

/** Longest time without an answer: of an attempt that takes all the time that it may against each wall; ms. */
const SILENCE_MS = 180_000;

/** How the kernel tells that a program has done what no user's may: no complaint about itself. */
const DIED = /traps: attempt\[/;
/** How it tells of what an IOMMU has stopped. */
const FAULTED = /DMAR: \[DMA (Read|Write)/;

/** By what an attempt is made: native code in place of Deno, a manifest, a driver in TypeScript, or the device. */
export type How = "native" | "manifest" | "driver" | "device";

/** A line of the table. */
export interface Row {
  name: string;
  what: string;
  how: How;
  /** The wall that stopped it, and those behind that one which did so when it was switched off. */
  stops: Stopped[];
  /** Walls that are behind those, as another attempt shows, which gains the same or more. */
  behind: WallName[];
  /** What did not hold, a line each. */
  problems: string[];
}

/** What the walls have stood. */
export interface WallsResult extends LabResult {
  rows: Row[];
  /** What did not hold beside the attempts, a line each. */
  problems: string[];
  /** Attempts that no wall has stopped, or of which something was left. */
  escapes: number;
  bystander: Account;
}

/** How to try the walls. */
export interface WallsOptions extends LabOptions {
  /** Names of the attempts to be made; all of them if there is none. */
  only: readonly string[];
  /** Leave out the lab without an IOMMU, in which the device reaches what it is told to. */
  confinedOnly: boolean;
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

  /** @throws {UserError} if it has ended, or nothing comes. */
  async ask<T>(line: string): Promise<T> {
    await this.#input.write(new TextEncoder().encode(`${line}\n`));
    const { value, done } = await within(this.#said.next(), SILENCE_MS, {
      message: `The lab has not answered "${line}" for ${SILENCE_MS / 1000} s`,
    });
    if (done) throw new UserError(`A program in the lab ended before it answered "${line}"`);
    return JSON.parse(value) as T;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#child.status;
  }
}

/** An attempt on the device's side. */
interface DeviceAttempt {
  name: string;
  what: string;
  make(lab: Lab, options: { iommu: "required" | "preferred" }): Promise<DmaAttempt>;
}

const DEVICE_ATTEMPTS: readonly DeviceAttempt[] = [
  { name: "have the device read another process's page", what: "its secret", make: readSecret },
  { name: "have the device overwrite another process's page", what: "its memory", make: overwriteSecret },
];

/** What is known of an attempt before it is made. */
export interface Listed {
  name: string;
  what: string;
  how: How;
  behind: WallName[];
}

function listed(attempts: readonly { name: string; what: string; as?: string }[], how: How): Listed[] {
  return attempts.map(({ name, what, as }) => ({
    name,
    what,
    how,
    behind: as === undefined ? [] : wallsOf(as),
  }));
}

/** All attempts, in the order in which they are made. */
export const ATTEMPTS: readonly Listed[] = [
  ...listed(NATIVE_ATTEMPTS, "native"),
  ...listed(GRANT_ATTEMPTS, "manifest"),
  ...LANGUAGE_ATTEMPTS.map(({ name, what }): Listed => ({
    name,
    what,
    how: "driver",
    behind: behindLanguage({ what }),
  })),
  ...listed(FATAL_ATTEMPTS, "driver"),
  ...listed(DEVICE_ATTEMPTS, "device"),
];

/** A lab with somebody else's driver in it, whose traffic is looked after. */
class Walls implements AsyncDisposable {
  readonly lab: Lab;
  readonly rows: Row[] = [];
  /** Of the whole time. */
  readonly bystander: Account = { sent: 0, answered: 0, corrupt: 0, lost: 0, gap: 0 };
  readonly #undo: AsyncDisposableStack;
  readonly #options: WallsOptions;
  readonly #run: DriverRun;
  readonly #traffic: Partner;
  readonly #interface: string;
  #complaints = 0;

  private constructor(options: WallsOptions, parts: {
    undo: AsyncDisposableStack;
    lab: Lab;
    run: DriverRun;
    traffic: Partner;
    name: string;
  }) {
    this.#options = options;
    this.#undo = parts.undo;
    this.lab = parts.lab;
    this.#run = parts.run;
    this.#traffic = parts.traffic;
    this.#interface = parts.name;
  }

  static async start(options: WallsOptions, { iommu }: { iommu: boolean }): Promise<Walls> {
    const { progress, hardware } = options;
    await using undo = new AsyncDisposableStack();
    const memory = Math.max(hardware.memory, MEMORY);
    const lab = undo.use(
      await startLab({ ...options, hardware: { ...hardware, nic: NIC, oneWire: ONE_WIRE, iommu, memory } }),
    );
    progress("starting the driver of a bystander");
    const outside = undo.use(await startOutside());
    // Its manifest asks for an IOMMU, which does it no good where there is none.
    const run = undo.use(DriverRun.start(lab, [await bystanderManifest(lab, { iommu }), "--device", OTHER]));
    await run.next("address");
    const { interface: name } = await run.next("interface");
    const { host } = nicNetwork(OTHER_CARD);
    const traffic = undo.use(
      new Partner(lab, [...DENO, "src/walls/bystander.ts", host, `${outside.udp}`]),
    );
    // What came up with the drivers was nobody's attempt.
    await traffic.ask("account");
    return new Walls(options, { undo: undo.move(), lab, run, traffic, name });
  }

  #wanted<T extends { name: string }>(attempts: readonly T[]): T[] {
    const { only } = this.#options;
    return attempts.filter(({ name }) => only.length === 0 || only.includes(name));
  }

  /** Takes the results of attempts that were made one right after the other, and asks what they did to others. */
  async #add(results: readonly AttemptResult[], expected?: RegExp): Promise<void> {
    const account = await this.#traffic.ask<Account>("account");
    const { bystander } = this;
    bystander.sent += account.sent;
    bystander.answered += account.answered;
    bystander.corrupt += account.corrupt;
    bystander.lost += account.lost;
    bystander.gap = Math.max(bystander.gap, account.gap);
    const all = kernelComplaints(this.lab);
    const complaints = all.slice(this.#complaints).filter((line) => !expected?.test(line));
    this.#complaints = all.length;
    for (const { name, stops, problems } of results) {
      const { what, how, behind } = ATTEMPTS.find((attempt) => attempt.name === name)!;
      const row: Row = {
        name,
        what,
        how,
        stops,
        behind,
        problems: [
          ...problems,
          ...stops.filter(({ held }) => !held).map(({ wall, outcome }) => `${wall}: ${outcome}`),
          ...accountProblems(account),
          ...complaints,
        ],
      };
      this.rows.push(row);
      this.#options.onRow(row);
    }
  }

  /** Native code, in the sandbox of a driver, and what manifests ask for. */
  async native(): Promise<void> {
    const attempts = this.#wanted([...NATIVE_ATTEMPTS, ...GRANT_ATTEMPTS]);
    if (attempts.length === 0) return;
    const { host } = nicNetwork(OTHER_CARD);
    await using inside = new Partner(this.lab, [
      "env",
      `${MACHINE_VARIABLE}=/run/ring3-walls`,
      `${CHECKOUT}/src/supervisor/start.sh`,
      ...[...DENO, "src/walls/inside.ts", ATTACKED, THIRD, OTHER, this.#interface, host],
    ]);
    for (const { name } of attempts) await this.#add([await inside.ask<AttemptResult>(name)], DIED);
  }

  /** Drivers in TypeScript. */
  async drivers(): Promise<void> {
    const language = this.#wanted(LANGUAGE_ATTEMPTS);
    if (language.length > 0) await this.#add(await tryLanguage(this.lab, ATTACKED, language));
    for (const attempt of this.#wanted(FATAL_ATTEMPTS)) {
      await this.#add([await tryFatal(this.lab, ATTACKED, attempt)]);
    }
  }

  /** The device, with an IOMMU: what it reaches is seen at both ends. */
  async devices(): Promise<void> {
    const attempts = this.#wanted(DEVICE_ATTEMPTS);
    if (attempts.length > 0) await prepareDma(this.lab);
    for (const { name, make } of attempts) {
      const { leaked, changed, overwritten, reason } = await make(this.lab, { iommu: "required" });
      const outcome = `${reason?.kind ?? "it goes on"}: ${reason?.text ?? ""}`;
      const reached = leaked || changed || overwritten;
      await this.#add([{
        name,
        stops: [{ wall: "iommu", outcome, held: !reached && reason?.kind === "dma-fault" }],
        problems: reached ? ["the page was reached"] : [],
      }], FAULTED);
    }
  }

  /** The device, without: what the wall is for. Whatever did not come of it as it should, a line each. */
  async unconfined(): Promise<string[]> {
    const attempts = this.#wanted(DEVICE_ATTEMPTS);
    if (attempts.length > 0) await prepareDma(this.lab);
    const problems: string[] = [];
    for (const { name, make } of attempts) {
      const { leaked, overwritten } = await make(this.lab, { iommu: "preferred" });
      if (!leaked && !overwritten) {
        problems.push(`without an IOMMU: to ${name} does not reach it: what stopped it?`);
      }
    }
    return problems;
  }

  /** Ends what runs; whatever was wrong with it, a line each. */
  async finish(): Promise<string[]> {
    const problems = this.#run.events.filter(({ type }) => type === "ended")
      .map((event) => `bystander: its driver ended: ${JSON.stringify(event)}`);
    await this.#traffic[Symbol.asyncDispose]();
    const { code, stderr } = await this.#run.stop();
    if (code !== 0) problems.push(`bystander: its run ended with status ${code}: ${stderr.trim()}`);
    problems.push(...await leftInModule(this.lab), ...await unloadModule(this.lab));
    problems.push(
      ...kernelComplaints(this.lab).slice(this.#complaints).filter((line) => !FAULTED.test(line)),
    );
    return problems;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

/** The manifest of an honest driver, in the lab. */
async function bystanderManifest(lab: Lab, { iommu }: { iommu: boolean }): Promise<string> {
  if (iommu) return "e1000";
  const manifest = JSON.parse(await Deno.readTextFile(`${checkout()}/manifests/e1000.json`));
  const [folder, path] = ["/tmp/walls", "/tmp/walls/bystander.json"];
  const driver = relative(folder, `${CHECKOUT}/drivers/e1000/driver.ts`);
  await lab.exec(["dash", "-c", `mkdir -p ${folder} && cat > ${path}`], {
    stdin: JSON.stringify({ ...manifest, driver, iommu: "preferred" }),
  });
  return path;
}

/**
 * Boots a lab and makes the attempts in it; then, unless `options.confinedOnly`, one without an IOMMU, for what
 * only that stops.
 * @throws {UserError} if a lab or the driver of the bystander does not come up.
 */
export async function tryWalls(options: WallsOptions): Promise<WallsResult> {
  const start = performance.now();
  await buildWalls();
  const problems: string[] = [];
  await using walls = await Walls.start(options, { iommu: true });
  const { lab, rows, bystander } = walls;
  await walls.native();
  await walls.drivers();
  await walls.devices();
  problems.push(...await walls.finish());
  const { kernel, accelerator } = lab;
  await lab.close();
  if (!options.confinedOnly && rows.some(({ how }) => how === "device")) {
    await using open = await Walls.start(options, { iommu: false });
    problems.push(...await open.unconfined(), ...await open.finish());
  }
  const result = labResult({ kernel, accelerator }, { problems, start });
  return {
    ...result,
    ok: result.ok && rows.every((row) => row.problems.length === 0),
    rows,
    escapes: rows.filter(({ stops }) => stops.length === 0 || stops.some(({ held }) => !held)).length,
    bystander,
  };
}

/** What a bystander has suffered, a line each. */
function accountProblems({ sent, answered, corrupt, lost }: Account): string[] {
  if (sent > 0 && answered === sent && corrupt === 0) return [];
  return [
    `bystander: of ${sent} datagrams ${answered} came back, ${lost} were lost, ${corrupt} were changed`,
  ];
}
