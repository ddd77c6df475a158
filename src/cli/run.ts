/** `ring3 run`: a driver in the lab, or on this machine with `--native`. */
import { dirname, relative, resolve } from "node:path";
import { formatDiskCheck } from "../check/disk.ts";
import { formatCheck } from "../check/mod.ts";
import { findTargets } from "../client/target.ts";
import { upgrade } from "../client/upgrade.ts";
import { UserError } from "../error.ts";
import { checkout } from "../lab/checkout.ts";
import { CHECKOUT } from "../lab/guest.ts";
import { disksFor, parseHardware } from "../lab/mod.ts";
import type { RunningLab } from "../lab/running.ts";
import type { Manifest } from "../manifest/mod.ts";
import { progressOnStderr } from "../progress.ts";
import { inLab } from "../run/files.ts";
import { checkDiskInLab, checkInLab, runInLab } from "../run/lab.ts";
import { findManifest } from "../run/manifests.ts";
import { type RunEvent, runNative } from "../run/native.ts";
import { programsOf } from "../run/places.ts";
import { watchFolder } from "../run/watch.ts";
import { parseListen } from "../supervisor/listen.ts";
import type { Driver } from "../supervisor/schema.ts";
import { eventText } from "../view/event.ts";
import { LiveView } from "../view/live.ts";
import { type Command, defineCommand, flag, text } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { untilInterrupted } from "./interrupted.ts";

/** Where a manifest or a program is in the lab, which sees this checkout and nothing else of this machine. */
function inCheckout(file: string): string {
  const path = relative(checkout(), resolve(file));
  if (!path.startsWith("..")) return `${CHECKOUT}/${path}`;
  throw new UserError(
    `The lab sees only this checkout: move ${file} into ${checkout()}, or use --native`,
  );
}

/** Shows events to a person. */
class Shown implements Disposable {
  readonly #view = new LiveView();
  #grantTold = false;

  event(event: RunEvent): void {
    const view = this.#view;
    switch (event.type) {
      case "status":
        // Before it has its device there is nothing to be seen of it.
        if (event.driver.address === null && event.driver.state === "stopped") break;
        this.#tellGrant(event.driver);
        view.show(event.driver);
        break;
      case "serving":
        view.dashboard = event.url;
        view.print(`dashboard: ${event.enter} (good once; another: ring3 dashboard)`);
        break;
      case "ready":
        view.print(`driver ready after ${event.ms.toFixed(0)} ms`);
        break;
      case "log":
        view.print(`driver: ${event.text}`);
        break;
      case "ended":
      case "disk":
      case "recovered":
      case "upgrade":
      case "fault":
      case "manifest":
        for (const line of eventText(event)) view.print(`driver ${line}`);
        break;
    }
  }

  print(text: string): void {
    this.#view.print(text);
  }

  /** What it may touch is told as soon as it is known, and stands in the view from then on. */
  #tellGrant({ grant, warnings }: Driver): void {
    if (this.#grantTold || grant.length === 0) return;
    this.#grantTold = true;
    this.#view.print("This driver may touch:");
    for (const line of grant) this.#view.print(`  ${line}`);
    for (const warning of warnings) this.#view.print(`warning: ${warning}`);
  }

  [Symbol.dispose](): void {
    this.#view[Symbol.dispose]();
  }
}

/** What a run gets to tell of itself. */
interface Telling {
  onEvent: (event: RunEvent) => void;
  /** A line beside the events, for people. */
  print: (text: string) => void;
}

/** Runs with events shown as the user wants them. */
async function shown<T>(json: boolean, work: (telling: Telling) => Promise<T>): Promise<T> {
  if (json) {
    return await work({ onEvent: (event) => console.log(JSON.stringify(event)), print: console.error });
  }
  using shown = new Shown();
  return await work({ onEvent: (event) => shown.event(event), print: (text) => shown.print(text) });
}

/** Runs, and upgrades the driver whenever its folder is saved, as soon as there is one to upgrade. */
async function watched(
  manifest: Manifest,
  { onEvent, print, signal }: Telling & { signal: AbortSignal },
  run: (telling: { onEvent: Telling["onEvent"]; onLab: (lab: RunningLab) => void }) => Promise<number>,
): Promise<number> {
  const over = new AbortController();
  let watching: Promise<void> | undefined;
  let lab: RunningLab | undefined;
  let url: string | undefined;
  const onSave = async () => {
    try {
      await using targets = await findTargets({ labs: lab ? [lab] : [] });
      const target = targets.all.find((one) => one.client.url === url && one.lab === lab);
      if (target) await upgrade(target, manifest.name, manifest.driverFolder);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      print(`not upgraded: ${error.message}`);
    }
  };
  try {
    return await run({
      onLab: (running) => lab = running,
      onEvent(event) {
        onEvent(event);
        if (event.type === "serving") url = event.url;
        if (event.type === "ready" && !watching) {
          print(`watching ${manifest.driverFolder}: each save becomes an upgrade`);
          const ended = AbortSignal.any([over.signal, signal]);
          watching = watchFolder(manifest.driverFolder, { onSave, signal: ended });
        }
      },
    });
  } finally {
    over.abort();
    await watching;
  }
}

