/**
 * The supervisor's process: takes devices, keeps drivers running on them, and serves the API. It is started with
 * the permissions of `permissions.ts`, when everything is built and the module is loaded.
 */
import { DEFAULT_PORT, serveApi } from "../api/mod.ts";
import { type Command, defineCommand, duration, flag, text } from "../cli/args.ts";
import { exitStatus } from "../cli/exit.ts";
import { clearStaged } from "../client/stage.ts";
import { USAGE, UserError } from "../error.ts";
import { ERRNO, KernelError } from "../kernel/mod.ts";
import { findManifests, type Manifest, matchManifest } from "../manifest/mod.ts";
import { listDevices } from "../pci.ts";
import { builtFiles } from "../run/files.ts";
import { findManifest, MANIFESTS } from "../run/manifests.ts";
import { STATE_DIRECTORY } from "../run/state.ts";
import { eventText } from "../view/event.ts";
import { plain } from "../view/render.ts";
import { parseListen } from "./listen.ts";
import { FleetError } from "./contract.ts";
import { sharedLibraries } from "./compile.ts";
import { DriverFleet } from "./fleet.ts";
import { Notifier } from "./notify.ts";
import { Output } from "./output.ts";
import { DEFAULT_PORTS } from "./permissions.ts";
import { RunFolder, runningSupervisors } from "./run_folder.ts";
import type { Driver, Event } from "./schema.ts";

/** How often status is told, milliseconds. */
const INTERVAL = 1000;

/** What the supervisor tells with `--json`, a line each. */
export type RunEvent =
  | Event
  | { type: "status"; driver: Driver }
  | { type: "serving"; url: string; enter: string };

type Api = Awaited<ReturnType<typeof serveApi>>;

/** Serves on the port that was asked for, or else on the first that is free. */
async function serve(
  fleet: DriverFleet,
  { listen, state }: { listen: ReturnType<typeof parseListen>; state: string },
): Promise<Api | undefined> {
  if (listen === null) return undefined;
  const isTaken = (error: unknown): error is UserError =>
    error instanceof UserError && error.cause instanceof Deno.errors.AddrInUse;
  if (listen) {
    return await serveApi(fleet, { ...listen, state }).catch((error) => {
      throw isTaken(error) ? new UserError(`${error.message} with --listen`, { cause: error.cause }) : error;
    });
  }
  for (const port of DEFAULT_PORTS) {
    try {
      return await serveApi(fleet, { port, state });
    } catch (error) {
      if (!isTaken(error)) throw error;
    }
  }
  throw new UserError(
    `Ports ${DEFAULT_PORT} to ${
      DEFAULT_PORTS.at(-1)
    } are taken; name another with --listen, or none with --listen none`,
  );
}

/** Every manifest that drives a device which is spare, or is to be taken. */
async function allMatching(folder: string, { take }: { take: boolean }): Promise<Manifest[]> {
  const [{ manifests, errors }, devices] = await Promise.all([findManifests(folder), listDevices()]);
  for (const { message } of errors) console.error(message.replace(/^/gm, "ring3: "));
  const spare = devices.filter(({ driver }) => take || driver === null || driver === "ring3");
  const matching = manifests.filter((manifest) => spare.some((device) => matchManifest(device, [manifest])));
  if (matching.length > 0) return matching;
  throw new UserError(
    `This machine has no spare device that a manifest in ${folder} matches; see: ring3 list --all`,
  );
}

/** Starts a driver. @throws {UserError} that says who has its device, if somebody else supervises it. */
async function start(fleet: DriverFleet, name: string): Promise<void> {
  try {
    await fleet.start(name);
  } catch (error) {
    const { cause } = error as Error;
    if (!(cause instanceof KernelError) || cause.errno !== ERRNO.EBUSY) {
      throw error instanceof FleetError ? new UserError(error.message, { cause: error }) : error;
    }
    const others = (await runningSupervisors()).filter(({ pid }) => pid !== Deno.pid);
    const named = others.map(({ pid, url }) => `process ${pid}${url === null ? "" : ` (${url})`}`).join(", ");
    const who = others.length === 0 ? "" : `; drivers are supervised by ${named}`;
    throw new UserError(`${(error as Error).message}${who}`, { cause });
  }
}

/**
 * Resolves when no driver runs any more and nobody has asked for that: those on request may be started again.
 * @throws {UserError} that names the drivers that were given up.
 */
function allEnded(fleet: DriverFleet): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  fleet.subscribe((event) => {
    if (event.type !== "ended" || event.next === "restart") return;
    // Told of before its state changes.
    queueMicrotask(() => {
      const drivers = fleet.drivers();
      const over = drivers.every(({ state, reason }) =>
        state === "failed" || (state === "stopped" && reason?.kind !== "operator")
      );
      if (!over) return;
      const failed = drivers.filter(({ state }) => state === "failed");
      if (failed.length === 0) return resolve();
      const lines = failed.map(({ name, reason }) => `${name} was given up: ${plain(reason?.text ?? "")}`);
      reject(new UserError(lines.join("\n")));
    });
  });
  promise.catch(() => {});
  return promise;
}

