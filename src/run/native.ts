/** Runs a driver on this machine: loads the module, binds the device, supervises, shows. */
import { UserError } from "../error.ts";
import { KernelError, openLibrary } from "../kernel/mod.ts";
import { describeGrant, formatProblem, type Manifest, matchManifest, resolve } from "../manifest/mod.ts";
import { bind, isConfined, listDevices, type PciDevice, readDevice, release } from "../pci.ts";
import type { Progress } from "../progress.ts";
import type { HostFiles } from "../supervisor/driver_process.ts";
import { Supervisor, type SupervisorEvent } from "../supervisor/supervisor.ts";
import type { Status } from "../view/status.ts";
import { hostFiles, loadModule } from "./files.ts";
import {
  addresses,
  bringUp,
  DhcpClient,
  type InterfaceCounters,
  interfaceOf,
  readCounters,
  readLink,
} from "./interface.ts";
import { needReadable } from "./readable.ts";
import { StateFile } from "./state_file.ts";

/** First of the users that drivers become: a range that neither systemd nor containers use. */
const FIRST_UID = 0x70000000;

/** How often status is taken, milliseconds. */
const INTERVAL = 1000;
/** How often the interface is looked for until it is there, milliseconds. */
const LOOK = 50;

/** What happens during a run, for whoever shows it. */
export type RunEvent =
  | { event: "grant"; lines: string[]; warnings: string[] }
  | { event: "interface"; name: string }
  | { event: "address"; addresses: string[] }
  | { event: "status"; status: Status }
  | { event: "driver"; detail: SupervisorEvent };

/** How to run. */
export interface NativeOptions {
  manifest: Manifest;
  /** PCI address; without one, the only spare device that the manifest matches. */
  device?: string;
  /** Take the device from the kernel's driver that uses it. */
  take: boolean;
  dhcp: boolean;
  yes: boolean;
  progress: Progress;
  onEvent: (event: RunEvent) => void;
  /** Ends the run. */
  signal: AbortSignal;
}

/** The device to run on. @throws {UserError} if there is none or more than one, or it is in use. */
async function chooseDevice(manifest: Manifest, address: string | undefined): Promise<PciDevice> {
  if (address !== undefined) return await readDevice(address);
  const matching = (await listDevices()).filter((device) => matchManifest(device, [manifest]));
  const spare = matching.filter(({ driver }) => driver === null || driver === "ring3");
  if (spare.length === 1) return spare[0];
  if (matching.length === 0) {
    throw new UserError(`This machine has no device that ${manifest.file} matches; see: ring3 list --all`);
  }
  const text = matching.map(({ address, driver }) => `${address} (${driver ?? "spare"})`).join(", ");
  throw new UserError(`Say which device with --device: ${text}`);
}

/** A user of its own for each device, which owns nothing: the range begins with 0000:00:00.0. */
function uidOf({ address }: PciDevice): number {
  const [domain, bus, slot, fn] = address.split(/[:.]/).map((part) => parseInt(part, 16));
  return FIRST_UID + (domain & 0xfff) * 0x10000 + bus * 0x100 + slot * 8 + fn;
}

function warningsOf(device: PciDevice): string[] {
  return isConfined(device)
    ? []
    : ["unsafe: no IOMMU confines this device, so its driver can make it reach all memory"];
}

/**
 * Runs until `signal` aborts (then it resolves), or the driver is given up.
 * @throws {UserError} with what is wrong and what to do.
 */
export async function runNative(options: NativeOptions): Promise<void> {
  const { manifest, onEvent, signal } = options;
  if (Deno.uid() !== 0) {
    throw new UserError("Running a driver on this machine takes root: it loads a module and binds a device");
  }
  const device = await chooseDevice(manifest, options.device);
  const problems = resolve(manifest, device);
  if (problems.length > 0) throw new UserError(problems.map(formatProblem).join("\n"));

  await using undo = new AsyncDisposableStack();
  const files = await hostFiles(options);
  await needReadable([...Object.values(files), manifest.driver]);
  await loadModule();
  try {
    const { supervisor, bound } = await take(device, { ...options, files, undo });
    onEvent({ event: "grant", lines: describeGrant(manifest, bound), warnings: warningsOf(bound) });

    const over = new AbortController();
    const stop = () => {
      over.abort();
      supervisor.stop();
    };
    signal.addEventListener("abort", stop);
    undo.defer(() => signal.removeEventListener("abort", stop));
    if (signal.aborted) return;

    const watching = watch(supervisor, { ...options, device: bound, signal: over.signal });
    // A run that nobody can see is of no use; nor is a view of a run that is over.
    watching.catch(stop);
    const reason = await supervisor.run().finally(() => over.abort());
    await watching;
    if (reason) throw new UserError(`${manifest.name} on ${device.address} was given up: ${reason.text}`);
  } catch (error) {
    if (error instanceof KernelError) throw new UserError(error.message, { cause: error });
    throw error;
  }
}

