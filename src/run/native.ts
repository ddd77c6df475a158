/** Runs a driver on this machine: prepares it, starts a supervisor, and passes on what that tells. */
import { resolve } from "node:path";
import { sendSignal } from "../child.ts";
import { lines } from "../lines.ts";
import type { Manifest } from "../manifest/mod.ts";
import type { Progress } from "../progress.ts";
import type { RunEvent } from "../supervisor/main.ts";
import { supervisorCommand } from "../supervisor/permissions.ts";
import { prepareMachine } from "./files.ts";
import { foldersOf, ownPlaces, programsOf } from "./places.ts";
import { needReadable } from "./readable.ts";

export type { RunEvent };

/** How to run. */
export interface NativeOptions {
  manifest: Manifest;
  /** PCI address; without one, the only spare device that the manifest matches. */
  device?: string;
  /** Take the device from the kernel's driver that uses it. */
  take: boolean;
  dhcp: boolean;
  /** Let faults be injected. */
  allowFaults: boolean;
  /** Where the API is to listen; without it, where the supervisor finds a free port. */
  listen?: { hostname: string; port: number } | null;
  yes: boolean;
  progress: Progress;
  onEvent: (event: RunEvent) => void;
  /** Ends the run. */
  signal: AbortSignal;
}

/**
 * Runs until `signal` aborts, or the supervisor ends by itself; its exit status. What it complains of goes to
 * standard error.
 * @throws {UserError} if this machine cannot be prepared.
 */
export async function runNative(options: NativeOptions): Promise<number> {
  const { manifest, device, take, dhcp, allowFaults, listen, onEvent, signal } = options;
  await prepareMachine(options);
  await needReadable([manifest.driver, ...programsOf(manifest)]);
  if (signal.aborted) return 0;
  const places = { ...ownPlaces(), folders: foldersOf([manifest]), listen };
  const { argv, env } = supervisorCommand(places, [
    resolve(manifest.file),
    "--json",
    ...(device === undefined ? [] : ["--device", device]),
    ...(take ? ["--take"] : []),
    ...(dhcp ? [] : ["--no-dhcp"]),
    ...(allowFaults ? ["--allow-faults"] : []),
  ]);
  const child = new Deno.Command("setpriv", {
    // It ends with this process, however that ends.
    args: ["--pdeathsig", "TERM", "--", ...argv],
    env,
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const stop = () => sendSignal(child, "SIGTERM");
  signal.addEventListener("abort", stop);
  try {
    for await (const line of lines(child.stdout)) onEvent(JSON.parse(line) as RunEvent);
    return (await child.status).code;
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}
