/** Runs a driver on this machine: loads the module, binds the device, supervises, shows. */
import { UserError } from "../error.ts";
import type { Manifest } from "../manifest/mod.ts";
import type { Progress } from "../progress.ts";
import { DriverFleet } from "../supervisor/fleet.ts";
import type { Driver, Event } from "../supervisor/schema.ts";
import { hostFiles, loadModule } from "./files.ts";
import { STATE_DIRECTORY } from "./state.ts";
import { needReadable } from "./readable.ts";

/** How often status is told, milliseconds. */
const INTERVAL = 1000;

/** Folder for what lives as long as the machine runs. */
export const RUNTIME_DIRECTORY = "/run/ring3";

/** What happens during a run, for whoever shows it. */
export type RunEvent =
  | Event
  | { type: "status"; driver: Driver }
  | { type: "serving"; url: string; enter: string };

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

/**
 * Runs until `signal` aborts (then it resolves), or the driver is given up.
 * @throws {UserError} with what is wrong and what to do.
 */
export async function runNative(options: NativeOptions): Promise<void> {
  const { manifest, onEvent, signal } = options;
  if (Deno.uid() !== 0) {
    throw new UserError("Running a driver on this machine takes root: it loads a module and binds a device");
  }
  const files = await hostFiles(options);
  await needReadable([...Object.values(files), manifest.driver]);
  await loadModule();
  await using fleet = new DriverFleet([manifest], {
    ...options,
    files,
    runtime: RUNTIME_DIRECTORY,
    state: STATE_DIRECTORY,
  });
  const over = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => over.resolve());
  fleet.subscribe((event) => {
    onEvent(event);
    if (event.type !== "ended" || event.next === "restart" || signal.aborted) return;
    if (event.next === "stop") over.resolve();
    else over.reject(new UserError(`${manifest.name} was given up: ${event.reason.text}`));
  });
  over.promise.catch(() => {});
  const timer = setInterval(() => onEvent({ type: "status", driver: fleet.driver(manifest.name) }), INTERVAL);
  try {
    if (signal.aborted) return;
    const starting = fleet.start(manifest.name);
    await Promise.race([starting, over.promise]);
    await over.promise;
  } finally {
    clearInterval(timer);
  }
}
