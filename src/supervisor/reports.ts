/**
 * Reports of deaths, kept as files: `<id>.json`, one each, in a directory of root's. An id is the time of
 * death, the driver's name and the process id, so that names sort by time and say whose they are.
 */
import { dirname } from "node:path";
import { MAX_TEXT } from "../host/messages.ts";
import { RECORDED } from "../host/recorder.ts";
import { FleetError } from "./contract.ts";
import { type Report, reportSchema, type ReportSummary, reportSummarySchema } from "./schema.ts";

const ID = /^\d{8}T\d{6}\.\d{3}Z-(?<driver>[a-z][a-z0-9-]{0,31})-\d{1,10}$/;

/** What ends the name of a file that is being written. */
const DRAFT = ".draft";
/** A draft that is older than this has lost its writer; milliseconds. */
const DRAFT_AGE = 60_000;

/** Most of each list that a report holds. */
const MOST = { stderr: 20, events: 100, channels: 16, counters: 64 } as const;
/** Most bytes, as JSON, of lists whose texts a driver can make long. */
const MOST_BYTES = { stderr: 64 * 1024, events: 1024 * 1024 } as const;
/** No report within these bounds is longer; bytes of JSON. */
const LARGEST = 4 * 1024 * 1024;

/** True if a text has the form of a report's id. It then is safe as a file's name. */
export function isReportId(text: string): boolean {
  return ID.test(text);
}

interface Kept {
  id: string;
  driver: string;
  bytes: number;
}

/** The reports in a directory, within bounds. */
export class ReportStore {
  readonly #directory: string;
  readonly #keep: number;
  readonly #keepBytes: number;
  /** Files do not change once they are there, so that each is read for its summary only once. */
  readonly #summaries: Map<string, ReportSummary> = new Map();
  /** Ends when the writes so far have: rotation is not to run beside itself. */
  #written: Promise<unknown> = Promise.resolve();

  /**
   * @param directory Made when the first report is written, for its owner only.
   * @param keep Reports, and `keepBytes` their bytes, that are kept. Beyond, the oldest goes of the driver
   * that has the most; the latest of each driver stays whatever the bounds.
   */
  constructor(directory: string, { keep = 100, keepBytes = 64 * 1024 * 1024 } = {}) {
    this.#directory = directory;
    this.#keep = keep;
    this.#keepBytes = keepBytes;
  }

