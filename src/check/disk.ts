/**
 * The check of a disk, where the disk is: writes it, reads it back and compares, then makes a file system, copies
 * a tree to it, and looks whether all of it is there and sound. What the disk held is lost. Prints what it found
 * as JSON; progress goes to standard error.
 */
import { defineCommand, integer, size, text } from "../cli/args.ts";
import { exitStatus } from "../cli/exit.ts";
import { UserError } from "../error.ts";
import { parseDiskStat } from "../run/disk.ts";
import { formatSize, grouped } from "../size.ts";
import { type Finding, formatVerdict, verdictOf } from "../verdict.ts";
import { equalBytes, Words } from "./content.ts";

/** Bytes that are written and compared at a time. */
const CHUNK = 2 ** 20;

/** Bytes that went to a disk or came from it, and how long it took. */
export interface DiskTransfer {
  bytes: number;
  seconds: number;
}

/** What was found. A part that could not be carried out is null. */
export interface DiskCheck {
  /** All that was asked for was done, and all of it held. */
  ok: boolean;
  /** What did not hold, a line each. */
  problems: string[];
  disk: string;
  written: DiskTransfer | null;
  read: DiskTransfer | null;
  /** Of the tree that was copied. */
  tree: DiskTransfer & { files: number } | null;
  /** The file system was sound when it was unmounted. */
  sound: boolean | null;
  seconds: number;
}

/** What to check. */
export interface DiskCheckOptions {
  /** Its name, as in /dev. */
  disk: string;
  /** To write and read back. */
  bytes: number;
  /** The folder to copy. */
  tree: string;
  /** What the content follows from. */
  seed: number;
  progress?: (line: string) => void;
  /** Where disks are, and what is told of them. */
  places?: { dev: string; sys: string };
  /** Runs a program; its status. */
  run?: (command: string, args: string[]) => Promise<number>;
}

async function runProgram(command: string, args: string[]): Promise<number> {
  const { code, stderr } = await new Deno.Command(command, { args, stdin: "null", stdout: "null" }).output();
  if (code !== 0) console.error(new TextDecoder().decode(stderr).trim());
  return code;
}

/**
 * Runs the check. A part that fails does not keep the others from being tried.
 * @throws {UserError} if there is no such disk.
 */
export async function checkDisk(options: DiskCheckOptions): Promise<DiskCheck> {
  const { disk, bytes, seed, tree, progress = () => {}, run = runProgram } = options;
  const { dev, sys } = options.places ?? { dev: "/dev", sys: "/sys" };
  const path = `${dev}/${disk}`;
  const counters = async () => parseDiskStat(await Deno.readTextFile(`${sys}/block/${disk}/stat`));
  const begin = performance.now();
  const before = await counters().catch((cause) => {
    throw new UserError(`There is no disk ${disk}`, { cause });
  });
  const result: DiskCheck = {
    ok: false,
    problems: [],
    disk,
    written: null,
    read: null,
    tree: null,
    sound: null,
    seconds: 0,
  };
  const must = async (command: string, ...args: string[]) => {
    const code = await run(command, args);
    if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with status ${code}`);
  };
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
    progress(what);
    try {
      return await work();
    } catch (error) {
      result.problems.push(`${what}: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  };

  result.written = await attempt("write", () => write(path, { bytes, seed }));
  if (result.written) {
    result.read = await attempt("read", async () => {
      // What is read back must come from the disk, not from the kernel's memory.
      await must("blockdev", "--flushbufs", path);
      return await compare(path, { bytes, seed });
    });
  }
  const mount = await Deno.makeTempDir({ prefix: "ring3-check-" });
  try {
    result.tree = await attempt("file system", async () => {
      await must("mkfs.ext4", "-q", "-F", path);
      await must("mount", "-t", "ext4", path, mount);
      const start = performance.now();
      let copied: { files: number; bytes: number };
      try {
        copied = await copy(tree, `${mount}/tree`);
      } finally {
        await must("umount", mount);
      }
      result.sound = await run("fsck.ext4", ["-f", "-n", path]) === 0;
      if (!result.sound) throw new Error("fsck.ext4 finds it damaged");
      await must("mount", "-t", "ext4", "-o", "ro", path, mount);
      try {
        await compareTrees(tree, `${mount}/tree`);
      } finally {
        await must("umount", mount);
      }
      return { ...copied, seconds: (performance.now() - start) / 1000 };
    });
  } finally {
    // A folder that could not be unmounted is left, with what is in it.
    await Deno.remove(mount).catch(() => {});
  }
  const after = await attempt("counters", counters);
  if (after && result.read) {
    const carried = {
      readBytes: after.readBytes - before.readBytes,
      written: after.writtenBytes - before.writtenBytes,
    };
    if (carried.readBytes < bytes || carried.written < bytes) {
      result.problems.push(
        `${disk} did not carry this: it counted ${grouped(carried.readBytes)} bytes read and ` +
          `${grouped(carried.written)} written where the check had ${grouped(bytes)} each`,
      );
    }
  }
  result.seconds = (performance.now() - begin) / 1000;
  result.ok = result.problems.length === 0;
  return result;
}

