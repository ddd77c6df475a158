/** Random reads of 4 KiB of a disk in the lab, at a depth, by fio. */
import { z } from "zod";
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { fioArguments, fioJson } from "../src/soak/fio_job.ts";
import { activityBetween, Sampler } from "./sampler.ts";
import { pause } from "../src/pause.ts";

/** Requests under way at a time. */
export const DEPTHS: readonly number[] = [1, 32];

/** Bytes of a request. */
const REQUEST = 4096;

/** Of what fio measures, at its end, milliseconds that are not looked at: those of the processors end before it does. */
const MARGIN_MS = 300;

/** What is used of fio's JSON; times are nanoseconds. */
const fioSchema = z.object({
  jobs: z.tuple([z.object({
    error: z.literal(0),
    read: z.object({
      iops: z.number().positive(),
      clat_ns: z.object({
        percentile: z.object({
          "50.000000": z.number(),
          "99.000000": z.number(),
          "99.900000": z.number(),
        }),
      }),
    }),
  })]),
});

/** What one run came to. */
export interface RandomReads {
  depth: number;
  /** Requests a second. */
  rate: number;
  /** Processors that were busy meanwhile. */
  busy: number;
  /** Microseconds until a request has come back: the longest of so many percent. */
  p50: number;
  p99: number;
  p999: number;
}

/** What is read, and for how long. */
export interface RandomOptions {
  depth: number;
  /** Of the disk, from its start, bytes. */
  range: number;
  /** Milliseconds that are measured, after so many that are not. */
  measured: number;
  warm: number;
}

/** Reads a disk. @throws {UserError} if fio does not come to its end, or a request fails. */
export async function readRandomly(
  lab: Lab,
  disk: string,
  { depth, range, measured, warm }: RandomOptions,
): Promise<RandomReads> {
  await using sampler = new Sampler(lab);
  const options = {
    name: "random",
    filename: `/dev/${disk}`,
    direct: 1,
    ioengine: "libaio",
    iodepth: depth,
    rw: "randread",
    bs: REQUEST,
    size: range,
    norandommap: 1,
    time_based: 1,
    ramp_time: `${warm}ms`,
    runtime: `${measured}ms`,
    "output-format": "json",
  };
  const running = lab.exec(fioArguments(options));
  await pause(warm + MARGIN_MS);
  const before = await sampler.take();
  await pause(measured - 2 * MARGIN_MS);
  const { busy } = activityBetween(before, await sampler.take());
  const { stdout, stderr } = await running;
  const parsed = fioSchema.safeParse(fioJson(stdout));
  if (!parsed.success) throw new UserError(`fio does not read /dev/${disk} to its end: ${stderr.trim()}`);
  const [{ read: { iops, clat_ns: { percentile } } }] = parsed.data.jobs;
  const micro = (percent: keyof typeof percentile) => percentile[percent] / 1000;
  return {
    depth,
    rate: iops,
    busy,
    p50: micro("50.000000"),
    p99: micro("99.000000"),
    p999: micro("99.900000"),
  };
}
