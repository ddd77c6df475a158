/** Runs a driver in the lab: boots it, starts a supervisor in there, and checks from outside. */
import { dirname } from "node:path";
import type { DiskCheck } from "../check/disk.ts";
import { check, type CheckResult } from "../check/mod.ts";
import { UserError } from "../error.ts";
import {
  boot,
  type BootOptions,
  freePort,
  type Hardware,
  type Lab,
  nicNetwork,
  prepare,
} from "../lab/mod.ts";
import type { RunningLab } from "../lab/running.ts";
import type { Progress } from "../progress.ts";
import { lines } from "../lines.ts";
import { CHECKOUT } from "../lab/guest.ts";
import type { RunEvent } from "../supervisor/main.ts";
import { DEFAULT_PORTS, supervisorCommand, type SupervisorPlaces } from "../supervisor/permissions.ts";
import { within } from "../within.ts";
import { labPlaces } from "./places.ts";

/** How to run in the lab. */
export interface LabOptions {
  hardware: Hardware;
  yes: boolean;
  progress: Progress;
  /** Ends the run, and the lab with it. */
  signal: AbortSignal;
}

/** How long the driver may take until its interface has an address, or its disk is there; milliseconds. */
const ADDRESS_MS = 60_000;

/** Boots a lab. Interrupted before it is up, it is given up at once: it ends with this process. */
export async function startLab(
  { hardware, yes, progress, signal, disks, packages }: LabOptions & Pick<BootOptions, "disks" | "packages">,
): Promise<Lab> {
  const interrupted = new Promise<never>((_, reject) =>
    signal.addEventListener("abort", () => reject(new UserError("Interrupted", { code: 130 })))
  );
  // It may well come later, when nobody waits for it here.
  interrupted.catch(() => {});
  const work = async () => {
    await prepare(hardware.kernel, { progress, yes });
    progress("booting the lab");
    return await boot(hardware, { progress, disks, packages });
  };
  return await Promise.race([work(), interrupted]);
}

/** What the guest's kernel has complained about, as an error; nothing if it has not. */
function complainOf(lab: Lab): void {
  const problems = lab.kernelProblems();
  if (problems.length > 0) {
    throw new UserError(`The lab's kernel has a problem:\n${problems.join("\n")}`, { code: 70 });
  }
}

const LOADED = "test -d /sys/module/ring3";

/**
 * A line of shell that loads the module in a lab, unless it is loaded. Of two who load it at once the kernel refuses
 * one, when the other's is there.
 */
export const LOAD_MODULE =
  `${LOADED} || refused=$(insmod "${CHECKOUT}/build/module/$(uname -r)/ring3.ko" 2>&1) || ` +
  `${LOADED} || { echo "$refused" >&2; false; }`;

/** What loads the module and becomes the supervisor. */
const LOAD_AND_RUN = `${LOAD_MODULE} || exit
exec "$@"`;

/**
 * The command that runs a supervisor in a lab, by itself: another Deno in between would cost seconds.
 * @param args A manifest's name or file there, and options of `src/supervisor/main.ts`.
 * @param places `folders`: what it reads there besides the folder of the manifest.
 */
export function supervisorInLab(
  [manifest, ...options]: readonly string[],
  { folders = [], listen }: Pick<SupervisorPlaces, "folders" | "listen"> = {},
): string[] {
  const own = manifest.includes("/") ? [dirname(manifest)] : [];
  const places = { ...labPlaces(), folders: [...own, ...folders], listen };
  const { argv, env } = supervisorCommand(places, [manifest, ...options, "--json"]);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return ["env", "-i", ...variables, "sh", "-c", LOAD_AND_RUN, "sh", ...argv];
}

/** Starts a supervisor in a lab, with its API at the same address in the lab and on this machine. */
async function supervise(
  lab: Lab,
  args: readonly string[],
  folders?: readonly string[],
): Promise<Deno.ChildProcess> {
  const port = await freeDefaultPort();
  const refused = await lab.running.forward(`127.0.0.1:${port}`, port);
  if (refused !== undefined) throw new UserError(`Cannot forward port ${port} to the lab: ${refused}`);
  return lab.spawn(supervisorInLab(args, { folders, listen: { hostname: "127.0.0.1", port } }), {
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  });
}

