/** What became of a fault: told from what the application, the supervisor, the kernel and a twin saw of it. */
import type { Event, Reason } from "../../supervisor/schema.ts";
import type { Condition } from "../schema.ts";
import type { Word } from "../workloads/mod.ts";

/**
 * All outcomes, from the most harmless to the worst. What is worse is told, if several hold.
 *
 * - `unreached`: its time never came, as far as the driver that has it tells
 * - `refused`: the version with it never got as far as the device
 * - `nothing`: it was committed, and nobody saw anything of it
 * - `unseen`: the driver ended, another took over, and the application saw nothing of that
 * - `delay`: the application waited longer than usual
 * - `error`: the application was told of an error
 * - `hung`: the application got nothing done until the fault was taken away: nobody had noticed
 * - `given-up`: the supervisor does not start the driver any more
 * - `corruption`: the application got other content than was sent or written
 * - `harm`: the kernel complained, the machine ended, or the twin saw errors, wrong content or its driver's end
 */
export const OUTCOMES = [
  "unreached",
  "refused",
  "nothing",
  "unseen",
  "delay",
  "error",
  "hung",
  "given-up",
  "corruption",
  "harm",
] as const;

/** What became of a fault. */
export type Outcome = (typeof OUTCOMES)[number];

/** Outcomes in which a fault did not manifest itself. */
const QUIET: readonly Outcome[] = ["unreached", "refused", "nothing"];

/** Outcomes after which the driver serves again, without anybody's help. */
const RECOVERED: readonly Outcome[] = ["unseen", "delay", "error", "corruption"];

/** Whether a fault showed itself. */
export function isManifested(outcome: Outcome): boolean {
  return !QUIET.includes(outcome);
}

/** Whether the driver served again by itself. */
export function isRecovered(outcome: Outcome): boolean {
  return RECOVERED.includes(outcome);
}

/** Which conditions of a campaign an outcome breaks. */
const BROKEN: { [Name in Outcome]?: readonly Condition[] } = {
  hung: ["recovered"],
  "given-up": ["recovered"],
  corruption: ["content"],
  harm: ["machine", "kernel", "twin"],
};

/** Whether all of what must hold does after this outcome. */
export function hold(holds: readonly Condition[], outcome: Outcome): boolean {
  return !(BROKEN[outcome] ?? []).some((condition) => holds.includes(condition));
}

/** What is usual for a workload: the longest time without an operation, milliseconds, with nothing at fault. */
export interface Usual {
  gap: number;
}

/** A time without an operation that ended well counts as a delay from so many times the usual on, and so many milliseconds. */
const DELAY = { times: 3, ms: 150 };

/**
 * An application that has done nothing for so long when a fault is taken away was hung, milliseconds: by then the
 * kernel would have ended a driver that keeps a request longer than its manifest lets it.
 */
export const HUNG_MS = 4500;

/** Longest text that is kept of what somebody said, characters. */
const LONGEST_TEXT = 300;

/** A twin that has done nothing for so long stands still, and so most likely does the machine; milliseconds. */
const STANDSTILL_MS = 15_000;

/** Everything seen from one fault until the next. Times are of the guest's clock, milliseconds since the epoch. */
export interface Seen {
  /** When the version with the fault got the device, or the act was begun; undefined if it was refused. */
  from?: number;
  /** Why it was refused. */
  refused?: string;
  /** Whether it came with a process that took over from another, rather than to the one that ran. */
  takesOver: boolean;
  /** The label that its process's end carries; undefined for an act. */
  label?: string;
  /** Whether the driver says when the fault is committed. */
  tells: boolean;
  /** Of the driver, in order. Its end on request, or by the next fault, is the fault being taken away. */
  events: readonly Event[];
  words: readonly Word[];
  /** Of the twin: what its supervisor and its application told, and for how long that has done nothing by now, milliseconds. */
  twin: { events: readonly Event[]; words: readonly Word[]; idle: number };
  /** What the kernel complained of. */
  kernel: readonly string[];
  /** Whether the application went on in the end with a driver that was ready; if not, whether that is given up. */
  stands: boolean;
  givenUp: boolean;
}

/** What is told of a fault. */
export interface Judgement {
  outcome: Outcome;
  /** Why its process ended; null if it did not by itself. */
  reason: Pick<Reason, "kind" | "text"> | null;
  /** From the fault until the supervisor told of the end, milliseconds; null without an end, or if nobody knows when it was committed. */
  detection: number | null;
  /** From the kernel's word of the death to the first frame or request through the next driver, milliseconds; null without one. */
  recovery: number | null;
  /** Longest time without an operation while the fault was there or its driver replaced, milliseconds. */
  gap: number;
  failed: number;
  wrong: number;
  /** Ends until the driver stood again; more than one if the device or the kernel was left in a state that the next could not use. */
  ends: number;
  /** Id of the black box of the first end. */
  report: string | null;
  /** What says most of it, in a line; empty if nothing happened. */
  text: string;
}

/** Whether a process with a fault was replaced by one with the next. */
function isReplaced({ kind, fault }: Reason, label: string | undefined): boolean {
  return kind === "upgrade" && fault !== undefined && fault === label;
}

