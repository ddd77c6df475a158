/**
 * Databases that commit without a pause, on a file system that may break: round after round in a folder of its
 * own, each of which is looked at when the next has begun. What breaks is repaired, and it goes on.
 */
import { checkout } from "../../../lab/checkout.ts";
import { lines } from "../../../lines.ts";
import { pause } from "../../../pause.ts";
import {
  databaseProgram,
  type DatabasesFound,
  lostCommits,
  type Numbers,
  parseCommitted,
} from "../../../soak/database.ts";
import { reasonIn } from "../workload.ts";
import type { Tally } from "./tally.ts";

/** Something that did not go well, on the disk or because of it. */
export class Broken extends Error {
  override readonly name = "Broken";
}

/** The file system that the databases are on. What it is asked for throws {@link Broken} if it cannot be done. */
export interface FileSystem {
  /** Where it is mounted. */
  readonly folder: string;
  /** Makes a new one and mounts it. */
  make(): Promise<void>;
  /** Unmounts it, makes it whole and mounts it again. What cannot be made whole, a line; then it is not mounted. */
  repair(): Promise<string | undefined>;
  /** Has what is read of a file read from the disk. */
  forget(path: string): Promise<void>;
  unmount(): Promise<void>;
}

/** What SQLite says of content that is not what it wrote, and not merely cannot be read. */
const DAMAGED = /malformed|not a database|corrupt/i;

/** Times that databases cannot be looked at, on a file system that could be mounted, before that counts as wrong. */
const MOST_UNSEEN = 5;

/** One round: databases in a folder of their own, and the process that commits to them. */
class Round {
  readonly folder: string;
  readonly acknowledged: Numbers = { wal: 0, rollback: 0 };
  /**
   * Something has failed meanwhile. Linux tells of a failed write once, and may lose what came before it as well: of
   * the journal it has written it takes for done what a disk has then failed to put in its place. What such
   * databases lack says nothing of the disk.
   */
  failed = false;
  /** How often it could not be looked at. */
  unseen = 0;
  readonly #child: Deno.ChildProcess;
  readonly #begun = Promise.withResolvers<void>();
  readonly #ended: Promise<string>;
  #closing = false;
  #over = false;

  constructor(folder: string, tally: Tally) {
    this.folder = folder;
    this.#child = command("commit", folder, { stdin: "piped" }).spawn();
    this.#ended = this.#follow(tally);
  }

