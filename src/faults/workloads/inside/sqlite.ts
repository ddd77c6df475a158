/** SQLite on ext4 on a disk without a pause: databases that commit, on a file system that is made first. */
import { defineCommand, text } from "../../../cli/args.ts";
import { exitStatus } from "../../../cli/exit.ts";
import { UserError } from "../../../error.ts";
import { Broken, commitOn, type FileSystem } from "./commits.ts";
import { saying } from "./tally.ts";

/** How long databases grow, milliseconds: so long after a commit it is looked at, or a little later. */
const ROUND_MS = 30_000;

/** How long nothing is tried after something that could not be done, milliseconds. */
const RETRY_MS = 1000;

/**
 * Runs of fsck until one has nothing to correct: of its writes that the disk has failed it does not tell, but the
 * next one finds out.
 */
const MOST_RUNS = 4;

/** What fsck and mount say where the disk has failed, and not what is on it. */
const UNREADABLE = /Input\/output error|can't read superblock|No such (file|device)|No medium/i;

/** Bits of fsck's status (fsck(8)): errors have been corrected, and a reboot would be good if it were mounted. */
const CORRECTED = 3;

/**
 * What fsck could not correct, a line, by its status and what it said; undefined if there is nothing.
 * @throws {Broken} if it could not read the disk.
 */
export function damageIn({ code, said }: { code: number; said: string }): string | undefined {
  if ((code & ~CORRECTED) === 0) return undefined;
  const all = said.split("\n").filter((line) => line.trim() !== "");
  const unreadable = all.find((line) => UNREADABLE.test(line));
  if (unreadable !== undefined) throw new Broken(`fsck: ${unreadable}`);
  return `fsck cannot repair the file system: status ${code}: ${all.at(-1) ?? ""}`;
}

/** ext4 on a disk. */
class Ext4 implements FileSystem {
  readonly folder: string;
  readonly #device: string;

  constructor(disk: string) {
    this.#device = `/dev/${disk}`;
    this.folder = `/mnt/${disk}`;
  }

  async make(): Promise<void> {
    // What it leaves for later it would write while databases do.
    const now = "lazy_itable_init=0,lazy_journal_init=0";
    await must(["mkfs.ext4", "-q", "-F", "-E", now, this.#device]);
    await this.#mount();
  }

  async repair(): Promise<string | undefined> {
    await this.unmount();
    await this.#replay();
    for (let run = 0; run < MOST_RUNS; run++) {
      const found = await output(["fsck.ext4", "-f", "-y", this.#device]);
      const damage = damageIn(found);
      if (damage !== undefined) return damage;
      if (found.code !== 0) continue;
      await this.#mount();
      return undefined;
    }
    throw new Broken("fsck: what it has corrected does not stay so");
  }

  async forget(path: string): Promise<void> {
    // As dd(1) says: of the whole file, nothing of which is copied.
    await must(["dd", `of=${path}`, "oflag=nocache", "conv=notrunc,fdatasync", "count=0", "status=none"]);
  }

  async unmount(): Promise<void> {
    const { code, said } = await output(["umount", this.folder]);
    if (code !== 0 && !/not mounted|no mount point/.test(said)) throw new Broken(`umount: ${said}`);
  }

  /**
   * Has the kernel replay the journal, as fsck would as well: but fsck takes it for replayed also where the disk has
   * failed its writes.
   */
  async #replay(): Promise<void> {
    const { code, said } = await this.#tryMount();
    if (code === 0) await this.unmount();
    else if (UNREADABLE.test(said)) throw new Broken(`mount: ${said}`);
  }

  async #mount(): Promise<void> {
    const { code, said } = await this.#tryMount();
    if (code !== 0) throw new Broken(`mount: ${said}`);
  }

  async #tryMount(): Promise<{ code: number; said: string }> {
    await Deno.mkdir(this.folder, { recursive: true });
    return await output(["mount", "-t", "ext4", "-o", "errors=remount-ro", this.#device, this.folder]);
  }
}

/** Runs a command; its status and all that it says. */
async function output([program, ...args]: readonly string[]): Promise<{ code: number; said: string }> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "null" }).output();
  const decoder = new TextDecoder();
  return { code, said: `${decoder.decode(stdout)}\n${decoder.decode(stderr)}`.trim() };
}

async function must(argv: readonly string[]): Promise<void> {
  const { code, said } = await output(argv);
  if (code !== 0) throw new Broken(`${argv[0]}: ${said || `status ${code}`}`);
}

const sqliteWorkload = defineCommand({
  name: "deno run -A src/faults/workloads/inside/sqlite.ts",
  summary:
    "commit to databases on a new file system of a disk until standard input ends, and say what is seen",
  options: { disk: text("Name of the disk, as in /dev", { value: "NAME" }) },
  async main({ options: { disk } }) {
    if (disk === undefined) throw new UserError("--disk is needed", { code: 2 });
    await saying((tally, over) =>
      commitOn(new Ext4(disk), { tally, over, round: ROUND_MS, retry: RETRY_MS })
    );
    return 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => sqliteWorkload.run(Deno.args)));
