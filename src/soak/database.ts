/**
 * Two databases that commit, one transaction after the other, and say so, where the disk is: one with a
 * write-ahead log and one with a rollback journal. Afterwards, whether what they said is there and whole.
 */
import { DatabaseSync } from "node:sqlite";
import { defineCommand, text } from "../cli/args.ts";
import { exitStatus } from "../cli/exit.ts";
import { UserError } from "../error.ts";
import { equalBytes, Words } from "../check/content.ts";

/** The databases, by how they keep a transaction apart until it is committed. */
export const KINDS = ["wal", "rollback"] as const;
/** One of them. */
export type Kind = (typeof KINDS)[number];

/** A number of each. */
export type Numbers = Record<Kind, number>;

/**
 * Settings under which a commit that has returned is on the disk: `FULL` for a log, which is flushed at each
 * commit; `EXTRA` for a journal, whose removal is then also flushed, for it is the removal that commits
 * (SQLite, "PRAGMA synchronous").
 */
const SETTINGS: Record<Kind, string> = {
  wal: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
  rollback: "PRAGMA journal_mode = DELETE; PRAGMA synchronous = EXTRA;",
};

/** Longest content of an entry, bytes: some entries take pages of their own. */
const LONGEST = 5000;

const TABLES = `
CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS summary (id INTEGER PRIMARY KEY CHECK (id = 1), entries INTEGER, bytes INTEGER);
INSERT OR IGNORE INTO summary VALUES (1, 0, 0);
`;

/** A database of numbered entries and, in another table, how many there are: each commit changes both. */
export class CommitLog implements Disposable {
  readonly #database: DatabaseSync;
  #last: number;

  /** Opens the one of that kind in a folder, and makes it if there is none. SQLite recovers it where it must. */
  constructor(folder: string, kind: Kind) {
    this.#database = new DatabaseSync(`${folder}/${kind}.sqlite`);
    this.#database.exec(SETTINGS[kind]);
    this.#database.exec(TABLES);
    this.#last = (this.#database.prepare("SELECT max(number) AS last FROM entries").get() as {
      last: number | null;
    }).last ?? 0;
  }

  /** Number of the last entry, 0 if there is none. */
  get last(): number {
    return this.#last;
  }

  /** Commits the next entry. Its number, once it is on the disk. */
  commit(): number {
    const number = this.#last + 1;
    const content = contentOf(number);
    this.#database.exec("BEGIN IMMEDIATE");
    this.#database.prepare("INSERT INTO entries VALUES (?, ?)").run(number, content);
    this.#database.prepare("UPDATE summary SET entries = entries + 1, bytes = bytes + ?").run(content.length);
    this.#database.exec("COMMIT");
    return this.#last = number;
  }

  /** What is wrong with it, a line each: by SQLite's own check, and in what it holds. */
  problems(): string[] {
    const integrity = this.#database.prepare("PRAGMA integrity_check").all() as { integrity_check: string }[];
    const problems = integrity.map((row) => row.integrity_check).filter((said) => said !== "ok");
    let number = 0;
    let bytes = 0;
    for (
      const row of this.#database.prepare("SELECT number, content FROM entries ORDER BY number").iterate()
    ) {
      const entry = row as { number: number; content: Uint8Array };
      if (entry.number !== ++number) return [...problems, `entry ${number} is missing`];
      bytes += entry.content.length;
      if (!equalBytes(entry.content, contentOf(number))) {
        problems.push(`entry ${number} is not what was committed`);
      }
    }
    const summary = this.#database.prepare("SELECT entries, bytes FROM summary").get() as
      | { entries: number; bytes: number }
      | undefined;
    if (summary?.entries !== number || summary.bytes !== bytes) {
      problems.push(
        `its ${number} entries of ${bytes} bytes are counted as ${summary?.entries} of ${summary?.bytes}`,
      );
    }
    return problems;
  }

  /** SQLite's version. */
  get version(): string {
    return (this.#database.prepare("SELECT sqlite_version() AS version").get() as { version: string })
      .version;
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Content of an entry: its length and its bytes follow from its number. */
function contentOf(number: number): Uint8Array {
  const words = new Words(number);
  const content = new Uint8Array(1 + words.next() % LONGEST);
  const whole = new Uint32Array(Math.ceil(content.length / 4));
  words.fill(whole);
  content.set(new Uint8Array(whole.buffer, 0, content.length));
  return content;
}

/** The line that says that an entry is on the disk. Its last word tells that the line is whole. */
export function committedLine(kind: Kind, number: number): string {
  return `${kind} ${number} committed`;
}

/** What such a line says; undefined of any other. */
export function parseCommitted(line: string): { kind: Kind; number: number } | undefined {
  const [, kind, number] = /^(\w+) (\d+) committed$/.exec(line) ?? [];
  const known = KINDS.find((one) => one === kind);
  return known && { kind: known, number: Number(number) };
}

/** What a check found, as it prints it. */
export interface DatabasesFound {
  version: string;
  /** Numbers of the last entries. */
  last: Numbers;
  /** What does not hold, a line each. */
  problems: string[];
}

/** Checks both databases of a folder. */
export function checkDatabases(folder: string): DatabasesFound {
  const found: DatabasesFound = { version: "", last: { wal: 0, rollback: 0 }, problems: [] };
  for (const kind of KINDS) {
    using log = new CommitLog(folder, kind);
    found.version = log.version;
    found.last[kind] = log.last;
    found.problems.push(...log.problems().map((problem) => `${kind}: ${problem}`));
  }
  return found;
}

/** Commits that were acknowledged and are not there: a line for each database that has lost some. */
export function lostCommits(acknowledged: Numbers, found: Numbers): string[] {
  return KINDS.filter((kind) => found[kind] < acknowledged[kind]).map((kind) =>
    `commits: ${kind} acknowledged ${acknowledged[kind]} and has ${found[kind]}`
  );
}

/** The command line that commits to databases in a folder until its input ends, or checks them; in the checkout. */
export function databaseProgram(what: "commit" | "check", folder: string): string[] {
  const program = ["deno", "run", "-A", "--quiet", "--cached-only", "src/soak/database.ts"];
  return [...program, what, "--folder", folder];
}

/** Commits to both in turn until standard input ends, and says so of each commit. */
async function commitAll(folder: string): Promise<void> {
  const over = new AbortController();
  const ending = (async () => {
    for await (const _ of Deno.stdin.readable);
    over.abort();
  })();
  using wal = new CommitLog(folder, "wal");
  using rollback = new CommitLog(folder, "rollback");
  const logs = { wal, rollback };
  while (!over.signal.aborted) {
    for (const kind of KINDS) console.log(committedLine(kind, logs[kind].commit()));
    // So that the end of the input is seen.
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await ending;
}

const databaseCommand = defineCommand({
  name: "deno run -A src/soak/database.ts",
  summary: "commit numbered entries to two SQLite databases until standard input ends, or check them",
  positionals: [{ name: "commit|check", description: "what to do" }],
  options: { folder: text("Where they are", { value: "FOLDER" }) },
  async main({ positionals: [what], options: { folder } }) {
    if (folder === undefined) throw new UserError("--folder is needed", { code: 2 });
    if (what === "commit") await commitAll(folder);
    else if (what === "check") console.log(JSON.stringify(checkDatabases(folder)));
    else throw new UserError(`There is no "${what}": commit or check`, { code: 2 });
    return 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => databaseCommand.run(Deno.args)));
