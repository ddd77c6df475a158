/** A driver as its user knows it: a manifest, the device it was found, the process on it, its interface or disk. */
import { UserError } from "../error.ts";
import { KernelError, openLibrary } from "../kernel/mod.ts";
import { describeGrant, loadManifest, type Manifest } from "../manifest/mod.ts";
import { isConfined } from "../pci.ts";
import { diskOf } from "../run/disk.ts";
import { addresses, bringUp, DhcpClient, interfaceOf } from "../run/interface.ts";
import { FleetError, type KillWay, type UpgradeOptions } from "./contract.ts";
import { BoundDevice, checkDevice, chooseDevice, uidOf, warningsOf } from "./device.ts";
import { compile } from "./compile.ts";
import type { HostProgram } from "./driver_process.ts";
import { type DmaFault, dmaFaultText } from "./dma_faults.ts";
import { pause } from "../pause.ts";
import { Meter, type PortKind, privateMemory } from "./meter.ts";
import type { Driver, EventDetail, Reason } from "./schema.ts";
import { type Death, Supervisor } from "./supervisor.ts";
import type { InjectedFault, Version, VersionStore } from "./versions.ts";

/** How often the interface or disk is looked for until it is there, milliseconds. */
const LOOK = 50;

/** Longest pause between two looks for its address, each of which is twice the last; milliseconds. */
const LONGEST_LOOK = 800;

/** How often memory is read, in readings of everything else: it takes a walk through all pages. */
const MEMORY_EVERY = 5;

/** What the users of a driver should know that faults may be injected into. */
const FAULTS_ALLOWED = "faults may be injected: its supervisor was started with --allow-faults";

/** Faults of a device that end nobody are told no more often than this, milliseconds. */
const FAULT_EVERY = 1000;

/** How drivers are run. */
export interface ManagedOptions {
  files: HostProgram;
  versions: VersionStore;
  /** PCI address; without one, the only spare device that the manifest matches. */
  device?: string;
  /** Take the device from the kernel's driver that uses it. */
  take: boolean;
  /** Ask for an address, rather than only bring the interface up. */
  dhcp: boolean;
  /** Faults may be injected. */
  allowFaults: boolean;
  onEvent: (detail: EventDetail) => void;
  /** What the users of all drivers should know, a line each. */
  warnings: () => readonly string[];
  onDeath: (death: Death, address: string) => string;
}

/** What there is while the device is ours. */
interface Held {
  bound: BoundDevice;
  supervisor: Supervisor;
  meter: Meter;
  /** Name of the network interface or the disk, once there is one. */
  port?: string;
  addresses: string[];
  memory: { process: number | null; spare: number | null };
  /** Ends the watch on the port. */
  over: AbortController;
  watch: Promise<void>;
}

/** One driver of a fleet. */
export class ManagedDriver implements AsyncDisposable {
  readonly #options: ManagedOptions;
  #manifest: Manifest;
  /** Read again, and different in what only a new claim can change. */
  #pending?: Manifest;
  #version?: Version;
  /** The one that the device was taken with: what others are compiled to begins with what it was. */
  #first?: Version;
  #held?: Held;
  #failure: Reason | null = null;
  #since = new Date();
  #readings = 0;
  #faultTold = -Infinity;
  #busy?: Promise<void>;
  /** Another version that is made ready or tried: one at a time, as two would clear away each other's copies. */
  #attempt?: Promise<{ from: string; to: string }>;
  /** Ends the compiler, when all ends. */
  readonly #over = new AbortController();

  constructor(manifest: Manifest, options: ManagedOptions) {
    this.#manifest = manifest;
    this.#options = options;
  }

  get name(): string {
    return this.#manifest.name;
  }

