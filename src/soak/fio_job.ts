/** One run of `fio`: the arguments that have it check everything it writes, and what it says afterwards. */
import { z } from "zod";
import { UserError } from "../error.ts";

/** Bytes of a request: several segments, as its memory need not be in one piece. */
export const REQUEST_BYTES = 16 * 1024;

/** What a run of fio does. */
export interface FioJob {
  /** The disk, as a path. */
  path: string;
  /** Requests under way at a time. */
  depth: number;
  /** Requests, reads and writes in equal parts and at random places. What has been written is then read as well. */
  requests: number;
  /** What places and contents follow from. */
  seed: number;
  /**
   * Writes may fail. fio draws the seed of each block's content anew when it verifies, one after the other, and
   * is out of step from the first that failed on. It takes the seed that it finds if it verifies now and then,
   * which here is never before the end. A block is then right if it is whole: it may be of an earlier run.
   */
  mayFail: boolean;
  /** Reads and as many writes a second, at most; default as fast as they go. What verifies goes as fast as it can. */
  rate?: number;
}

/** A request that fio was told has failed. */
export interface FailedIo {
  operation: "read" | "write";
  /** Bytes, both. */
  offset: number;
  length: number;
}

/** What a run of fio did and saw. */
export interface FioRun {
  /** Requests, those that verified included. */
  requests: number;
  /** Bytes of them. */
  bytes: number;
  /** Writes, each of which was read and compared at the end unless it had failed. */
  writes: number;
  seconds: number;
  /** Requests that failed. */
  failed: FailedIo[];
  /** What was read and was not what had been written there: a line of fio's for each. */
  wrong: string[];
}

/**
 * The command line. Without a time limit: fio reads what it has written when all of it is written, and a limit
 * ends it before that. With blocks of one size, so that it also knows which of several writes to a place was
 * the last. Errors are told and counted, and end nothing.
 */
export function fioCommand({ path, depth, requests, seed, mayFail, rate }: FioJob): string[] {
  const options = {
    name: "soak",
    filename: path,
    direct: 1,
    ioengine: "libaio",
    iodepth: depth,
    rw: "randrw",
    bs: REQUEST_BYTES,
    io_size: requests * REQUEST_BYTES,
    allrandrepeat: 0,
    randseed: seed,
    verify: "crc32c",
    verify_interval: 4096,
    verify_state_save: 0,
    verify_fatal: 0,
    continue_on_error: "all",
    error_dump: 1,
    ...mayFail ? { verify_backlog: requests + 1 } : {},
    ...rate === undefined ? {} : { rate_iops: rate },
    "output-format": "json",
  };
  return fioArguments(options);
}

/** A command line of fio with these options. */
export function fioArguments(options: Readonly<Record<string, string | number>>): string[] {
  return ["fio", ...Object.entries(options).map(([name, value]) => `--${name}=${value}`)];
}

/** The JSON in what fio has written on standard output, among other lines; undefined if there is none. */
export function fioJson(stdout: string): unknown {
  const begin = stdout.indexOf("{");
  return begin < 0 ? undefined : JSON.parse(stdout.slice(begin, stdout.lastIndexOf("}") + 1));
}

const directionSchema = z.object({ total_ios: z.number(), io_bytes: z.number() });

/** Of fio's JSON, what is used here. */
const outputSchema = z.object({
  jobs: z.tuple([z.object({
    read: directionSchema,
    write: directionSchema,
    job_runtime: z.number(),
    error: z.number(),
    total_err: z.number().optional(),
  })]),
});

const IO_ERROR = /^fio: io_u error on file .*: (read|write) offset=(\d+), buflen=(\d+)$/;

/** The request that a line of fio's says has failed; undefined of any other line. */
export function parseFailed(line: string): FailedIo | undefined {
  const parts = IO_ERROR.exec(line.trim());
  return parts
    ? {
      operation: parts[1] as FailedIo["operation"],
      offset: Number(parts[2]),
      length: Number(parts[3]),
    }
    : undefined;
}

/** The first line for a block that is wrong; others may follow with what was found there. */
const WRONG = /^(verify: |fio: verify |crc32c: verify failed)/;

/**
 * Reads what a run of fio wrote on standard output and standard error.
 * @throws {UserError} if it did not come to its end, or counts errors that it does not name.
 */
export function parseFio({ stdout, stderr }: { stdout: string; stderr: string }): FioRun {
  const said = stderr.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const parsed = outputSchema.safeParse(fioJson(stdout));
  if (!parsed.success) {
    throw new UserError(`fio did not come to its end: ${said.at(-1) ?? stdout.trim() ?? "it said nothing"}`);
  }
  const [{ read, write, job_runtime, error, total_err = 0 }] = parsed.data.jobs;
  const failed = said.flatMap((line) => parseFailed(line) ?? []);
  const wrong = said.filter((line) => WRONG.test(line));
  if (failed.length + wrong.length < total_err) {
    throw new UserError(
      `fio counts ${total_err} errors and names ${failed.length + wrong.length} of them: ${said.at(-1)}`,
    );
  }
  if (error !== 0 && failed.length + wrong.length === 0) {
    throw new UserError(`fio ended with error ${error}: ${said.at(-1) ?? "it does not say of what"}`);
  }
  return {
    requests: read.total_ios + write.total_ios,
    bytes: read.io_bytes + write.io_bytes,
    writes: write.total_ios,
    seconds: job_runtime / 1000,
    failed,
    wrong,
  };
}
