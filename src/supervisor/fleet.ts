/** All drivers that one supervisor runs. */
import { UserError } from "../error.ts";
import type { Manifest } from "../manifest/mod.ts";
import { listDevices, type PciDevice } from "../pci.ts";
import { type Fleet, FleetError, type InjectOptions, type KillWay, type UpgradeOptions } from "./contract.ts";
import { DmaFaultWatch } from "./dma_faults.ts";
import type { HostProgram } from "./driver_process.ts";
import { reportDirectory } from "../run/state.ts";
import { EventLog } from "./events.ts";
import { reportId, ReportStore } from "./reports.ts";
import type { Death } from "./supervisor.ts";
import { ManagedDriver } from "./managed_driver.ts";
import type { Driver, Event, Report, ReportSummary } from "./schema.ts";
import { VersionStore } from "./versions.ts";

/** How often rates and memory are read, milliseconds. */
const INTERVAL = 1000;

/** Events before a death that its report holds. */
const EVENTS = 100;

/** How to run a fleet. */
export interface FleetOptions {
  files: HostProgram;
  /** Where copies of drivers go: a folder that every user can read. */
  runtime: string;
  /** Where reports are kept. */
  state: string;
  /** PCI address, for a fleet of one; without it, the only spare device that a manifest matches. */
  device?: string;
  /** Take devices from the kernel's drivers that use them. */
  take: boolean;
  /** Ask for addresses, rather than only bring interfaces up. */
  dhcp: boolean;
  /** Let faults be injected. */
  allowFaults: boolean;
}

/** Drivers by name. Disposing it ends them all and gives their devices back. */
export class DriverFleet implements Fleet, AsyncDisposable {
  readonly #drivers = new Map<string, ManagedDriver>();
  readonly #log = new EventLog();
  readonly #reports: ReportStore;
  /** Reports that are being written. */
  readonly #burials = new Set<Promise<void>>();
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #faults: DmaFaultWatch;
  readonly #warnings: string[] = [];
  readonly #allowFaults: boolean;

  /** Takes no device yet: `start` does. */
  constructor(manifests: readonly Manifest[], options: FleetOptions) {
    this.#reports = new ReportStore(reportDirectory(options.state));
    this.#allowFaults = options.allowFaults;
    for (const manifest of manifests) {
      const { name } = manifest;
      this.#drivers.set(
        name,
        new ManagedDriver(manifest, {
          ...options,
          versions: new VersionStore(`${options.runtime}/versions/${name}`),
          onEvent: (detail) => this.#log.add(name, detail),
          warnings: () => this.#warnings,
          onDeath: (death, address) => this.#bury(name, address, death),
        }),
      );
    }
    this.#faults = DmaFaultWatch.start({
      onFault: (fault, devices) => {
        for (const driver of this.#drivers.values()) driver.dmaFault(fault, devices);
      },
      onProblem: (text) => {
        this.#warnings.push(text);
        console.error(`ring3: ${text}`);
      },
    });
    this.#timer = setInterval(() => void this.#read(), INTERVAL);
  }

  drivers(): Driver[] {
    return [...this.#drivers.values()].map(({ view }) => view);
  }

  driver(name: string): Driver {
    return this.#find(name).view;
  }

  async devices(): Promise<PciDevice[]> {
    return await listDevices();
  }

  events(options?: { after?: number; driver?: string; limit?: number }): Event[] {
    return this.#log.list(options);
  }

  subscribe(listener: (event: Event) => void): () => void {
    return this.#log.subscribe(listener);
  }

  async reports(options?: { driver?: string }): Promise<ReportSummary[]> {
    return await this.#reports.list(options);
  }

  async report(id: string): Promise<Report> {
    return await this.#reports.read(id);
  }

  async start(name: string): Promise<void> {
    await asked(this.#find(name).start());
  }

  async stop(name: string): Promise<void> {
    await this.#find(name).stop();
  }

  async restart(name: string): Promise<void> {
    await this.#find(name).restart();
  }

  async upgrade(name: string, options: UpgradeOptions = {}): Promise<{ from: string; to: string }> {
    return await asked(this.#find(name).upgrade(options));
  }

  async inject(
    name: string,
    { label, for: ms, ...from }: InjectOptions,
  ): Promise<{ from: string; to: string }> {
    const driver = this.#find(name);
    if (!this.#allowFaults) {
      throw new FleetError(
        "forbidden",
        `No fault may be injected into ${name}: its supervisor was started without --allow-faults`,
      );
    }
    return await asked(driver.upgrade(from, { label, ms }));
  }

  withdraw(name: string): Promise<void> {
    this.#find(name).withdraw();
    return Promise.resolve();
  }

  kill(name: string, how: KillWay): Promise<void> {
    this.#find(name).kill(how);
    return Promise.resolve();
  }

  /** Reads all manifests again. */
  async reload(): Promise<void> {
    await Promise.all([...this.#drivers.values()].map((driver) => driver.reload()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#faults[Symbol.dispose]();
    await Promise.all([...this.#drivers.values()].map((driver) => driver[Symbol.asyncDispose]()));
    await Promise.all(this.#burials);
  }

  #find(name: string): ManagedDriver {
    const driver = this.#drivers.get(name);
    if (driver) return driver;
    throw new FleetError(
      "not-found",
      `There is no driver ${name}; there is ${[...this.#drivers.keys()].join(", ")}`,
    );
  }

  /** Takes down a death: what would change at once, the rest when its recovery is over. The report's id. */
  #bury(driver: string, address: string, death: Death): string {
    const { process, reason, ran, status, channels, over } = death;
    const time = death.time.toISOString();
    const events = this.#log.list({ driver, limit: EVENTS });
    const burial = (async () => {
      const [{ code, signal, stderr }] = await Promise.all([process.ended, over]);
      await this.#reports.write({
        time,
        driver,
        address,
        version: process.version.id,
        pid: process.pid,
        reason,
        ran,
        exit: { code, signal },
        stderr,
        events,
        registers: process.accesses(),
        channels,
        counters: numbers(status),
      });
    })().catch(({ message }) => {
      this.#log.add(driver, { type: "log", text: message });
    }).finally(() => this.#burials.delete(burial));
    this.#burials.add(burial);
    return reportId({ time, driver, pid: process.pid });
  }

  async #read(): Promise<void> {
    for (const driver of this.#drivers.values()) {
      try {
        await driver.read();
      } catch (error) {
        // A device may go between two lines: the next reading tells.
        console.error(error);
      }
    }
  }
}

/** What somebody asked for: a failure that is the machine's or the driver's is told as such. */
async function asked<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new FleetError("failed", error.message, { cause: error.cause ?? error });
  }
}

/** All that is a number in a claim's status, by name. */
function numbers({ counters, ...status }: Death["status"]): Record<string, number> {
  const all = Object.entries({ ...status, ...counters });
  return Object.fromEntries(
    all.filter(([, value]) => typeof value !== "string").map(([name, value]) => [name, Number(value)]),
  );
}
