/** A fleet that a test moves: drivers are what it says, and what is asked of them is written down. */
import type { PciDevice } from "../../src/pci.ts";
import { type Fleet, FleetError, type InjectOptions, type KillWay } from "../../src/supervisor/contract.ts";
import type { Driver, Event, EventDetail, Report, ReportSummary } from "../../src/supervisor/schema.ts";

/** Events that are kept, as by the real one. */
const KEPT = 1000;

/** A driver that runs well, but for what is given. */
export function fakeDriver(over: Partial<Driver> = {}): Driver {
  return {
    name: "e1000",
    description: "Intel 8254x gigabit Ethernet",
    file: "/ring3/drivers/e1000/driver.ts",
    address: "0000:01:00.0",
    state: "running",
    since: "2026-01-02T03:04:05.000Z",
    uptime: 11_530,
    reason: null,
    pid: 312,
    memory: 31 * 2 ** 20,
    version: {
      id: "a1b2c3d4e5f60718",
      path: "/ring3/drivers/e1000/driver.ts",
      since: "2026-01-02T03:04:00.000Z",
    },
    fault: null,
    restarts: { total: 0, used: 0, budget: 5, window: 1_800_000, next: null },
    recoveries: [],
    spare: { state: "ready", pid: 313, memory: 29 * 2 ** 20 },
    port: "net",
    interface: "r3n0",
    addresses: ["10.3.0.15/24", "fec0::5054:ff:fe12:3457/64"],
    disk: null,
    link: { up: true, speed: 1000 },
    rx: { packets: 1204, bytes: 1_200_000 },
    tx: { packets: 832, bytes: 834_000 },
    interruptsPerSecond: 640,
    packetsPerWakeup: 3.2,
    totals: {
      rxPackets: 102_832,
      rxBytes: 98_000_000,
      rxDropped: 3,
      txPackets: 14_740,
      txBytes: 12_000_000,
      txDropped: 7,
      interrupts: 40_000,
      waits: 50_000,
      wakeups: 30_000,
      portCalls: 0,
    },
    grant: [
      "registers: BAR 0, bytes 0x00000–0x1ffff (128 KiB)",
      "interrupts: one (INTx)",
      "memory shared with the device: 128 KiB",
      "network port r3n0: 256 frames each way",
      "nothing else: no other register, interrupt, memory, file, socket or process",
    ],
    walls: { namespaces: "stands", landlock: "stands", seccomp: "stands", cgroup: "stands" },
    confined: true,
    warnings: [],
    ...over,
  };
}

/** A report of an exception, but for what is given. */
export function fakeReport(over: Partial<Report> = {}): Report {
  return {
    id: "e1000-20260102T030405-1",
    time: "2026-01-02T03:04:05.678Z",
    driver: "e1000",
    address: "0000:01:00.0",
    version: "a1b2c3d4e5f60718",
    pid: 312,
    reason: {
      kind: "exception",
      text: "TypeError: Cannot read properties of undefined (reading 'length')",
      stack: "TypeError: Cannot read properties of undefined (reading 'length')\n" +
        "    at take (drivers/e1000/receive.ts:81:20)\n    at poll (drivers/e1000/driver.ts:140:7)",
    },
    ran: 92_500,
    exit: { code: 70, signal: null },
    stderr: ["first line", "last line"],
    events: [],
    registers: [
      { sequence: 41, bar: 0, offset: 0xc0, write: false, value: 0x80 },
      { sequence: 42, bar: 0, offset: 0x2818, write: true, value: 0xfffffff0 },
    ],
    channels: [
      { kind: "transmit", size: 256, submitted: 1200, seen: 1199, completed: 1190, reaped: 1190 },
      { kind: "receive", size: 256, submitted: 4000, seen: 4000, completed: 3800, reaped: 3799 },
    ],
    counters: { dma_mapped: 131_072, grants: 3 },
    ...over,
  };
}

/** A PCI device, but for what is given. */
export function fakeDevice(over: Partial<PciDevice> = {}): PciDevice {
  return {
    address: "0000:01:00.0",
    vendor: 0x8086,
    device: 0x100f,
    subsystemVendor: 0x8086,
    subsystemDevice: 0x1001,
    class: 0x020000,
    revision: 3,
    bars: [{ index: 0, space: "memory", start: 0xfe000000, size: 0x20000 }],
    interrupts: { intx: true, msi: 0, msix: 0, msixAreas: [] },
    driver: "ring3",
    driverOverride: "ring3",
    iommu: { group: 4, type: "DMA-FQ" },
    interfaces: [{ name: "r3n0", up: true }],
    ...over,
  };
}