/** Writes the content of a seed, and waits until the disk has it. */
async function write(path: string, { bytes, seed }: { bytes: number; seed: number }): Promise<DiskTransfer> {
  const start = performance.now();
  const words = new Words(seed);
  const chunk = new Uint32Array(CHUNK / 4);
  using file = await Deno.open(path, { write: true });
  for (let at = 0; at < bytes; at += CHUNK) {
    words.fill(chunk);
    const part = new Uint8Array(chunk.buffer, 0, Math.min(CHUNK, bytes - at));
    for (let done = 0; done < part.length;) done += await file.write(part.subarray(done));
  }
  await file.sync();
  return { bytes, seconds: (performance.now() - start) / 1000 };
}

/** Reads it back. @throws {Error} that says where it first differs. */
async function compare(
  path: string,
  { bytes, seed }: { bytes: number; seed: number },
): Promise<DiskTransfer> {
  const start = performance.now();
  const words = new Words(seed);
  const chunk = new Uint32Array(CHUNK / 4);
  const read = new Uint8Array(CHUNK);
  using file = await Deno.open(path, { read: true });
  for (let at = 0; at < bytes; at += CHUNK) {
    words.fill(chunk);
    const expected = new Uint8Array(chunk.buffer, 0, Math.min(CHUNK, bytes - at));
    const found = read.subarray(0, expected.length);
    for (let done = 0; done < found.length;) {
      const more = await file.read(found.subarray(done));
      if (more === null) throw new Error(`it ends at byte ${grouped(at + done)}`);
      done += more;
    }
    if (equalBytes(found, expected)) continue;
    const first = found.findIndex((byte, i) => byte !== expected[i]);
    throw new Error(`byte ${grouped(at + first)} is not what was written`);
  }
  return { bytes, seconds: (performance.now() - start) / 1000 };
}

/** Copies regular files and folders. */
async function copy(from: string, to: string): Promise<{ files: number; bytes: number }> {
  await Deno.mkdir(to);
  const sum = { files: 0, bytes: 0 };
  for await (const { name, isFile, isDirectory } of Deno.readDir(from)) {
    if (isFile) {
      await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
      sum.files++;
      sum.bytes += (await Deno.stat(`${from}/${name}`)).size;
    }
    if (!isDirectory) continue;
    const below = await copy(`${from}/${name}`, `${to}/${name}`);
    sum.files += below.files;
    sum.bytes += below.bytes;
  }
  return sum;
}

/** @throws {Error} that names the first file of `from` that is not the same in `to`. */
async function compareTrees(from: string, to: string): Promise<void> {
  for await (const { name, isFile, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await compareTrees(`${from}/${name}`, `${to}/${name}`);
    if (!isFile) continue;
    const [one, other] = await Promise.all([from, to].map((folder) => Deno.readFile(`${folder}/${name}`)));
    if (!equalBytes(one, other)) throw new Error(`${from}/${name} came back changed`);
  }
}

/** The result as a table for people, with what did not hold below it. */
export function formatDiskCheck(result: DiskCheck): string {
  const { disk, written, read, tree, sound, seconds, problems } = result;
  const failed = (part: string) => problems.some((problem) => problem.startsWith(`${part}:`));
  const rate = ({ bytes, seconds }: DiskTransfer) =>
    `${formatSize(bytes)} in ${seconds.toFixed(1)} s, ${(bytes / 2 ** 20 / seconds).toFixed(1)} MiB/s`;
  const findings: Finding[] = [
    { name: "write", found: written ? rate(written) : "not done", ok: !failed("write") },
    { name: "read", found: read ? `${rate(read)}, as written` : "not done", ok: read !== null },
    {
      name: "file system",
      found: tree
        ? `${grouped(tree.files)} files of ${grouped(tree.bytes)} bytes copied and compared`
        : sound === false
        ? "damaged"
        : "not done",
      ok: !failed("file system"),
    },
  ];
  return formatVerdict(
    `Check of ${disk}: ${verdictOf(problems)}, in ${seconds.toFixed(1)} s`,
    findings,
    problems,
  );
}

const diskCommand = defineCommand({
  name: "deno run -A src/check/disk.ts",
  summary: "write a disk over, compare what comes back, and print what was found as JSON",
  options: {
    disk: text("Its name, as in /dev; what it holds is lost", { value: "NAME" }),
    bytes: size("To write and to read back", { default: "256MiB" }),
    tree: text("The folder to copy to a file system on it", { value: "FOLDER", default: "src" }),
    seed: integer("What the content follows from", { value: "N", min: 0, max: 2 ** 31 - 1, default: 1 }),
  },
  async main({ options: { disk, bytes, tree, seed } }) {
    if (disk === undefined || tree === undefined) throw new UserError("--disk is needed", { code: 2 });
    const result = await checkDisk({ disk, bytes, tree, seed, progress: (line) => console.error(line) });
    console.log(JSON.stringify(result));
    return result.ok ? 0 : 1;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => diskCommand.run(Deno.args)));