/** Whether what a driver says is that it commits its fault, as `src/faults/inside/trigger.ts` has it say. */
export function isCommitment({ text }: { text: string }): boolean {
  return text.startsWith("fault ");
}

function time(event: Event): number {
  return Date.parse(event.time);
}

/** Words that tell of the time between two moments: a word is of the stretch that ends with it. */
function between(words: readonly Word[], from: number, to = Infinity): Word[] {
  const first = words.findIndex(({ at }) => at > from);
  if (first < 0) return [];
  const last = words.findIndex(({ at }) => at >= to);
  return words.slice(first, last < 0 ? undefined : last + 1);
}

function sum(words: readonly Word[], of: "done" | "failed" | "wrong"): number {
  return words.reduce((total, word) => total + word[of], 0);
}

/** What the twin noticed, which nothing should have disturbed; undefined if nothing. */
function harmToTwin({ events, words, idle }: Seen["twin"]): string | undefined {
  if (idle > STANDSTILL_MS) {
    return `the twin's application has done nothing for ${(idle / 1000).toFixed(0)} s`;
  }
  const ended = events.find(({ type }) => type === "ended");
  if (ended?.type === "ended") return `the twin's driver ended: ${ended.reason.text}`;
  const bad = words.find(({ failed, wrong }) => failed + wrong > 0);
  return bad &&
    `the twin's application saw ${bad.wrong > 0 ? "wrong content" : "an error"}: ${bad.text ?? ""}`;
}

/** Longest time without an operation in some words; what began before them counts from their beginning. */
function longestGap(words: readonly Word[], from: number): number {
  return Math.max(0, ...words.map(({ at, gap }) => Math.min(gap, at - from)));
}

/** Text of others, in a line that fits beside others. */
function oneLine(text: string): string {
  return text.split("\n")[0].slice(0, LONGEST_TEXT);
}

/**
 * When the application had gone on with the driver that has the fault; or that was ready, if it ended before the
 * application went on; or the beginning, if it never was.
 */
function takenOver({ events, words, takesOver }: Seen, from: number): number {
  if (!takesOver) return from;
  const next = events.find((event) =>
    event.type === "ready" || event.type === "ended" && event.reason.kind !== "upgrade"
  );
  if (next?.type !== "ready") return from;
  const ready = time(next);
  const over = events.slice(events.indexOf(next) + 1).find(({ type }) => type === "ended");
  const goesOn = words.find(({ at, done }) => at > ready && done > 0)?.at;
  if (goesOn === undefined || over && goesOn > time(over)) return ready;
  return goesOn;
}

/** Tells what became of a fault. */
export function judge(seen: Seen, usual: Usual): Judgement {
  const { from, refused, events, kernel } = seen;
  const harm = kernel[0] ?? harmToTwin(seen.twin);
  if (from === undefined) {
    return {
      outcome: harm ? "harm" : "refused",
      reason: null,
      detection: null,
      recovery: null,
      gap: 0,
      failed: 0,
      wrong: 0,
      ends: 0,
      report: null,
      text: oneLine(harm ?? refused ?? ""),
    };
  }
  const own = events.filter((event) => time(event) >= from);
  const ends = own.filter((event) => event.type === "ended").filter(({ reason }) =>
    reason.kind !== "operator" && reason.kind !== "upgrade"
  );
  const end = ends.at(0);
  const asked = own.find((event) =>
    event.type === "ended" && (event.reason.kind === "operator" || isReplaced(event.reason, seen.label))
  );
  const taken = end || !asked ? undefined : time(asked);
  const told = own.find((event) => event.type === "log" && isCommitment(event));
  const committed = told ? time(told) : seen.tells ? undefined : from;
  const recovered = end && own.find((event) => event.type === "recovered" && event.id > end.id);
  // What it costs to have it take over, and to take it away, is not the fault's.
  const begun = takenOver(seen, from);
  const words = between(seen.words, begun, taken);
  const failed = sum(words, "failed");
  const wrong = sum(words, "wrong");
  const gap = longestGap(words, begun);
  const bad = words.find((word) => word.failed + word.wrong > 0);
  const late = gap > Math.max(DELAY.ms, DELAY.times * usual.gap);
  const last = words.findLast(({ done }) => done > 0)?.at ?? from;
  const hung = !seen.stands || taken !== undefined && taken - last >= HUNG_MS;
  const outcome: Outcome = harm
    ? "harm"
    : wrong > 0
    ? "corruption"
    : seen.givenUp
    ? "given-up"
    : hung
    ? "hung"
    : failed > 0
    ? "error"
    : late
    ? "delay"
    : end
    ? "unseen"
    : committed === undefined
    ? "unreached"
    : "nothing";
  return {
    outcome,
    reason: end ? { kind: end.reason.kind, text: end.reason.text } : null,
    detection: end && committed !== undefined ? Math.max(0, time(end) - committed) : null,
    recovery: recovered?.type === "recovered" ? recovered.ms : null,
    gap,
    failed,
    wrong,
    ends: ends.length,
    report: end?.report ?? null,
    text: oneLine(harm ?? bad?.text ?? end?.reason.text ?? ""),
  };
}
