/**
 * SQLite on ext4 on a disk whose driver is killed at random, in a machine that is cut off now and then and
 * started again: every transaction that was acknowledged must be there.
 */
import { Words } from "../check/content.ts";
import { UserError } from "../error.ts";
import { type Disk, type Lab, makeDisk, QemuCrash } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { run } from "../lab/command.ts";
import { type LabOptions, startLab } from "../run/lab.ts";
import { grouped } from "../size.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import type { Finding } from "../verdict.ts";
import {
  databaseProgram,
  type DatabasesFound,
  KINDS,
  lostCommits,
  type Numbers,
  parseCommitted,
} from "./database.ts";
import { diskComplaints, diskHardware, diskOfRun } from "./disk.ts";
import { DriverRun } from "./driver_run.ts";
import { EXPECTED, recoveryText } from "./fault.ts";
import { kernelComplaints, sh, stopRun, unloadModule } from "./lab.ts";
import { writeManifest } from "./manifest.ts";
import { failedIn, formatLabResult, type LabResult, labResult, lastFindings } from "./result.ts";
import { losePower, type PowerLoss } from "./write_log.ts";
import { pause } from "../pause.ts";

/** `limits.stall` of the manifest, milliseconds: that of users. */
const STALL_MS = 1000;

/** Of so many cuts one at least must be told of by its log, or the disk could have lost nothing at any. */
const TELLING_CUTS = 3;

/**
 * Longest time to a kill: by chance from a driver's start or from when it is ready, so that some die while they
 * come up, and some before there is a spare.
 */
const MOST_LIFE_MS = 4000;

/** Longest time to a cut: by chance from the last kill, when there is no driver, or from when the next is ready. */
const MOST_WAIT_MS = 1500;

/** Where the file system is mounted, and where the databases are in it. */
const MOUNT = "/mnt";
const FOLDER = `${MOUNT}/databases`;

/** What was there when the machine had been cut off and started again. */
export interface SqliteLook {
  /** Kills before the cut. */
  kills: number;
  /** What the loss of power did to the disk; null if its log could not tell, and so nothing was lost of it. */
  loss: PowerLoss | null;
  /** The last commits that had been acknowledged, and those that are there: these may be one more each. */
  acknowledged: Numbers;
  found: Numbers;
}

/** What the soak saw. */
export interface SqliteSoak extends LabResult {
  soak: "sqlite";
  disk: Disk;
  /** SQLite's version. */
  sqlite: string;
  kills: number;
  cuts: number;
  /** What the times of kills and cuts follow from. */
  seed: number;
  looks: SqliteLook[];
  /** Kernel's word of death to first request, milliseconds; of a driver that is killed before that there is none. */
  recoveries: number[];
  /** Signals that QEMU ended with by faults of its own, each of which was taken for a cut. */
  crashes: string[];
}

/** How to soak. */
export interface SqliteSoakOptions extends LabOptions {
  disk: Disk;
  /** Kills in all. */
  kills: number;
  /** Cuts, each after its part of the kills. */
  cuts: number;
  seed: number;
}

/** Numbers of kills before each cut, as equal as can be. */
export function killsBeforeCuts({ kills, cuts }: Pick<SqliteSoakOptions, "kills" | "cuts">): number[] {
  const upTo = (cut: number) => Math.round(kills * cut / cuts);
  return Array.from({ length: cuts }, (_, i) => upTo(i + 1) - upTo(i));
}

/**
 * Boots a lab, kills the driver under two databases, cuts the machine off, and boots it again on the same disk, as
 * often as asked.
 * @throws {UserError} if a lab or a driver does not come up, or something cannot be run there.
 */
export async function soakSqlite(options: SqliteSoakOptions): Promise<SqliteSoak> {
  const { disk, kills, cuts, seed, signal } = options;
  const start = performance.now();
  await using folder = await temporaryFolder(signal);
  const soak = new Soak(options, folder.path);
  await makeDisk(soak.medium);
  for (const [cut, count] of killsBeforeCuts(options).entries()) {
    let left = count;
    while (left > 0) left = await soak.untilCut(left, cut);
  }
  const { sqlite, ...machine } = await soak.afterLast();
  const { problems, looks, recoveries, crashes } = soak;
  if (cuts >= TELLING_CUTS && looks.every(({ loss }) => !loss)) {
    problems.push(`cuts: the disk's log could tell of none of ${cuts}, so that none could cost it anything`);
  }
  return {
    soak: "sqlite",
    ...labResult(machine, { problems, start }),
    disk,
    sqlite,
    kills,
    cuts,
    seed,
    looks,
    recoveries,
    crashes,
  };
}

