/** What a supervisor offers to those who show and steer it: the API, the dashboard, the command line. */
import type { PciDevice } from "../pci.ts";
import type { Driver, Event, Report, ReportSummary } from "./schema.ts";

/** Ways to have a driver end, to see what happens then. */
export const KILL_WAYS = ["kill", "stall", "exception", "exit", "out-of-memory"] as const;
/** One of them. */
export type KillWay = (typeof KILL_WAYS)[number];

/** Why a request was refused. */
export class FleetError extends Error {
  override readonly name: string = "FleetError";
  /**
   * `not-found`: no such driver or report; `conflict`: not in its present state; `invalid`: a bad argument;
   * `forbidden`: not what this supervisor was started to do; `failed`: tried, and failed.
   */
  readonly kind: "not-found" | "conflict" | "invalid" | "forbidden" | "failed";

  constructor(kind: FleetError["kind"], message: string, options: { cause?: unknown } = {}) {
    super(message, options);
    this.kind = kind;
  }
}

/** What to upgrade to. */
export interface UpgradeOptions {
  path?: string;
  source?: string;
}

/** What a fault may be called: printable ASCII. */
export const FAULT_LABEL = /^[ -~]{1,200}$/;

/** A version with a fault, which runs for the life of one process. */
export interface InjectOptions extends UpgradeOptions {
  /** Which fault it is: events and reports of the end say so. Fits {@link FAULT_LABEL}. */
  label: string;
  /** How long it stays once it is ready, milliseconds; without it, until its process ends. */
  for?: number;
}

/** Several supervised drivers. All methods that take a name throw a `FleetError` if there is no such driver. */
export interface Fleet {
  /** All drivers as they are now, by name. */
  drivers(): Driver[];
  driver(name: string): Driver;
  /** The PCI devices of this machine. */
  devices(): Promise<PciDevice[]>;
  /** Events kept (the last 1,000) with an id above `after`, oldest first, at most `limit` of the latest. */
  events(options?: { after?: number; driver?: string; limit?: number }): Event[];
  /** Calls `listener` with every event from now on, until the function that is returned is called. It must not wait. */
  subscribe(listener: (event: Event) => void): () => void;
  /** Reports kept, latest first. */
  reports(options?: { driver?: string }): Promise<ReportSummary[]>;
  report(id: string): Promise<Report>;
  /** Starts a driver that was stopped or given up, with a full budget. Resolves when it is ready. */
  start(name: string): Promise<void>;
  /** Ends a driver and keeps it ended; its device stays claimed. */
  stop(name: string): Promise<void>;
  /** Replaces the process by another of the same version. Resolves when that is ready. */
  restart(name: string): Promise<void>;
  /**
   * Replaces it by what its folder, or that of the driver file `path`, now holds. Resolves when the new version
   * has stood its first seconds; throws `failed` if it was refused or reverted, with the old version running.
   * `source` is shown as its file where `path` is a copy of that.
   */
  upgrade(name: string, options?: UpgradeOptions): Promise<{ from: string; to: string }>;
  /**
   * Replaces it for the life of one process by what `upgrade` would: however that ends, the next one is of the
   * version before. It is made ready at once, and gets the device when the driver runs without a fault, has
   * recovered, and has the spare that its manifest wants. Resolves then; throws `forbidden` unless the supervisor
   * was started to allow faults, `failed` if it did not get as far as the device, and `conflict` if another is made
   * ready, or its turn does not come within a minute.
   */
  inject(name: string, options: InjectOptions): Promise<{ from: string; to: string }>;
  /**
   * Takes away the fault that runs: the next that waits for its turn has it, or else the version before takes over.
   * Resolves at once; throws `conflict` if none runs.
   */
  withdraw(name: string): Promise<void>;
  /** Has the process end in that way, as a fault would. Resolves at once. */
  kill(name: string, how: KillWay): Promise<void>;
}
