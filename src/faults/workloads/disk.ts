/** Workloads on a disk, all of which they use: what was there before is lost. */
import type { Lab } from "../../lab/mod.ts";
import { followIn, inside, start } from "./programs.ts";
import type { Workload } from "./workload.ts";

/** What both of them may be told. */
export interface DiskOptions {
  /** Name of the disk, as in /dev; default `r3b0`. */
  disk?: string;
}

/** How fio goes about it. */
export interface FioOptions extends DiskOptions {
  /** What places and contents follow from; default 1. Each run takes the next. */
  seed?: number;
  /**
   * Requests fail while the driver is away, as its manifest has it (`onDeath: "fail"`). A block then counts as right
   * if it is whole, be it of an earlier run. Default false: what is found wrong by a run of which a request has failed
   * all the same is not told, for fio is out of step then.
   */
  mayFail?: boolean;
}

/**
 * Runs of fio of some two seconds, eight requests at a time, that read and write at random and verify what they
 * wrote; beside them 50 small reads a second, also between runs. An operation is a request that the disk has carried
 * out. What fio is told has failed is failed, and what it finds to be other than it wrote is wrong.
 * @throws {UserError} if no request ends well in time.
 */
export async function startFio(lab: Lab, options: FioOptions = {}): Promise<Workload> {
  const { disk = "r3b0", seed = 1, mayFail = false } = options;
  const argv = [...inside("fio"), "--disk", disk, "--seed", `${seed}`, ...mayFail ? ["--may-fail"] : []];
  return await followIn(lab, [start(lab, argv, { name: "fio", tells: true })]);
}

/**
 * Two SQLite databases on a new ext4 that commit (`src/soak/database.ts`), in rounds of half a minute, each of which
 * is read from the disk and checked while the next commits. An operation is a commit. Wrong is what SQLite or the
 * check finds, a commit that was acknowledged and is not there, and a file system that fsck cannot repair, in whose
 * place another is made. An error has failed; the file system is then unmounted, repaired and mounted again.
 * @throws {UserError} if nothing is committed in time.
 */
export async function startSqlite(lab: Lab, { disk = "r3b0" }: DiskOptions = {}): Promise<Workload> {
  const argv = [...inside("sqlite"), "--disk", disk];
  return await followIn(lab, [start(lab, argv, { name: "the databases", tells: true })]);
}