  /** Ids of the versions that may still be run, or are of use to those to come. */
  get versions(): string[] {
    const now = this.#held?.supervisor.view;
    const ids = [now?.version.id, now?.fault?.version, this.#version?.id, this.#first?.id];
    return ids.filter((id) => id !== undefined);
  }

  /** As it is now. */
  get view(): Driver {
    const { name, description, restart, driver } = this.#manifest;
    const held = this.#held;
    const now = held?.supervisor.view;
    const version = now?.version ?? this.#version;
    const device = held?.bound.device;
    return {
      name,
      description,
      file: driver,
      address: device?.address ?? null,
      state: now?.state ?? (this.#failure ? "failed" : "stopped"),
      since: (now?.since ?? this.#since).toISOString(),
      uptime: now?.uptime ?? 0,
      reason: now?.reason ?? this.#failure,
      pid: now?.pid ?? null,
      memory: now?.pid ? held!.memory.process : null,
      version: {
        id: version?.id ?? "",
        path: version?.path ?? driver,
        since: (version?.since ?? this.#since).toISOString(),
      },
      fault: now?.fault ?? null,
      restarts: {
        total: now?.restarts.total ?? 0,
        used: now?.restarts.used ?? 0,
        budget: Number.isFinite(restart.budget) ? restart.budget : null,
        window: restart.window,
        next: now?.restarts.next?.toISOString() ?? null,
      },
      recoveries: now?.recoveries ?? [],
      spare: {
        ...(now?.spare ?? { state: "none", pid: null }),
        memory: now?.spare.pid ? held!.memory.spare : null,
      },
      port: this.#portKind ?? null,
      interface: this.#portKind === "net" ? held?.port ?? null : null,
      addresses: held?.addresses ?? [],
      ...(held?.meter ?? new Meter(this.#portKind)).measured,
      grant: device ? describeGrant(this.#manifest, device, { port: held?.port }) : [],
      walls: now?.walls ?? null,
      confined: device ? isConfined(device) : null,
      warnings: [
        ...this.#options.allowFaults ? [FAULTS_ALLOWED] : [],
        ...device ? [...warningsOf(device), ...isConfined(device) ? this.#options.warnings() : []] : [],
      ],
    };
  }

  /** Takes the device if it is not ours, and starts the driver. Resolves when it is ready. */
  async start(): Promise<void> {
    await this.#alone(async () => {
      const { pid, reason } = this.view;
      // A device that was lost may be there again, and is another to the kernel.
      if (pid === null && (this.#pending || reason?.kind === "device-lost")) {
        await this.#letGo();
        this.#manifest = this.#pending ?? this.#manifest;
        this.#pending = undefined;
      }
      this.#held ??= await this.#take();
    });
    await this.#supervisor.start();
  }

  async stop(): Promise<void> {
    await this.#supervisor.stop();
  }

  async restart(): Promise<void> {
    await this.#supervisor.restart();
  }

  /**
   * @param fault What the version was made to have: it then runs for the life of one process, and is made ready
   * while another fault runs.
   */
  async upgrade(options: UpgradeOptions, fault?: InjectedFault): Promise<{ from: string; to: string }> {
    const supervisor = this.#supervisor;
    supervisor.needReplaceable({ fault });
    if (this.#attempt) {
      throw new FleetError("conflict", `Another version of ${this.name} is being tried: wait for that`);
    }
    this.#attempt = this.#try(supervisor, options, fault);
    try {
      return await this.#attempt;
    } finally {
      this.#attempt = undefined;
    }
  }

  /** Takes away the fault that runs. */
  withdraw(): void {
    this.#supervisor.withdraw();
  }

  kill(how: KillWay): void {
    this.#supervisor.kill(how);
  }

  /**
   * The IOMMU has stopped a device at one of these addresses. If it can only have been this driver's, its process
   * is ended; else, or without one, it is told.
   */
  dmaFault(fault: DmaFault, devices: readonly string[]): void {
    const held = this.#held;
    if (!held || !devices.includes(held.bound.device.address)) return;
    const text = dmaFaultText(fault);
    if (devices.length === 1 && held.supervisor.dmaFault(text)) return;
    const now = performance.now();
    if (now - this.#faultTold < FAULT_EVERY) return;
    this.#faultTold = now;
    const others = devices.filter((address) => address !== held.bound.device.address);
    const doubt = others.length === 0
      ? "no process ran"
      : `or it was ${others.join(" or ")}: the log leaves their PCI domains out`;
    this.#options.onEvent({ type: "dma-fault", text: `${text}; ${doubt}` });
  }

  /** Reads the manifest again. What is wrong with it is told, and the old one stays. */
  async reload(): Promise<void> {
    const tell = (text: string) => this.#options.onEvent({ type: "manifest", text });
    let manifest: Manifest;
    try {
      manifest = await loadManifest(this.#manifest.file);
      if (manifest.name !== this.name) throw new UserError(`its name is now ${manifest.name}`);
      if (this.#held) checkDevice(manifest, this.#held.bound.device);
    } catch (error) {
      tell(`not taken: ${error instanceof Error ? error.message : error}`);
      return;
    }
    if (JSON.stringify(manifest) === JSON.stringify(this.#manifest)) return tell("unchanged");
    const ofClaim = ({ driver, packages, grant }: Manifest) => JSON.stringify([driver, packages, grant.port]);
    if (!this.#held) {
      this.#manifest = manifest;
      return tell("taken");
    }
    if (ofClaim(manifest) !== ofClaim(this.#manifest)) {
      this.#pending = manifest;
      return tell(
        "its driver, packages or port have changed: this takes effect when it is stopped and started",
      );
    }
    this.#manifest = manifest;
    const { supervisor } = this.#held;
    const changed = supervisor.adopt(manifest);
    tell(changed ? "taken; the driver is restarted with it" : "taken");
    if (!changed || !supervisor.view.pid) return;
    try {
      await supervisor.restart("its manifest has changed");
    } catch (error) {
      // One that does not run with it has told so by its end.
      if (!(error instanceof FleetError)) throw error;
    }
  }

  /** Takes a reading of rates and memory. */
  async read(): Promise<void> {
    const held = this.#held;
    if (!held) return;
    held.meter.read(held.supervisor.kernelStatus(), { name: held.port, traffic: held.supervisor.traffic });
    if (held.port !== undefined && this.#portKind === "net") {
      held.addresses = addresses(held.port);
    }
    if (this.#readings++ % MEMORY_EVERY > 0) return;
    const { pid, spare } = held.supervisor.view;
    held.memory = {
      process: pid === null ? null : await privateMemory(pid),
      spare: spare.pid === null ? null : await privateMemory(spare.pid),
    };
  }

  /** Hands the device to the kernel's own driver, as the manifest's fallback says. */
  async fallBack(): Promise<void> {
    const { reason } = this.view;
    await this.#alone(async () => {
      this.#failure = reason;
      await this.#letGo({ toKernel: true });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort(new UserError(`${this.name} has no supervisor any more`));
    await this.#alone(() => this.#letGo());
    await this.#attempt?.catch(() => {});
  }

  get #supervisor(): Supervisor {
    if (this.#held) return this.#held.supervisor;
    throw new FleetError("conflict", `${this.name} has no device now: start it`);
  }

  get #portKind(): PortKind | undefined {
    return this.#manifest.grant.port?.kind;
  }

  /** One at a time: what takes and gives back the device. */
  async #alone(work: () => Promise<void>): Promise<void> {
    while (this.#busy) await this.#busy.catch(() => {});
    this.#busy = work();
    try {
      await this.#busy;
    } finally {
      this.#busy = undefined;
    }
  }

  async #takeVersion(options?: UpgradeOptions, fault?: InjectedFault): Promise<Version> {
    const { driver, driverFolder, packages, grant: { port } } = this.#manifest;
    const program = port?.kind === "raw" ? port.program : undefined;
    const version = await this.#options.versions.take(
      { file: driver, folder: driverFolder, program },
      options,
    );
    const { signal } = this.#over;
    const once = fault !== undefined;
    await compile(this.#options.files, version, { packages, like: this.#first, once, signal });
    return { ...version, fault };
  }

  /** Takes another version and has it replace the running one; then clears away those that are of no use. */
  async #try(
    supervisor: Supervisor,
    options: UpgradeOptions,
    fault?: InjectedFault,
  ): Promise<{ from: string; to: string }> {
    const from = supervisor.view.version.id;
    try {
      const version = await this.#takeVersion(options, fault);
      await supervisor.upgrade(version);
      if (!fault) this.#version = version;
      return { from, to: version.id };
    } finally {
      await this.#options.versions.keepOnly(new Set(this.versions));
    }
  }

  async #take(): Promise<Held> {
    const { files, dhcp, onEvent, onDeath } = this.#options;
    const manifest = this.#manifest;
    try {
      this.#failure = null;
      // One of the device's last supervisor, which is no more: it clears away what it finds, and then is over.
      await this.#attempt?.catch(() => {});
      const device = await chooseDevice(manifest, this.#options.device);
      checkDevice(manifest, device);
      this.#first = undefined;
      this.#version = this.#first = await this.#takeVersion();
      await using undo = new AsyncDisposableStack();
      const bound = undo.use(
        await BoundDevice.bind(device, this.#options),
      );
      const { address } = bound.device;
      const supervisor = undo.use(Supervisor.claim(openLibrary(files.library), address, {
        manifest,
        files,
        uid: uidOf(device),
        version: this.#version,
        onEvent: (detail) => {
          onEvent(detail);
          if (detail.type !== "ended" || detail.next !== "give-up") return;
          if (this.#manifest.restart.fallback !== "kernel") return;
          queueMicrotask(() =>
            this.fallBack().catch(({ message }) => onEvent({ type: "log", text: message }))
          );
        },
        onDeath: (death) => onDeath(death, address),
      }));
      bound.claimed();
      undo.move();
      const over = new AbortController();
      const held: Held = {
        bound,
        supervisor,
        meter: new Meter(manifest.grant.port?.kind),
        addresses: [],
        memory: { process: null, spare: null },
        over,
        watch: Promise.resolve(),
      };
      const { signal } = over;
      const kind = manifest.grant.port?.kind;
      if (kind === "block") held.watch = this.#watchDisk(held, signal);
      if (kind === "net") held.watch = this.#watchInterface(held, { dhcp, signal });
      return held;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      this.#failure = { kind: "refused", text };
      this.#since = new Date();
      if (error instanceof KernelError) throw new UserError(text, { cause: error });
      throw error;
    }
  }

  async #letGo(options: { toKernel?: boolean } = {}): Promise<void> {
    const held = this.#held;
    if (!held) return;
    held.over.abort();
    await held.watch;
    await held.supervisor[Symbol.asyncDispose]();
    this.#held = undefined;
    this.#since = new Date();
    await held.bound.giveBack(options);
  }

  /** Tells of the disk once the first driver has made it. */
  async #watchDisk(held: Held, signal: AbortSignal): Promise<void> {
    const { onEvent } = this.#options;
    try {
      while (held.port === undefined && !signal.aborted) {
        held.port = await diskOf(held.bound.device.address);
        if (held.port === undefined) await pause(LOOK, signal);
        else onEvent({ type: "disk", disk: held.port });
      }
    } catch (error) {
      onEvent({ type: "log", text: error instanceof Error ? error.message : String(error) });
    }
  }

  /** Brings the interface up once the first driver has made it, and sees to its address. */
  async #watchInterface(held: Held, { dhcp, signal }: { dhcp: boolean; signal: AbortSignal }): Promise<void> {
    const { onEvent } = this.#options;
    await using undo = new AsyncDisposableStack();
    try {
      while (held.port === undefined && !signal.aborted) {
        const name = await interfaceOf(held.bound.device.address);
        if (name === undefined) {
          await pause(LOOK, signal);
          continue;
        }
        held.port = name;
        onEvent({ type: "interface", interface: name });
        await bringUp(name);
        if (dhcp) undo.use(new DhcpClient(name));
      }
      // Readings see addresses as well, and tell nobody.
      let found: string[] = [];
      for (let ms = LOOK; found.length === 0 && !signal.aborted; ms = Math.min(2 * ms, LONGEST_LOOK)) {
        found = addresses(held.port!);
        if (found.length === 0) await pause(ms, signal);
      }
      if (found.length > 0) {
        held.addresses = found;
        onEvent({ type: "address", addresses: found });
      }
    } catch (error) {
      onEvent({ type: "log", text: error instanceof Error ? error.message : String(error) });
    }
    // The DHCP client lives as long as the device is ours.
    while (!signal.aborted) await pause(2 ** 30, signal);
  }
}