/** The fleet. */
export class FakeFleet implements Fleet {
  /** What was asked for, as in `restart e1000`. */
  readonly asked: string[] = [];
  /** Set to have every action throw this. */
  refusal?: Error;
  /** Awaited by every action before it ends. */
  pending: Promise<void> = Promise.resolve();
  /** How often all drivers were asked for. */
  looks = 0;
  readonly #drivers = new Map<string, Driver>();
  readonly #listeners = new Set<(event: Event) => void>();
  readonly #reports: Report[] = [];
  #events: Event[] = [];
  #last = 0;

  constructor(...drivers: Driver[]) {
    this.set(...drivers);
  }

  /** Sets drivers as they are from now on. */
  set(...drivers: Driver[]): void {
    for (const driver of drivers) this.#drivers.set(driver.name, driver);
  }

  /** Changes one driver. */
  change(name: string, change: Partial<Driver>): void {
    this.set({ ...this.driver(name), ...change });
  }

  /** Takes a driver away. */
  remove(name: string): void {
    this.#drivers.delete(name);
  }

  /** Has something happen. */
  emit(driver: string, detail: EventDetail): Event {
    const event = { id: ++this.#last, time: new Date().toISOString(), driver, ...detail } as Event;
    this.#events = [...this.#events, event].slice(-KEPT);
    for (const listener of this.#listeners) listener(event);
    return event;
  }

  /** Begins anew, as a supervisor that was started again. */
  forget(): void {
    this.#events = [];
    this.#last = 0;
  }

  /** Keeps reports, the latest last. */
  keep(...reports: Report[]): void {
    this.#reports.unshift(...reports.toReversed());
  }

  /** Those who listen. */
  get listeners(): number {
    return this.#listeners.size;
  }

  drivers(): Driver[] {
    this.looks++;
    return [...this.#drivers.values()].sort((a, b) => a.name < b.name ? -1 : 1);
  }

  driver(name: string): Driver {
    const driver = this.#drivers.get(name);
    if (!driver) throw new FleetError("not-found", `There is no driver ${name}`);
    return driver;
  }

  devices(): Promise<PciDevice[]> {
    return Promise.resolve([fakeDevice()]);
  }

  events(
    { after = 0, driver, limit = KEPT }: { after?: number; driver?: string; limit?: number } = {},
  ): Event[] {
    if (driver !== undefined) this.driver(driver);
    return this.#events
      .filter((event) => event.id > after && (driver === undefined || event.driver === driver))
      .slice(-limit);
  }

  subscribe(listener: (event: Event) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  // deno-lint-ignore require-await -- what it throws is to come as a rejection, as the real one's does
  async reports({ driver }: { driver?: string } = {}): Promise<ReportSummary[]> {
    if (driver !== undefined) this.driver(driver);
    return this.#reports
      .filter((report) => driver === undefined || report.driver === driver)
      .map(({ id, time, driver, address, version, pid, reason, ran }) => (
        { id, time, driver, address, version, pid, reason, ran }
      ));
  }

  // deno-lint-ignore require-await -- as above
  async report(id: string): Promise<Report> {
    const report = this.#reports.find((each) => each.id === id);
    if (!report) throw new FleetError("not-found", `There is no report ${id}`);
    return report;
  }

  start(name: string): Promise<void> {
    return this.#do(name, "start", { state: "running", uptime: 1 });
  }

  stop(name: string): Promise<void> {
    return this.#do(name, "stop", { state: "stopped", uptime: 0, pid: null });
  }

  restart(name: string): Promise<void> {
    return this.#do(name, "restart", { uptime: 1 });
  }

  async upgrade(name: string, { path }: { path?: string } = {}): Promise<{ from: string; to: string }> {
    await this.#do(name, path === undefined ? "upgrade" : `upgrade to ${path} of`, {});
    return { from: "a1b2c3d4e5f60718", to: "0011223344556677" };
  }

  async inject(
    name: string,
    { label, path = "its own", for: ms }: InjectOptions,
  ): Promise<{ from: string; to: string }> {
    const time = ms === undefined ? "" : ` for ${ms} ms`;
    await this.#do(name, `inject (${label}) from ${path}${time} into`, {
      fault: { label, version: "0011223344556677" },
    });
    return { from: "a1b2c3d4e5f60718", to: "0011223344556677" };
  }

  withdraw(name: string): Promise<void> {
    return this.#do(name, "withdraw the fault of", { fault: null });
  }

  kill(name: string, how: KillWay): Promise<void> {
    return this.#do(name, `kill (${how})`, {});
  }

  async #do(name: string, what: string, change: Partial<Driver>): Promise<void> {
    this.driver(name);
    this.asked.push(`${what} ${name}`);
    await this.pending;
    if (this.refusal) throw this.refusal;
    this.change(name, change);
  }
}