/** The first port from the supervisor's usual one on that nobody here listens on; else any. */
async function freeDefaultPort(): Promise<number> {
  for (const port of DEFAULT_PORTS) {
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
  return await freePort("tcp");
}

/** Runs a driver in a lab until the user has had enough, and passes on what happens. The exit status. */
export async function runInLab(
  args: string[],
  options: LabOptions & {
    /** What the supervisor reads in the lab besides the manifest's folder. */
    folders?: readonly string[];
    onEvent: (event: RunEvent) => void;
    onLab?: (lab: RunningLab) => void;
  },
): Promise<number> {
  await using lab = await startLab(options);
  options.onLab?.(lab.running);
  const child = await supervise(lab, args, options.folders);
  const aborted = new Promise<undefined>((resolve) =>
    options.signal.addEventListener("abort", () => resolve(undefined))
  );
  const run = (async () => {
    for await (const line of lines(child.stdout)) options.onEvent(JSON.parse(line) as RunEvent);
    return await child.status;
  })();
  // When the user has had enough, the machine goes, whatever runs in it.
  const status = await Promise.race([run, aborted]);
  if (!status) return 0;
  complainOf(lab);
  return status.code;
}

/** What `run --check` has found. */
export interface LabCheck {
  /** Milliseconds from the start of the driver's process to its first packet being possible. */
  bringUpMs: number;
  /** The interface's addresses. */
  addresses: string[];
  traffic: CheckResult;
}

/**
 * Runs a driver in the lab and sends traffic through it from outside.
 * @throws {UserError} if the driver does not come up, or the guest's kernel complains.
 */
export async function checkInLab(args: string[], options: LabOptions): Promise<LabCheck> {
  const { progress } = options;
  await using lab = await startLab(options);
  progress("starting the driver");
  const child = await supervise(lab, args);
  const events = lines(child.stdout);
  const { name, bringUpMs, addresses } = await within(comeUp(events), ADDRESS_MS, {
    message: `The interface had no address after ${ADDRESS_MS / 1000} s`,
  });
  // Read on, so that the driver's supervisor never waits for us.
  const rest = (async () => {
    for await (const _ of events);
  })();
  const traffic = await check(async (inside) => {
    const { code, stdout } = await lab.exec([
      "deno",
      "run",
      "-A",
      "--cached-only",
      "src/check/inside.ts",
      ...inside,
    ], { stderr: "inherit" });
    return { code, stdout };
  }, { interface: name, host: nicNetwork(0).host });
  complainOf(lab);
  await lab.close();
  await rest;
  return { bringUpMs, addresses, traffic };
}

/**
 * Runs a driver in the lab, and writes and reads its disk.
 * @throws {UserError} if the driver does not come up, or the guest's kernel complains.
 */
export async function checkDiskInLab(
  args: string[],
  options: LabOptions,
): Promise<{ bringUpMs: number; disk: DiskCheck }> {
  const { progress } = options;
  await using lab = await startLab(options);
  progress("starting the driver");
  const child = await supervise(lab, args);
  const events = lines(child.stdout);
  const { name, bringUpMs } = await within(diskComeUp(events), ADDRESS_MS, {
    message: `There was no disk after ${ADDRESS_MS / 1000} s`,
  });
  const rest = (async () => {
    for await (const _ of events);
  })();
  const { code, stdout } = await lab.exec(
    ["deno", "run", "-A", "--cached-only", "src/check/disk.ts", "--disk", name],
    { stderr: "inherit" },
  );
  const last = stdout.trim().split("\n").pop() ?? "";
  if (!last.startsWith("{")) {
    throw new UserError(`Check of ${name}: it ended with status ${code} and without a result`);
  }
  complainOf(lab);
  await lab.close();
  await rest;
  return { bringUpMs, disk: JSON.parse(last) as DiskCheck };
}

/** The next event of a driver that comes up. */
async function nextOf(events: AsyncGenerator<string>): Promise<RunEvent> {
  const { value: line, done } = await events.next();
  if (done) throw new UserError("The driver did not come up; the lines above say why");
  return JSON.parse(line) as RunEvent;
}

/** Reads events until there is a disk, and a driver of it. */
async function diskComeUp(events: AsyncGenerator<string>) {
  let name: string | undefined;
  let bringUpMs: number | undefined;
  for (;;) {
    const event = await nextOf(events);
    if (event.type === "disk") name = event.disk;
    if (event.type === "ready") bringUpMs = event.ms;
    if (name !== undefined && bringUpMs !== undefined) return { name, bringUpMs };
  }
}

/** Reads events until the interface has an address. */
async function comeUp(events: AsyncGenerator<string>) {
  let name = "";
  let bringUpMs = 0;
  for (;;) {
    const event = await nextOf(events);
    if (event.type === "interface") name = event.interface;
    if (event.type === "ready") bringUpMs = event.ms;
    if (event.type === "address") return { name, bringUpMs, addresses: event.addresses };
  }
}
