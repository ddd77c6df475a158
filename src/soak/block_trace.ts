/**
 * What the kernel's own trace tells of a disk while it is soaked: which of its requests failed, and when it had
 * no driver. All times are of one clock, so that a failure can be laid to a death, or to none.
 */
import { UserError } from "../error.ts";
import type { Lab } from "../lab/mod.ts";
import type { FailedIo } from "./fio_job.ts";
import { sh } from "./lab.ts";

/** Where a guest has its trace. */
const TRACING = "/sys/kernel/tracing";

/** Room for what is traced, for each processor; some hundred thousand lines. */
const ROOM_KIB = 16 * 1024;

/** Bytes in which the kernel counts. */
const SECTOR = 512;

/** A request that failed. */
export interface TracedFailure {
  /** Seconds. */
  at: number;
  operation: "read" | "write" | "other";
  sector: number;
  sectors: number;
}

/** A time without a driver, seconds: from when one was taken from its port to when the next came to it. */
export interface Gap {
  from: number;
  /** Infinity if none has come yet. */
  to: number;
}

/** What was traced of one disk, in order. */
export interface BlockTrace {
  failures: TracedFailure[];
  gaps: Gap[];
}

/** Begins to trace. @throws {UserError} if the lab's kernel cannot, or `ring3.ko` is not loaded. */
export async function startBlockTrace(lab: Lab): Promise<void> {
  await sh(
    lab,
    `cd ${TRACING}; echo 0 > tracing_on; echo mono > trace_clock; echo ${ROOM_KIB} > buffer_size_kb
    echo 'p:ring3/detach r3_block_detach' >> kprobe_events
    echo 'p:ring3/attach r3_block_attach' >> kprobe_events
    echo 1 > events/ring3/enable; echo 1 > events/block/block_rq_error/enable
    echo > trace; echo 1 > tracing_on`,
  );
}

/** Ends the trace, and reads what it has of a disk. @throws {UserError} if the trace had no room for all. */
export async function endBlockTrace(lab: Lab, disk: string): Promise<BlockTrace> {
  const device = (await sh(lab, `cat /sys/block/${disk}/dev`)).trim();
  const text = await sh(
    lab,
    `cd ${TRACING}; echo 0 > tracing_on; cat trace
    echo 0 > events/block/block_rq_error/enable; echo 0 > events/ring3/enable
    echo -:ring3/detach >> kprobe_events; echo -:ring3/attach >> kprobe_events`,
  );
  return parseBlockTrace(text, device);
}

const LINE = /^.*?\s(\d+\.\d+): (\w+): (.*)$/;
const FAILURE = /^(\d+,\d+) (\S+) \(.*\) (\d+) \+ (\d+) .*\[-?\d+\]$/;
const WRITTEN = /entries-in-buffer\/entries-written: (\d+)\/(\d+)/;

/**
 * Reads the text of a trace.
 * @param device Of the disk, as in sysfs: `259:0`.
 * @throws {UserError} if something has been lost from it.
 */
export function parseBlockTrace(text: string, device: string): BlockTrace {
  const [, kept, written] = WRITTEN.exec(text) ?? [];
  if (kept === undefined || kept !== written) {
    throw new UserError(`The trace of the lab's kernel holds ${kept ?? "none"} of ${written ?? "its"} lines`);
  }
  const trace: BlockTrace = { failures: [], gaps: [] };
  for (const line of text.split("\n")) {
    const [, time, event, detail] = LINE.exec(line) ?? [];
    const at = Number(time);
    const last = trace.gaps.at(-1);
    if (event === "detach") trace.gaps.push({ from: at, to: Infinity });
    else if (event === "attach" && last) last.to = at;
    else if (event === "block_rq_error") {
      const [, of, kind, sector, sectors] = FAILURE.exec(detail) ?? [];
      if (of === undefined) throw new UserError(`The trace of the lab's kernel has a strange line: ${line}`);
      if (of !== device.replace(":", ",")) continue;
      const operation = kind.startsWith("R") ? "read" : kind.startsWith("W") ? "write" : "other";
      trace.failures.push({ at, operation, sector: Number(sector), sectors: Number(sectors) });
    }
  }
  return trace;
}

/**
 * What is wrong with the errors of a run under the policy `fail`, a line each: one that fio saw and the kernel
 * did not give; one that the kernel gave while a driver served the disk; and more at one death than there can
 * have been under way. New requests wait while there is no driver, so the last would be some that did not.
 */
export function failureProblems(
  { failures, gaps }: BlockTrace,
  { failed, depth }: { failed: readonly FailedIo[]; depth: number },
): string[] {
  const given = (one: FailedIo) =>
    failures.some(({ operation, sector, sectors }) =>
      operation === one.operation && sector * SECTOR <= one.offset &&
      one.offset + one.length <= (sector + sectors) * SECTOR
    );
  const unknown = failed.filter((one) => !given(one)).map(({ operation, offset }) =>
    `errors: fio saw a ${operation} at byte ${offset} fail, and the kernel did not`
  );
  const within = ({ from, to }: Gap) => failures.filter(({ at }) => at >= from && at < to);
  const elsewhere = failures.filter(({ at }) => !gaps.some(({ from, to }) => at >= from && at < to))
    .map(({ at, operation, sector }) =>
      `errors: a ${operation} at sector ${sector} failed at ${at} s, while a driver served the disk`
    );
  const many = gaps.filter((gap) => within(gap).length > depth).map((gap) =>
    `errors: ${within(gap).length} requests failed at the death at ${gap.from} s, with ${depth} under way`
  );
  return [...unknown, ...elsewhere, ...many];
}
