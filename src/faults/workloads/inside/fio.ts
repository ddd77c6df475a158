/**
 * fio on a disk without a pause: run after run that verifies what it has written, and beside them a read now and
 * then, so that something is asked of the disk also while one run ends and the next begins.
 */
import { sendSignal } from "../../../child.ts";
import { defineCommand, flag, integer, text } from "../../../cli/args.ts";
import { exitStatus } from "../../../cli/exit.ts";
import { UserError } from "../../../error.ts";
import { lines } from "../../../lines.ts";
import { pause } from "../../../pause.ts";
import {
  fioArguments,
  fioCommand,
  type FioRun,
  parseFailed,
  parseFio,
  REQUEST_BYTES,
} from "../../../soak/fio_job.ts";
import { saying, type Tally } from "./tally.ts";

/** Bytes of what /sys counts a disk's size in. */
const SECTOR = 512;

/** Requests under way at a time. */
const DEPTH = 8;

/** Reads and as many writes a second: an emulated processor has others to serve besides. */
const RATE = 100;

/** What a run is to take undisturbed, milliseconds. */
const RUN_MS = 2000;

/** Requests of the first run, and of any at least and at most. */
const REQUESTS = { first: 200, least: 100, most: 32_768 };

/** Reads a second beside the runs: what is seen of the time in which nothing ends is as fine as that. */
const BESIDE = 50;

/** How often it is looked what the disk has done, milliseconds. */
const LOOK_MS = 20;

/** How long nothing is tried after a run that could not be carried out, milliseconds. */
const RETRY_MS = 1000;

/** What a disk has done so far, of `/sys/block/NAME/stat` (Documentation/block/stat.rst): reads and writes. */
export function requestsIn(stat: string): number {
  const [reads, , , , writes] = stat.trim().split(/\s+/).map(Number);
  return reads + writes;
}

/** Counts what a disk does, and leaves out what fio says has failed: the kernel counts both. */
export class Watch {
  readonly #tally: Tally;
  #seen?: number;
  #failed = 0;

  constructor(tally: Tally) {
    this.#tally = tally;
  }

  /** Requests have ended, whose count is that. A disk that is not there has none. */
  look(requests: number | undefined): void {
    // A disk that has come back counts from zero.
    const ended = requests === undefined || this.#seen === undefined ? 0 : Math.max(0, requests - this.#seen);
    this.#seen = requests;
    const failed = Math.min(ended, this.#failed);
    this.#failed -= failed;
    if (ended > failed) this.#tally.well(ended - failed);
  }

  /** A line that fio has said on standard error. */
  said(line: string): void {
    if (!parseFailed(line)) return;
    this.#failed++;
    this.#tally.failed(line);
  }
}

/**
 * How many requests the next run has, by what the last did. Time in which nothing moved makes the next shorter.
 * @param places Requests that fill the disk: no place is written twice in one run, of which fio loses count.
 */
export function nextRequests(
  { requests, seconds }: Pick<FioRun, "requests" | "seconds">,
  { places }: { places: number },
): number {
  const wanted = requests / Math.max(seconds, 0.001) * RUN_MS / 1000;
  return Math.round(Math.min(places, REQUESTS.most, Math.max(REQUESTS.least, wanted)));
}

/**
 * What a run has found wrong. Where a request has failed and the run did not take that into account, fio is out of
 * step from there on (see `FioJob.mayFail`), and what it finds wrong says nothing.
 */
export function wrongIn({ failed, wrong }: FioRun, { mayFail }: { mayFail: boolean }): string[] {
  return failed.length > 0 && !mayFail ? [] : wrong;
}

/** Starts fio elsewhere than in the checkout, where nothing can be written. `heard` gets its lines of errors. */
function start(argv: readonly string[], heard: (line: string) => void) {
  const child = new Deno.Command(argv[0], {
    args: argv.slice(1),
    cwd: "/tmp",
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const ended = (async () => {
    const stdout = new Response(child.stdout).text();
    for await (const line of lines(child.stderr)) heard(line);
    await child.status;
    return await stdout;
  })();
  return { child, ended };
}

/** Reads now and then until it is over. */
async function readBeside(path: string, { watch, over }: { watch: Watch; over: AbortSignal }): Promise<void> {
  const argv = fioArguments({
    name: "beside",
    filename: path,
    direct: 1,
    ioengine: "psync",
    rw: "randread",
    bs: 4096,
    rate_iops: BESIDE,
    time_based: 1,
    runtime: "1000d",
    continue_on_error: "all",
  });
  while (!over.aborted) {
    const { child, ended } = start(argv, (line) => watch.said(line));
    const stop = () => sendSignal(child, "SIGINT");
    over.addEventListener("abort", stop);
    // Why it ends is what the runs say of themselves.
    await ended;
    over.removeEventListener("abort", stop);
    await pause(RETRY_MS, over);
  }
}

/** Runs fio again and again until it is over. */
async function runOn(
  disk: string,
  options: { tally: Tally; watch: Watch; over: AbortSignal; seed: number; mayFail: boolean },
): Promise<void> {
  const { tally, watch, over, mayFail } = options;
  const path = `/dev/${disk}`;
  const places = Math.floor(sizeOf(disk) / REQUEST_BYTES);
  let requests = Math.min(places, REQUESTS.first);
  for (let { seed } = options; !over.aborted; seed++) {
    const said: string[] = [];
    const stdout = await start(
      fioCommand({ path, depth: DEPTH, requests, seed, mayFail, rate: RATE }),
      (line) => {
        watch.said(line);
        said.push(line);
      },
    ).ended;
    try {
      const run = parseFio({ stdout, stderr: said.join("\n") });
      for (const line of wrongIn(run, { mayFail })) tally.wrong(line);
      requests = nextRequests(run, { places });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      tally.failed(error.message);
      await pause(RETRY_MS, over);
    }
  }
}

/** What the kernel says of a disk; undefined if there is none. */
function saysOf(disk: string, what: "size" | "stat"): string | undefined {
  try {
    return Deno.readTextFileSync(`/sys/block/${disk}/${what}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Bytes of a disk. @throws {UserError} if there is none. */
function sizeOf(disk: string): number {
  const sectors = saysOf(disk, "size");
  if (sectors === undefined) throw new UserError(`There is no disk ${disk}`);
  return Number(sectors) * SECTOR;
}

/** What a disk has done so far; undefined if there is none. */
function requestsOf(disk: string): number | undefined {
  const stat = saysOf(disk, "stat");
  return stat === undefined ? undefined : requestsIn(stat);
}

const fioWorkload = defineCommand({
  name: "deno run -A src/faults/workloads/inside/fio.ts",
  summary: "have fio write, read and verify on a disk until standard input ends, and say what it sees",
  options: {
    disk: text("Name of the disk, as in /sys/block", { value: "NAME" }),
    seed: integer("What places and contents follow from", {
      value: "N",
      min: 0,
      max: 2 ** 31 - 1,
      default: 1,
    }),
    "may-fail": flag("Requests fail while the driver is away, as its manifest has it"),
  },
  async main({ options: { disk, seed, "may-fail": mayFail } }) {
    if (disk === undefined) throw new UserError("--disk is needed", { code: 2 });
    await saying(async (tally, over) => {
      const watch = new Watch(tally);
      const look = setInterval(() => watch.look(requestsOf(disk)), LOOK_MS);
      try {
        await Promise.all([
          readBeside(`/dev/${disk}`, { watch, over }),
          runOn(disk, { tally, watch, over, seed, mayFail }),
        ]);
      } finally {
        clearInterval(look);
      }
    });
    return 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => fioWorkload.run(Deno.args)));
