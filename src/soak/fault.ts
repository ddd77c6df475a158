/** Ending a driver on purpose, and seeing that it is noticed for what it was and that another takes over. */
import { pause } from "../pause.ts";
import type { KillWay } from "../supervisor/contract.ts";
import type { EndKind, Reason } from "../supervisor/schema.ts";
import type { Finding } from "../verdict.ts";
import type { DriverRun } from "./driver_run.ts";
import { distribution } from "../statistics.ts";

/** The reason that the supervisor must give for each way of ending. */
export const EXPECTED: Readonly<Record<KillWay, EndKind>> = {
  kill: "signal",
  stall: "stall",
  exception: "exception",
  exit: "exit",
  "out-of-memory": "out-of-memory",
};

/** Ways in which soaks end a driver, in turn. */
export const WAYS: readonly KillWay[] = ["kill", "stall", "exception"];

/** One end that was asked for, and what came of it. */
export interface Fault {
  how: KillWay;
  /** What the supervisor said of it. */
  reason: Reason;
  /** The next process was a spare that had been waiting. */
  spare: boolean;
  /** How long work had waited when the kernel saw a stall, milliseconds; only for stalls. */
  waited?: number;
  /** Ids of the events between which it lies. */
  from: number;
  to: number;
}

/**
 * Ends the driver and waits until the next one is ready.
 * @throws {UserError} if that does not come, or nobody is to take over.
 */
export async function fault(run: DriverRun, how: KillWay): Promise<Fault> {
  const from = run.lastId;
  await run.kill(how);
  return await followFault(run, how, from);
}

/** Waits for the end that comes after the event `from`, and until the next driver is ready. */
export async function followFault(run: DriverRun, how: KillWay, from: number): Promise<Fault> {
  const { reason, waited, id } = await run.next("ended", { after: from });
  const starting = await run.next("starting", { after: id });
  const ready = await run.next("ready", { after: starting.id });
  return { how, reason, waited, spare: starting.spare, from, to: ready.id };
}

/**
 * Ends the driver again and again, in turn in each of these ways, until told that it is over.
 * @param options `every`: milliseconds that each driver has at least, from being ready to its end: until a spare
 * is ready to take over, unless `spare` is false. `busy`: waited for before each end; is it over by then, there is
 * none.
 */
export async function faultLoop(
  run: DriverRun,
  options: {
    ways: readonly KillWay[];
    every: number;
    over: AbortSignal;
    spare?: boolean;
    busy?: () => Promise<void>;
    onFault?: (fault: Fault) => void;
  },
): Promise<Fault[]> {
  const { ways, every, over, spare: wanted = true, busy = () => Promise.resolve(), onFault = () => {} } =
    options;
  const aborted = new Promise<void>((resolve) =>
    over.addEventListener("abort", () => resolve(), { once: true })
  );
  const faults: Fault[] = [];
  for (;;) {
    const after = faults.at(-1)?.to;
    const spare = after === undefined || !wanted
      ? undefined
      : run.next("spare", { after, where: ({ state }) => state === "ready" });
    // It may well not come when nobody waits for it any more.
    spare?.catch(() => {});
    await Promise.race([Promise.all([pause(every, over), spare]), aborted]);
    if (!over.aborted) await busy();
    if (over.aborted) return faults;
    faults.push(await fault(run, ways[faults.length % ways.length]));
    onFault(faults[faults.length - 1]);
  }
}

/** What was seen of the ends of one way. */
export interface FaultSummary {
  how: KillWay;
  count: number;
  /** Of them, how many the supervisor gave the right reason for. */
  right: number;
  /** Of them, how many found a spare ready. */
  spares: number;
  /** Recovery times, kernel's word of death to first frame, milliseconds; one ended before its first frame has none. */
  recoveries: number[];
}

/** Summaries by way, in the order of the ways. */
export function summarise(run: Pick<DriverRun, "events">, faults: readonly Fault[]): FaultSummary[] {
  const ways = [...new Set(faults.map(({ how }) => how))];
  return ways.map((how) => {
    const own = faults.filter((one) => one.how === how);
    return {
      how,
      count: own.length,
      right: own.filter(({ reason }) => reason.kind === EXPECTED[how]).length,
      spares: own.filter(({ spare }) => spare).length,
      recoveries: own.flatMap((one) => recoveryOf(run, one)),
    };
  });
}

/** The recovery time of a fault: that of the first frame before the next end, if there was one. */
function recoveryOf({ events }: Pick<DriverRun, "events">, { from }: Fault): number[] {
  const ended = events.findIndex(({ id, type }) => id > from && type === "ended");
  for (const event of events.slice(ended + 1)) {
    if (event.type === "ended") return [];
    if (event.type === "recovered") return event.frame ? [event.ms] : [];
  }
  return [];
}

/** Ends with another reason than asked for, and ends that nobody asked for, a line each. */
export function faultProblems(run: Pick<DriverRun, "events">, faults: readonly Fault[]): string[] {
  const wrong = faults.filter(({ how, reason }) => reason.kind !== EXPECTED[how]).map(({ how, reason }) =>
    `faults: "${how}" was reported as "${reason.kind}": ${reason.text}`
  );
  const ends = run.events.filter(({ type }) => type === "ended").length;
  return ends === faults.length
    ? wrong
    : [...wrong, `faults: ${faults.length} were made, and the supervisor saw ${ends} ends`];
}

/** Ways of {@link WAYS} in which nothing was ended, a line each. @param why And what to do. */
export function untriedWays(faults: readonly Fault[], why: string): string[] {
  return WAYS.filter((way) => faults.every(({ how }) => how !== way))
    .map((way) => `faults: none was "${way}": ${why}`);
}

/** What was seen of the ends, a line for each way. */
export function faultFindings(faults: readonly FaultSummary[]): Finding[] {
  return faults.map(({ how, count, right, recoveries }) => ({
    name: `faults: ${how}`,
    found: `${count}, ${right} reported as "${EXPECTED[how]}"; ${recoveryText(recoveries)}`,
    ok: right === count,
  }));
}

/** Recovery times in a few words: `p50 212 ms, p99 480 ms, mean 230 ms`. */
export function recoveryText(recoveries: readonly number[]): string {
  const times = distribution(recoveries);
  if (!times) return "no recovery seen";
  const ms = (value: number) => `${Math.round(value)} ms`;
  return `recovery p50 ${ms(times.p50)}, p99 ${ms(times.p99)}, mean ${ms(times.mean)}`;
}
