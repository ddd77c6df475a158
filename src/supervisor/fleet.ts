/** All drivers that one supervisor runs. */
import type { Manifest } from "../manifest/mod.ts";
import { listDevices, type PciDevice } from "../pci.ts";
import { type Fleet, FleetError, type KillWay } from "./contract.ts";
import type { HostFiles } from "./driver_process.ts";
import { EventLog } from "./events.ts";
import { ManagedDriver } from "./managed_driver.ts";
import type { Driver, Event, Report, ReportSummary } from "./schema.ts";
import { VersionStore } from "./versions.ts";

/** How often rates and memory are read, milliseconds. */
const INTERVAL = 1000;

/** How to run a fleet. */
export interface FleetOptions {
  files: HostFiles;
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
}

/** Drivers by name. Disposing it ends them all and gives their devices back. */
export class DriverFleet implements Fleet, AsyncDisposable {
  readonly #drivers = new Map<string, ManagedDriver>();
  readonly #log = new EventLog();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Takes no device yet: `start` does. */
  constructor(manifests: readonly Manifest[], options: FleetOptions) {
    for (const manifest of manifests) {
      const { name } = manifest;
      this.#drivers.set(
        name,
        new ManagedDriver(manifest, {
          ...options,
          versions: new VersionStore(`${options.runtime}/versions/${name}`),
          onEvent: (detail) => this.#log.add(name, detail),
          onDeath: () => null,
        }),
      );
    }
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

  reports(_options?: { driver?: string }): Promise<ReportSummary[]> {
    return Promise.resolve([]);
  }

  report(id: string): Promise<Report> {
    return Promise.reject(new FleetError("not-found", `There is no report ${id}`));
  }

  async start(name: string): Promise<void> {
    await this.#find(name).start();
  }

  async stop(name: string): Promise<void> {
    await this.#find(name).stop();
  }

  async restart(name: string): Promise<void> {
    await this.#find(name).restart();
  }

  async upgrade(name: string, { path }: { path?: string } = {}): Promise<{ from: string; to: string }> {
    return await this.#find(name).upgrade(path);
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
    await Promise.all([...this.#drivers.values()].map((driver) => driver[Symbol.asyncDispose]()));
  }

  #find(name: string): ManagedDriver {
    const driver = this.#drivers.get(name);
    if (driver) return driver;
    throw new FleetError(
      "not-found",
      `There is no driver ${name}; there is ${[...this.#drivers.keys()].join(", ")}`,
    );
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