/** The program. */
export const supervisorCommand: Command = defineCommand({
  name: "ring3-supervisor",
  summary: "Supervise drivers on devices of this machine",
  positionals: [{ name: "[driver…]", description: "names of manifests, or the files of some" }],
  options: {
    all: flag("every manifest that matches a spare device; goes on when drivers end"),
    device: text("the device, for a single driver", { value: "ADDRESS" }),
    take: flag("take devices from the kernel's drivers that use them"),
    "no-dhcp": flag("bring interfaces up, but leave their addresses alone"),
    "allow-faults": flag("let faults be injected into drivers through the API"),
    json: flag("print events and states as JSON"),
    listen: text("where the API and the dashboard are; without it, the first free port from 7333 on", {
      value: "HOST:PORT|none",
    }),
    // A user at the terminal waits for it.
    end: duration("how long an orderly end may take before it is cut short", { default: "2400ms" }),
    state: text("state directory", { value: "FOLDER", default: STATE_DIRECTORY }),
    manifests: text("folder of manifests", { value: "FOLDER", default: MANIFESTS }),
  },
  notes: ["SIGHUP has it read its manifests again; SIGTERM and SIGINT end it and give its devices back."],
  async main({ positionals: names, options }) {
    const { all, device, take, json, end, state, manifests: folder } = options;
    if (all ? names.length > 0 : names.length === 0) {
      throw new UserError("Name the drivers to supervise, or give --all and no names", { code: USAGE });
    }
    if (device !== undefined && names.length !== 1) {
      throw new UserError("--device is for a single driver: the others would want the same one", {
        code: USAGE,
      });
    }
    if (Deno.uid() !== 0) {
      throw new UserError("Supervising drivers takes root: it binds devices and becomes other users");
    }
    const listen = parseListen(options.listen);
    const interrupted = new AbortController();
    const over = Promise.withResolvers<void>();
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      Deno.addSignalListener(signal, () => {
        interrupted.abort();
        over.resolve();
        Deno.unrefTimer(setTimeout(() => {
          console.error("ring3: the drivers did not end in time; the kernel ends them with this process");
          Deno.exit(1);
        }, end));
      });
    }

    const manifests = all
      ? await allMatching(folder, { take })
      : await Promise.all(names.map((name) => findManifest(name, folder)));
    await using output = new Output();
    const tell = (event: RunEvent) => {
      if (json) return output.line(JSON.stringify(event));
      if (event.type === "serving") {
        return output.line(`dashboard: ${event.enter} (good once; another: ring3 dashboard)`);
      }
      if (event.type !== "status") {
        for (const line of eventText(event)) output.line(plain(`${event.driver} ${line}`));
      }
    };
    using notifier = Notifier.open();
    await using own = await RunFolder.make();
    if ((await runningSupervisors()).length === 0) await clearStaged(state);
    await using fleet = new DriverFleet(manifests, {
      files: { ...builtFiles(), libraries: await sharedLibraries(builtFiles()) },
      runtime: own.path,
      state,
      device,
      take,
      dhcp: !options["no-dhcp"],
      allowFaults: options["allow-faults"],
    });
    fleet.subscribe(tell);
    const ended = all ? new Promise<void>(() => {}) : allEnded(fleet);
    await using api = await serve(fleet, { listen, state });
    await own.tell({ url: api?.url ?? null, state });
    if (api) tell({ type: "serving", url: api.url, enter: api.enterUrl() });

    Deno.addSignalListener("SIGHUP", async () => {
      await notifier.tell("RELOADING=1");
      await fleet.reload();
      await notifier.ready("supervising");
    });
    const timer = setInterval(() => {
      for (const driver of fleet.drivers()) tell({ type: "status", driver });
    }, INTERVAL);
    try {
      const starts = manifests.map(async ({ name }) => {
        try {
          await start(fleet, name);
        } catch (error) {
          if (interrupted.signal.aborted) return;
          if (!all) throw error;
          console.error(`ring3: ${name}: ${error instanceof Error ? error.message : error}`);
        }
      });
      await Promise.race([Promise.all(starts), over.promise, ended]);
      if (!interrupted.signal.aborted) {
        await notifier.ready(`supervising ${manifests.map(({ name }) => name).join(", ")}`);
      }
      await Promise.race([over.promise, ended]);
    } finally {
      clearInterval(timer);
      await notifier.tell("STOPPING=1");
    }
    return 0;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => supervisorCommand.run(Deno.args)));