/** Binds and claims a device; `undo` gives it back, but only if the claim was ours to have. */
async function take(
  device: PciDevice,
  options: NativeOptions & { files: HostFiles; undo: AsyncDisposableStack },
): Promise<{ supervisor: Supervisor; bound: PciDevice }> {
  const { manifest, files, undo, onEvent } = options;
  const { address } = device;
  const { previous } = await bind(address, "ring3", { take: options.take });
  const giveBack = async () => {
    await release(address, { previous });
  };
  try {
    // Whether it is confined is known for sure once it is bound.
    const bound = await readDevice(address);
    const supervisor = Supervisor.claim(openLibrary(files.library), address, {
      manifest,
      files,
      uid: uidOf(device),
      onEvent: (detail) => onEvent({ event: "driver", detail }),
    });
    undo.defer(giveBack);
    undo.use(supervisor);
    return { supervisor, bound };
  } catch (error) {
    // Bound already means that another supervisor may hold it.
    if (device.driver !== "ring3") await giveBack();
    throw error;
  }
}

/** Brings the interface up once it is there, and reports the status every second. */
async function watch(
  supervisor: Supervisor,
  options: Omit<NativeOptions, "device"> & { device: PciDevice },
): Promise<void> {
  const { manifest, device, onEvent, signal } = options;
  await using undo = new AsyncDisposableStack();
  const file = undo.use(new StateFile(`${manifest.name}-${device.address}`));
  const meter = new Meter(supervisor, manifest, device);
  let name: string | undefined;
  let known = "";
  for (let next = performance.now(); !signal.aborted;) {
    if (name === undefined && (name = await interfaceOf(device.address)) !== undefined) {
      onEvent({ event: "interface", name });
      await bringUp(name);
      if (options.dhcp) undo.use(new DhcpClient(name));
    }
    if (name !== undefined && known === "") {
      const found = await addresses(name).catch(() => []);
      known = found.join(" ");
      if (known) onEvent({ event: "address", addresses: found });
    }
    if (performance.now() >= next) {
      next = performance.now() + INTERVAL;
      const status = await meter.read(name);
      onEvent({ event: "status", status });
      await file.write({ supervisor: Deno.pid, driver: supervisor.pid ?? null, status });
    }
    await pause(known === "" ? LOOK : Math.max(0, next - performance.now()), signal);
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}

interface Reading {
  at: number;
  counters?: InterfaceCounters;
  irqs: bigint;
  wakeups: bigint;
}

/** Turns counters of the kernel, which no driver can forge, into rates. */
class Meter {
  readonly #supervisor: Supervisor;
  readonly #manifest: Manifest;
  readonly #device: PciDevice;
  readonly #start = performance.now();
  #last?: Reading;

  constructor(supervisor: Supervisor, manifest: Manifest, device: PciDevice) {
    this.#supervisor = supervisor;
    this.#manifest = manifest;
    this.#device = device;
  }

  async read(name: string | undefined): Promise<Status> {
    const kernel = this.#supervisor.kernelStatus();
    const now: Reading = {
      at: performance.now(),
      counters: name === undefined ? undefined : await readCounters(name),
      irqs: kernel.irqs_total,
      wakeups: kernel.wakeups_total,
    };
    const before = this.#last ?? now;
    this.#last = now;
    const seconds = Math.max((now.at - before.at) / 1000, 0.001);
    const rate = (key: keyof InterfaceCounters) =>
      ((now.counters?.[key] ?? 0) - (before.counters?.[key] ?? now.counters?.[key] ?? 0)) / seconds;
    const wakeups = Number(now.wakeups - before.wakeups) / seconds;
    const rx = { packets: rate("rxPackets"), bytes: rate("rxBytes") };
    const tx = { packets: rate("txPackets"), bytes: rate("txBytes") };
    return {
      name: this.#manifest.name,
      address: this.#device.address,
      state: this.#supervisor.state,
      link: name === undefined ? { up: false, speed: 0 } : await readLink(name),
      interface: name ?? null,
      addresses: name === undefined ? [] : await addresses(name).catch(() => []),
      rx,
      tx,
      interruptsPerSecond: Number(now.irqs - before.irqs) / seconds,
      packetsPerWakeup: wakeups > 0 ? (rx.packets + tx.packets) / wakeups : 0,
      restarts: this.#supervisor.restarts,
      uptime: (performance.now() - this.#start) / 1000,
      grant: describeGrant(this.#manifest, this.#device, { interface: name }),
      warnings: warningsOf(this.#device),
    };
  }
}