  /** When it commits, or has ended. */
  get begun(): Promise<unknown> {
    return Promise.race([this.#begun.promise, this.#ended]);
  }

  /** When it has ended. */
  get ended(): Promise<unknown> {
    return this.#ended;
  }

  /** @throws {Broken} if it has ended by itself. */
  async assertRuns(): Promise<void> {
    if (this.#over && !this.#closing) throw new Broken(await this.#ended);
  }

  /** Ends it. @throws {Broken} if it does not end well. */
  async close(): Promise<void> {
    await this.assertRuns();
    this.#closing = true;
    await this.#child.stdin.close().catch(() => {});
    const why = await this.#ended;
    if (!(await this.#child.status).success) throw new Broken(why);
  }

  /** Counts its commits. Why it has ended. */
  async #follow(tally: Tally): Promise<string> {
    const said = new Response(this.#child.stderr).text();
    for await (const line of lines(this.#child.stdout)) {
      const commit = parseCommitted(line);
      if (!commit) continue;
      this.acknowledged[commit.kind] = commit.number;
      tally.well();
      this.#begun.resolve();
    }
    const { code } = await this.#child.status;
    this.#over = true;
    return `the databases ended by themselves: ${reasonIn(await said) ?? `status ${code}`}`;
  }
}

/** A command on the databases of a folder. */
function command(
  what: "commit" | "check",
  folder: string,
  { stdin }: { stdin: "piped" | "null" },
): Deno.Command {
  const [, ...args] = databaseProgram(what, folder);
  return new Deno.Command(Deno.execPath(), {
    args,
    cwd: checkout(),
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
}

/** How the rounds go. */
export interface CommitOptions {
  tally: Tally;
  over: AbortSignal;
  /** How long databases grow, milliseconds. */
  round: number;
  /** How long nothing is tried after something that could not be done, milliseconds. */
  retry: number;
}

/** Makes the file system, commits until it is over, and looks at everything that was committed. */
export async function commitOn(files: FileSystem, options: CommitOptions): Promise<void> {
  await new Commits(files, options).run();
}

class Commits {
  readonly #files: FileSystem;
  readonly #options: CommitOptions;
  /** Rounds that have begun and have not been looked at, in order. */
  #rounds: Round[] = [];
  #count = 0;
  /** Since the last repair. */
  #committed = true;
  /** The look at one that goes on. */
  #looking: Promise<void> = Promise.resolve();

  constructor(files: FileSystem, options: CommitOptions) {
    this.#files = files;
    this.#options = options;
  }

  async run(): Promise<void> {
    const { over } = this.#options;
    await this.#until(() => this.#files.make());
    for (let last = false; !last;) {
      // After the end it is looked at once more if something was broken then.
      last = over.aborted;
      try {
        await this.#lookAtAll();
        if (!last) await this.#commit();
      } catch (error) {
        this.#tell(error);
        for (const round of this.#rounds) round.failed = true;
        await this.#end();
        if (!this.#committed) await pause(this.#options.retry, over);
        this.#committed = false;
        await this.#repair();
      }
    }
    await this.#until(() => this.#files.unmount());
  }

  /** Commits, and looks at one round while the next goes on. */
  async #commit(): Promise<void> {
    const { over, round } = this.#options;
    let current = await this.#begin();
    while (!over.aborted) {
      await Promise.race([pause(round, over), current.ended]);
      await current.assertRuns();
      if (over.aborted) break;
      // So that there is always one that commits.
      const next = await this.#begin();
      await current.close();
      this.#looking = this.#lookAt(current);
      current = next;
      await Promise.race([this.#looking, current.ended]);
      await current.assertRuns();
      await this.#looking;
    }
    await current.close();
    await this.#lookAtAll();
  }

  async #begin(): Promise<Round> {
    const folder = `${this.#files.folder}/${++this.#count}`;
    await onDisk(() => Deno.mkdir(folder));
    const round = new Round(folder, this.#options.tally);
    this.#rounds.push(round);
    await round.begun;
    await round.assertRuns();
    this.#committed = true;
    return round;
  }

  async #lookAtAll(): Promise<void> {
    while (this.#rounds.length > 0) await this.#lookAt(this.#rounds[0]);
  }

  /** Whether all that a round has acknowledged is on the disk and whole. Removes it then. */
  async #lookAt(round: Round): Promise<void> {
    const { folder, acknowledged } = round;
    await onDisk(async () => {
      for await (const { name } of Deno.readDir(folder)) await this.#files.forget(`${folder}/${name}`);
    });
    const { success, stdout, stderr } = await command("check", folder, { stdin: "null" }).output();
    const decoder = new TextDecoder();
    if (success) {
      const { problems, last } = JSON.parse(decoder.decode(stdout)) as DatabasesFound;
      for (const problem of [...problems, ...lostCommits(acknowledged, last)]) {
        this.#tellWrong(round, problem);
      }
    } else {
      const why = reasonIn(decoder.decode(stderr)) ?? "the databases cannot be checked";
      if (!DAMAGED.test(why) && ++round.unseen < MOST_UNSEEN) throw new Broken(why);
      this.#tellWrong(round, why);
    }
    await this.#forgetRound(round);
  }

  #tellWrong({ failed }: Round, problem: string): void {
    const { tally } = this.#options;
    if (failed) tally.failed(`after an error: ${problem}`);
    else tally.wrong(problem);
  }

  async #forgetRound(round: Round): Promise<void> {
    this.#rounds = this.#rounds.filter((one) => one !== round);
    await onDisk(() => Deno.remove(round.folder, { recursive: true }));
  }

  /** Ends whatever still uses the disk. */
  async #end(): Promise<void> {
    // Why any of it ends is told already.
    await this.#looking.catch(() => {});
    for (const round of this.#rounds) await round.close().catch(() => {});
  }

  async #repair(): Promise<void> {
    await this.#until(async () => {
      const damage = await this.#files.repair();
      if (damage === undefined) return;
      this.#options.tally.wrong(damage);
      this.#rounds = [];
      await this.#until(() => this.#files.make());
    });
  }

  /** Tries again until it can be done, or it is over; once in any case. */
  async #until(work: () => Promise<void>): Promise<void> {
    const { over, retry } = this.#options;
    for (;;) {
      try {
        return await work();
      } catch (error) {
        this.#tell(error);
      }
      await pause(retry, over);
      if (over.aborted) return;
    }
  }

  /** Tells what was broken; whether it is damaged as well is seen at the next look. @throws what is no such thing. */
  #tell(error: unknown): void {
    if (!(error instanceof Broken)) throw error;
    this.#options.tally.failed(error.message);
  }
}

/** Work on files of the disk. @throws {Broken} if it fails. */
async function onDisk(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    if (cause instanceof Broken) throw cause;
    throw new Broken(cause instanceof Error ? cause.message : String(cause), { cause });
  }
}