/** The command. */
export const runCommand: Command = defineCommand({
  name: "ring3 run",
  summary: "Run a driver, in the lab or on a device of this machine",
  positionals: [{ name: "driver", description: "name of a manifest in manifests/, or the file of one" }],
  options: {
    native: flag("run on this machine rather than in the lab (root)"),
    device: text("with --native: the device to run on", { value: "ADDRESS" }),
    take: flag("with --native: take the device from the kernel's driver that uses it"),
    "no-dhcp": flag("bring the interface up, but leave its addresses alone"),
    check: flag(
      "send traffic through the driver, or write and read its disk; compare, print a table, and end",
    ),
    json: flag("print events, or the result of --check, as JSON"),
    "allow-faults": flag("let faults be injected into the driver: ring3 inject"),
    watch: flag("upgrade the driver at each save of a file in its folder"),
    listen: text("with --native: where the dashboard is; without it, the first free port from 7333 on", {
      value: "HOST:PORT|none",
    }),
    ...HARDWARE_OPTIONS,
  },
  examples: [
    { line: "ring3 run e1000", does: "boot the lab and run the e1000 driver in it" },
    { line: "ring3 run e1000 --check", does: "the same, but check that traffic arrives unchanged" },
    { line: "ring3 run nvme --check", does: "write a disk of the lab through its driver, and compare" },
    { line: "ring3 run e1000 --native --device 0000:00:10.0", does: "run it on a spare card" },
  ],
  async main({ positionals: [name], options }) {
    const manifest = await findManifest(name);
    const { "no-dhcp": noDhcp, "allow-faults": allowFaults, device, take, yes, json, check, watch } = options;
    const listen = parseListen(options.listen);
    if (check && manifest.grant.port?.kind === "raw") {
      throw new UserError("--check is for an interface or a disk, and a raw port has neither", { code: 2 });
    }
    if (watch && (check || listen === null)) {
      throw new UserError("--watch is not for --check, and takes the API: leave out --listen none", {
        code: 2,
      });
    }
    if (options.native || inLab()) {
      if (check) {
        throw new UserError("--check needs the lab, where the other side is known: leave out --native");
      }
      const { signal } = untilInterrupted();
      const progress = progressOnStderr();
      const native = { manifest, device, take, yes, dhcp: !noDhcp, allowFaults, listen, progress, signal };
      return await shown(json, (telling) => {
        const run = ({ onEvent }: Pick<Telling, "onEvent">) => runNative({ ...native, onEvent });
        return watch ? watched(manifest, { ...telling, signal }, run) : run(telling);
      });
    }
    if (device !== undefined || take || listen !== undefined) {
      throw new UserError("--device, --take and --listen are for --native: the lab has its own devices", {
        code: 2,
      });
    }
    const chosen = parseHardware(options);
    const hardware = options.disk?.length ? chosen : { ...chosen, disk: disksFor(manifest.match) };
    const { signal } = untilInterrupted();
    const lab = { hardware, yes, progress: progressOnStderr(), signal };
    const args = [
      inCheckout(manifest.file),
      ...(noDhcp ? ["--no-dhcp"] : []),
      ...(allowFaults ? ["--allow-faults"] : []),
    ];
    const folders = programsOf(manifest).map((program) => dirname(inCheckout(program)));
    if (!check) {
      return await shown(json, (telling) => {
        const run = (told: Pick<Telling, "onEvent">) => runInLab(args, { ...lab, ...told, folders });
        return watch ? watched(manifest, { ...telling, signal }, run) : run(telling);
      });
    }
    const interrupted = new Promise<undefined>((resolve) =>
      signal.addEventListener("abort", () => resolve(undefined))
    );
    if (manifest.grant.port?.kind === "block") {
      const result = await Promise.race([checkDiskInLab(args, lab), interrupted]);
      if (!result) return 130;
      if (json) console.log(JSON.stringify(result));
      else {
        console.log(`driver ready after ${result.bringUpMs.toFixed(0)} ms`);
        console.log(formatDiskCheck(result.disk));
      }
      return result.disk.ok ? 0 : 1;
    }
    const result = await Promise.race([checkInLab(args, lab), interrupted]);
    if (!result) return 130;
    if (json) console.log(JSON.stringify(result));
    else {
      console.log(
        `driver ready after ${result.bringUpMs.toFixed(0)} ms, address ${result.addresses.join(", ")}`,
      );
      console.log(formatCheck(result.traffic));
    }
    return result.traffic.ok ? 0 : 1;
  },
});