  /**
   * Keeps a report, cut to its bounds; its id. Whoever reads finds all of it or nothing.
   * @throws {Error} if it cannot be written or old ones cannot be deleted, with the reason: the disk is full,
   * the directory is read-only. The store can be used as before.
   */
  async write(report: Omit<Report, "id">): Promise<string> {
    const id = reportId(report);
    const json = JSON.stringify(reportSchema.parse({ ...bounded(report), id })) + "\n";
    const writing = this.#written.catch(() => {}).then(async () => {
      await this.#put(id, json);
      await this.#rotate(id);
    });
    this.#written = writing;
    try {
      await writing;
    } catch (cause) {
      const { message } = cause as Error;
      throw new Error(`Cannot keep the report of ${report.driver} in ${this.#directory}: ${message}`, {
        cause,
      });
    }
    return id;
  }

  /**
   * What is kept, latest first. A file that is damaged is passed over.
   * @throws {Deno.errors.PermissionDenied} if this is not root.
   */
  async list({ driver }: { driver?: string } = {}): Promise<ReportSummary[]> {
    const kept = await this.#files();
    const ids = new Set(kept.map(({ id }) => id));
    for (const id of this.#summaries.keys()) if (!ids.has(id)) this.#summaries.delete(id);
    const summaries: ReportSummary[] = [];
    for (const one of kept.reverse()) {
      if (driver !== undefined && one.driver !== driver) continue;
      const summary = this.#summaries.get(one.id) ?? await this.#summary(one.id);
      if (summary) summaries.push(summary);
    }
    return summaries;
  }

  /**
   * One report.
   * @throws {FleetError} `not-found` if there is none of this id, `failed` if it is damaged.
   */
  async read(id: string): Promise<Report> {
    if (!isReportId(id)) throw new FleetError("not-found", `There is no report "${id.slice(0, 80)}"`);
    try {
      return await this.#read(id);
    } catch (cause) {
      if (cause instanceof Deno.errors.NotFound) {
        throw new FleetError("not-found", `There is no report "${id}"`, { cause });
      }
      if (cause instanceof Deno.errors.PermissionDenied) throw cause;
      throw new FleetError("failed", `The report ${this.#path(id)} is damaged`, { cause });
    }
  }

  #path(id: string): string {
    return `${this.#directory}/${id}.json`;
  }

  async #read(id: string): Promise<Report> {
    const { size } = await Deno.stat(this.#path(id));
    if (size > LARGEST) throw new RangeError(`It has ${size} bytes`);
    const report = reportSchema.parse(JSON.parse(await Deno.readTextFile(this.#path(id))));
    if (report.id !== id) throw new RangeError(`It says that it is ${report.id}`);
    return report;
  }

  async #summary(id: string): Promise<ReportSummary | undefined> {
    try {
      const summary = reportSummarySchema.parse(await this.#read(id));
      this.#summaries.set(id, summary);
      return summary;
    } catch (error) {
      if (error instanceof Deno.errors.PermissionDenied) throw error;
      return undefined;
    }
  }

  async #put(id: string, json: string): Promise<void> {
    // Only the last part is secret; what is above it may be others' to pass through.
    await Deno.mkdir(dirname(this.#directory), { recursive: true });
    await Deno.mkdir(this.#directory, { mode: 0o700 }).catch(ifThere);
    const draft = `${this.#directory}/${id}${DRAFT}`;
    try {
      const file = await Deno.open(draft, { write: true, create: true, truncate: true, mode: 0o600 });
      try {
        const bytes = new TextEncoder().encode(json);
        for (let at = 0; at < bytes.length;) at += await file.write(bytes.subarray(at));
        // A name must not outlive a power cut that its content does not.
        await file.sync();
      } finally {
        file.close();
      }
      await Deno.rename(draft, this.#path(id));
    } catch (error) {
      await Deno.remove(draft).catch(() => {});
      throw error;
    }
  }

  /** All that have a report's name, oldest first. */
  async #files(): Promise<Kept[]> {
    const kept: Kept[] = [];
    try {
      for await (const { name, isFile } of Deno.readDir(this.#directory)) {
        const id = name.replace(/\.json$/, "");
        const driver = ID.exec(id)?.groups?.driver;
        if (!isFile || name === id || driver === undefined) continue;
        const found = await Deno.stat(`${this.#directory}/${name}`).catch(ifGone);
        if (found) kept.push({ id, driver, bytes: found.size });
      }
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    return kept.sort((a, b) => a.id < b.id ? -1 : 1);
  }

  /** @param written Stays: where a clock was set back, the report just written is not the latest by name. */
  async #rotate(written: string): Promise<void> {
    await this.#removeDrafts();
    const kept = await this.#files();
    for (;;) {
      const tooMany = kept.length > this.#keep;
      if (!tooMany && sum(kept) <= this.#keepBytes) return;
      const driver = largest(kept, tooMany ? (of) => of.length : sum);
      const oldest = kept.findIndex((one) => one.driver === driver && one.id !== written);
      if (oldest < 0) return;
      await Deno.remove(this.#path(kept[oldest].id)).catch(ifGone);
      kept.splice(oldest, 1);
    }
  }

  /** What processes have left that were killed while they wrote. */
  async #removeDrafts(): Promise<void> {
    for await (const { name } of Deno.readDir(this.#directory)) {
      if (!name.endsWith(DRAFT)) continue;
      const path = `${this.#directory}/${name}`;
      const age = Date.now() - ((await Deno.stat(path).catch(ifGone))?.mtime?.getTime() ?? Date.now());
      if (age > DRAFT_AGE) await Deno.remove(path).catch(ifGone);
    }
  }
}

/** The driver whose reports are the largest in all, of those that have more than one. */
function largest(kept: Kept[], size: (of: Kept[]) => number): string | undefined {
  const drivers = [...Map.groupBy(kept, ({ driver }) => driver).entries()]
    .filter(([, of]) => of.length > 1)
    .map(([driver, of]) => ({ driver, size: size(of) }));
  return drivers.reduce<{ driver?: string; size: number }>(
    (most, one) => one.size > most.size ? one : most,
    { size: 0 },
  ).driver;
}

function sum(of: Kept[]): number {
  return of.reduce((total, { bytes }) => total + bytes, 0);
}

/**
 * The id that a report is to have.
 * @throws {RangeError} if it would be no safe name for a file.
 */
export function reportId({ time, driver, pid }: Pick<Report, "time" | "driver" | "pid">): string {
  const id = `${new Date(time).toISOString().replace(/[-:]/g, "")}-${driver}-${pid}`;
  if (!isReportId(id)) throw new RangeError(`Cannot make a report's id of "${id.slice(0, 80)}"`);
  return id;
}

/** A report without what is beyond its bounds: the earliest of a list, the end of a text. */
function bounded(report: Omit<Report, "id">): Omit<Report, "id"> {
  const { registers, channels, counters, ...texts } = report;
  const cut = cutTexts(texts);
  return {
    ...cut,
    stderr: last(cut.stderr, { most: MOST.stderr, bytes: MOST_BYTES.stderr }),
    events: last(cut.events, { most: MOST.events, bytes: MOST_BYTES.events }),
    registers: registers.slice(-RECORDED),
    channels: channels.slice(0, MOST.channels),
    counters: Object.fromEntries(Object.entries(counters).slice(0, MOST.counters)),
  };
}

/** The last of a list: at most so many, and of at most so many bytes of JSON. */
function last<T>(list: readonly T[], { most, bytes }: { most: number; bytes: number }): T[] {
  let first = list.length;
  for (let left = bytes; first > 0 && list.length - first < most; first--) {
    left -= new TextEncoder().encode(JSON.stringify(list[first - 1])).length;
    if (left < 0) break;
  }
  return list.slice(first);
}

/** A value with every text in it cut. */
function cutTexts<T>(value: T): T {
  if (typeof value === "string") return value.slice(0, MAX_TEXT) as T & string;
  if (Array.isArray(value)) return value.map(cutTexts) as T & unknown[];
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, cutTexts(of)])) as T & object;
}

function ifThere(error: unknown): void {
  if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
}

function ifGone(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
