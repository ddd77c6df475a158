/** Where things are that a supervisor is started from: on this machine, and in the lab. */
import { dirname, resolve } from "node:path";
import { checkout } from "../lab/checkout.ts";
import { CHECKOUT, DENO, DENO_DIR } from "../lab/guest.ts";
import type { Manifest } from "../manifest/mod.ts";
import type { SupervisorPlaces } from "../supervisor/permissions.ts";

/** Deno's cache, by its own rules. */
export function denoDir(): string {
  const cache = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") || "/root"}/.cache`;
  return resolve(Deno.env.get("DENO_DIR") || `${cache}/deno`);
}

/** The folders that manifests, their drivers and programs are in. */
export function foldersOf(manifests: readonly Manifest[]): string[] {
  return manifests.flatMap((manifest) => [
    dirname(resolve(manifest.file)),
    manifest.driverFolder,
    ...programsOf(manifest).map((program) => dirname(program)),
  ]);
}

/** The files of programs that a manifest names. */
export function programsOf({ grant: { port } }: Manifest): string[] {
  return port?.kind === "raw" ? [port.program] : [];
}

/** The places on this machine. */
export function ownPlaces(): SupervisorPlaces {
  return {
    deno: Deno.execPath(),
    checkout: checkout(),
    denoDir: denoDir(),
  };
}

/** The places in the lab. */
export function labPlaces(): SupervisorPlaces {
  return {
    deno: DENO,
    checkout: CHECKOUT,
    denoDir: DENO_DIR,
  };
}