/** A machine with its driver, as booted between two cuts. */
interface Machine extends AsyncDisposable {
  lab: Lab;
  run: DriverRun;
  /** The disk, as in /dev. */
  name: string;
}

/** What goes on from boot to boot. */
class Soak {
  readonly problems: string[] = [];
  readonly looks: SqliteLook[] = [];
  readonly recoveries: number[] = [];
  readonly crashes: string[] = [];
  /** What the disk's medium holds while no machine runs. */
  readonly medium: string;
  readonly #options: SqliteSoakOptions;
  /** What a machine uses as its disk, and a log of what it does to it. */
  readonly #used: { path: string; log: string };
  readonly #random: Words;
  readonly #acknowledged: Numbers = { wal: 0, rollback: 0 };
  #formatted = false;
  /** Since the last look. */
  #kills = 0;
  #loss: PowerLoss | null = null;

  constructor(options: SqliteSoakOptions, folder: string) {
    this.#options = options;
    this.medium = `${folder}/medium`;
    this.#used = { path: `${folder}/disk`, log: `${folder}/log` };
    this.#random = new Words(options.seed);
  }

  /** A number from 0 to `most`. */
  #upTo(most: number): number {
    return this.#random.next() / 2 ** 32 * most;
  }

  #chance(): boolean {
    return this.#upTo(1) < 0.5;
  }

  /**
   * Boots, has the databases commit while the driver is killed, and cuts the machine off.
   * @returns How many kills are left: 0, unless QEMU has cut the machine off before.
   */
  async untilCut(kills: number, cut: number): Promise<number> {
    const { progress, cuts } = this.#options;
    await using machine = await this.#boot();
    const { lab, run, name } = machine;
    if (!this.#formatted) {
      this.#formatted = true;
      // What it leaves for later it would write while databases do.
      await sh(lab, `mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 /dev/${name}`);
      await sh(lab, `mount -t ext4 /dev/${name} ${MOUNT}; mkdir ${FOLDER}`);
    } else await this.#look(machine);
    const before = { ...this.#acknowledged };
    const committing = this.#commit(lab);
    await committing.begun;
    progress(`boot ${cut + 1} of ${cuts}: ${kills} kills`);
    const made = this.#kills;
    const crash = await this.#kill(machine, kills).catch((error) => {
      if (error instanceof QemuCrash) return error;
      throw error;
    });
    const left = kills - (this.#kills - made);
    // A crash comes between two system calls of the thread that has its fault, and nearly always of all others.
    await (crash ? lab.close() : lab.cut());
    await committing.ended;
    await this.#losePower();
    this.#complained(machine);
    if (crash) {
      progress(`QEMU ended with ${crash.signal}, which is taken for a cut`);
      this.crashes.push(crash.signal);
      this.#recovered(run);
      return left;
    }
    this.#followed(run, kills);
    const more = KINDS.filter((kind) => this.#acknowledged[kind] > before[kind]);
    if (more.length < KINDS.length) {
      this.problems.push(
        `commits: between boot ${cut + 1} and its cut none was acknowledged by one database`,
      );
    }
    progress(`cut ${cut + 1} of ${cuts}: ${numbersText(this.#acknowledged)} commits acknowledged`);
    return left;
  }

  /** Kills the driver so many times, and waits for a while. @throws {QemuCrash} if QEMU does. */
  async #kill({ lab, run }: Machine, kills: number): Promise<undefined> {
    let after = 0;
    for (let kill = 0; kill < kills; kill++) {
      const { id, pid } = await run.next("starting", { after });
      if (this.#chance()) await run.next("ready", { after: id });
      await pause(this.#upTo(MOST_LIFE_MS));
      await lab.exec(["kill", "-KILL", `${pid}`]);
      const { reason, id: ended } = await run.next("ended", { after: id });
      if (reason.kind !== EXPECTED.kill) {
        this.problems.push(`faults: a kill was reported as "${reason.kind}": ${reason.text}`);
      }
      after = ended;
      this.#kills++;
    }
    if (this.#chance()) await run.next("ready", { after });
    await pause(this.#upTo(MOST_WAIT_MS));
  }

  /** Leaves on the medium what a disk would have that lost its power with the machine. */
  async #losePower(): Promise<void> {
    const { path, log } = this.#used;
    this.#loss = losePower(this.medium, { log, random: () => this.#upTo(1) }) ?? null;
    if (this.#loss) await Deno.remove(path);
    else await Deno.rename(path, this.medium);
  }

  /** Boots once more, looks, and ends everything in order. */
  async afterLast(): Promise<Pick<Lab, "kernel" | "accelerator"> & { sqlite: string }> {
    await using machine = await this.#boot();
    const { lab, run } = machine;
    const { version } = await this.#look(machine);
    await sh(lab, `umount ${MOUNT}`);
    this.#followed(run, 0);
    this.problems.push(...await stopRun(run, lab), ...await unloadModule(lab));
    this.#complained(machine);
    return { kernel: lab.kernel, accelerator: lab.accelerator, sqlite: version };
  }

  async #boot(): Promise<Machine> {
    const { disk, hardware } = this.#options;
    await run(["cp", "--sparse=always", this.medium, this.#used.path], { what: "copy the disk of the lab" });
    const lab = await startLab({
      ...this.#options,
      hardware: { ...hardware, ...diskHardware(disk) },
      disks: [this.#used],
    });
    try {
      const policy = { spare: true, stall: STALL_MS, port: { onDeath: "reissue" as const } };
      const driver = DriverRun.start(lab, [await writeManifest(lab, disk, policy)]);
      const name = await diskOfRun(driver);
      const end = async () => {
        await driver[Symbol.asyncDispose]();
        await lab.close();
      };
      return { lab, run: driver, name, [Symbol.asyncDispose]: end };
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /**
   * Has the kernel replay the journal, then looks whether the file system is sound and all that was acknowledged
   * is there. Leaves it mounted.
   */
  async #look({ lab, name }: Machine): Promise<DatabasesFound> {
    const device = `/dev/${name}`;
    await sh(lab, `mount -t ext4 ${device} ${MOUNT}; umount ${MOUNT}`);
    const { code, stdout } = await lab.exec(["fsck.ext4", "-f", "-n", device]);
    if (code !== 0) this.problems.push(`file system: fsck finds it damaged: ${stdout.trim().split("\n")[1]}`);
    await sh(lab, `mount -t ext4 ${device} ${MOUNT}`);
    const found = await this.#databases(lab);
    this.problems.push(...found.problems.map((problem) => `databases: ${problem}`));
    this.problems.push(...lostCommits(this.#acknowledged, found.last));
    const acknowledged = { ...this.#acknowledged };
    this.looks.push({ kills: this.#kills, loss: this.#loss, acknowledged, found: found.last });
    this.#kills = 0;
    // What is there stays: commits that nobody was told of count from here on.
    for (const kind of KINDS) this.#acknowledged[kind] = Math.max(acknowledged[kind], found.last[kind]);
    return found;
  }

  async #databases(lab: Lab): Promise<DatabasesFound> {
    const { code, stdout, stderr } = await lab.exec(databaseProgram("check", FOLDER));
    if (code === 0) return JSON.parse(stdout) as DatabasesFound;
    throw new UserError(`Cannot check the databases: ${stderr.trim().split("\n").at(-1)}`);
  }

  /** Starts to commit; what is acknowledged is noted as it comes. `begun` with the first, `ended` with the program. */
  #commit(lab: Lab): { begun: Promise<void>; ended: Promise<void> } {
    const child = lab.spawn(databaseProgram("commit", FOLDER), {
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    });
    const begun = Promise.withResolvers<void>();
    const said = new Response(child.stderr).text();
    const ended = (async () => {
      for await (const line of lines(child.stdout)) {
        const commit = parseCommitted(line);
        if (!commit) continue;
        this.#acknowledged[commit.kind] = commit.number;
        begun.resolve();
      }
      const text = (await said).trim();
      begun.reject(new UserError(`The databases did not begin to commit: ${text.split("\n").at(-1)}`));
      // With the machine its connection goes, and says so; the program itself has nothing to say.
      if (/^error:|Error/m.test(text)) this.problems.push(`databases: ${text.split("\n").at(-1)}`);
    })();
    begun.promise.catch(() => {});
    return { begun: begun.promise, ended };
  }

  #recovered({ events }: DriverRun): void {
    for (const event of events) {
      if (event.type === "recovered" && event.frame) this.recoveries.push(event.ms);
    }
  }

  /** Takes in what a supervisor has told of its drivers. */
  #followed(run: DriverRun, kills: number): void {
    this.#recovered(run);
    const ends = run.events.filter(({ type }) => type === "ended").length;
    if (ends !== kills) {
      this.problems.push(`faults: ${kills} were made, and the supervisor saw ${ends} ends`);
    }
  }

  /** Takes in what a machine's kernel has said. */
  #complained({ lab, name }: Machine): void {
    this.problems.push(...diskComplaints(lab.console(), name), ...kernelComplaints(lab));
  }
}

function numbersText(numbers: Numbers): string {
  return KINDS.map((kind) => `${kind} ${grouped(numbers[kind])}`).join(", ");
}

/** The soak as a table. */
export function formatSqliteSoak(result: SqliteSoak): string {
  const { problems, looks, recoveries, crashes, kills, cuts, disk, sqlite } = result;
  const failed = failedIn(problems);
  const last = looks.at(-1);
  const unacknowledged = looks.reduce(
    (sum, { acknowledged, found }) =>
      sum + KINDS.reduce((so, kind) => so + Math.max(0, found[kind] - acknowledged[kind]), 0),
    0,
  );
  const losses = looks.flatMap(({ loss }) => loss ?? []);
  const [writes, flushes, lost, kept] = (["writes", "flushes", "lost", "kept"] as const).map((what) =>
    grouped(losses.reduce((sum, one) => sum + one[what], 0))
  );
  const whole = looks.length - losses.length;
  const findings: Finding[] = [
    {
      name: "commits",
      found: `${last ? numbersText(last.acknowledged) : "none"} acknowledged, and there after each of ` +
        `${cuts} cuts; ${unacknowledged} more were there that nobody had been told of`,
      ok: !failed("commits:"),
    },
    {
      name: "databases",
      found: failed("databases:")
        ? "damaged"
        : `integrity_check ok ${looks.length} times, every entry as it was committed`,
      ok: !failed("databases:"),
    },
    {
      name: "file system",
      found: failed("file system:")
        ? "damaged"
        : `fsck clean ${looks.length} times, after replay of its journal`,
      ok: !failed("file system:"),
    },
    {
      name: "cuts",
      found:
        `${cuts}, after ${writes} writes and ${flushes} flushes of the disk; of what came after the last flush ` +
        `${lost} blocks of 4 KiB were lost and ${kept} kept` +
        (whole > 0 ? `; at ${whole} cuts the disk kept everything` : ""),
      ok: !failed("cuts:"),
    },
    ...crashes.length === 0 ? [] : [{
      name: "QEMU",
      found: `ended ${crashes.length === 1 ? "once" : `${crashes.length} times`} by a fault of its own ` +
        `(${[...new Set(crashes)].join(", ")}), which was taken for a cut`,
      ok: true,
    }],
    { name: "disk", found: failed("disk:") ? "requests failed" : "no I/O error", ok: !failed("disk:") },
    {
      name: "kills",
      found: `${grouped(kills)}, each reported as "${EXPECTED.kill}", and no other end; ${
        recoveryText(recoveries)
      }`,
      ok: !failed("faults:"),
    },
    ...lastFindings(problems),
  ];
  const title = `Soak of ${disk} with SQLite ${sqlite} on ext4,`;
  return formatLabResult(result, { title, findings });
}
