/** The manifest under which a driver is soaked: that of its users, with another policy for its ends. */
import { relative, resolve } from "node:path";
import { checkout } from "../lab/checkout.ts";
import type { Lab } from "../lab/mod.ts";
import { CHECKOUT } from "../lab/guest.ts";
import { UserError } from "../error.ts";

/** What differs from the manifest that users have. */
export interface SoakPolicy {
  /** Keep a second process waiting. */
  spare: boolean;
  /** `limits.stall`, milliseconds. */
  stall: number;
  /** `limits.start`, milliseconds; default that of users. */
  start?: number;
  /** Of the port, what differs: a disk's `onDeath` and `hold`. */
  port?: { onDeath?: "reissue" | "fail"; hold?: string; request?: string };
  /** How long each driver after the second waits until it is started, milliseconds; default 0. */
  backoff?: number;
}

/**
 * A manifest's text with the policy of a soak: ended as often as it may be, the driver is started again at
 * once.
 * @param text The manifest that users have.
 * @param policy With the folders that it comes from and goes to: its `driver` is relative to them.
 */
export function soakManifest(text: string, policy: SoakPolicy & { from: string; to: string }): string {
  const { spare, stall, start, port, backoff = 0, from, to } = policy;
  const manifest = JSON.parse(text) as Record<string, unknown>;
  const grant = manifest.grant as Record<string, unknown>;
  return JSON.stringify({
    ...manifest,
    driver: relative(to, resolve(from, manifest.driver as string)),
    grant: { ...grant, port: { ...grant.port as Record<string, unknown>, ...port } },
    spare,
    restart: {
      on: "always",
      budget: "unlimited",
      backoff: { from: `${backoff}ms`, to: `${backoff}ms` },
    },
    limits: {
      ...manifest.limits as Record<string, unknown> | undefined,
      stall: `${stall}ms`,
      ...(start === undefined ? {} : { start: `${start}ms` }),
    },
  });
}

/** Where soaks keep their manifests in the guest. */
const FOLDER = "/tmp/soak";

/**
 * Writes the manifest of `driver` with a policy into a lab, under a name of its own.
 * @returns Its path there, for `ring3 run`.
 * @throws {UserError} if there is no manifest of that name.
 */
export async function writeManifest(lab: Lab, driver: string, policy: SoakPolicy): Promise<string> {
  const text = await Deno.readTextFile(`${checkout()}/manifests/${driver}.json`).catch((cause) => {
    throw new UserError(`There is no manifest of the driver ${driver} in ${checkout()}/manifests`, { cause });
  });
  const { spare, stall, start, port, backoff } = policy;
  const { onDeath, hold, request } = port ?? {};
  const name = [driver, spare ? "spare" : "alone", stall, start, onDeath, hold, request, backoff];
  const path = `${FOLDER}/${name.filter((part) => part !== undefined).join("-")}.json`;
  const { code, stderr } = await lab.exec(["dash", "-c", `mkdir -p ${FOLDER} && cat > ${path}`], {
    stdin: soakManifest(text, { ...policy, from: `${CHECKOUT}/manifests`, to: FOLDER }),
  });
  if (code !== 0) throw new UserError(`Cannot write a manifest into the lab: ${stderr.trim()}`);
  return path;
}
