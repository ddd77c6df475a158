/** `ring3 run`: a driver in the lab, or on this machine with `--native`. */
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { formatCheck } from "../check/mod.ts";
import { UserError } from "../error.ts";
import { checkout } from "../lab/checkout.ts";
import { inLab } from "../run/files.ts";
import { checkInLab, runInLab } from "../run/lab.ts";
import { type RunEvent, runNative } from "../run/native.ts";
import { parseHardware } from "../lab/mod.ts";
import { findManifests, loadManifest, type Manifest } from "../manifest/mod.ts";
import { progressOnStderr } from "../progress.ts";
import { didYouMean } from "../suggest.ts";
import { LiveView } from "../view/live.ts";
import { type Command, defineCommand, flag, text } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { untilInterrupted } from "./interrupted.ts";
import { MANIFESTS } from "./list.ts";

/** The manifest of that name, or in that file. @throws {UserError} if there is none, or it is wrong. */
async function findManifest(nameOrFile: string): Promise<Manifest> {
  if (nameOrFile.includes("/") || nameOrFile.endsWith(".json")) return await loadManifest(nameOrFile);
  const file = `${MANIFESTS}/${nameOrFile}.json`;
  if (existsSync(file)) return await loadManifest(file);
  const { manifests } = await findManifests(MANIFESTS);
  const names = manifests.map(({ name }) => name);
  throw new UserError(
    `There is no driver "${nameOrFile}"${didYouMean(nameOrFile, names) || `; there is ${names.join(", ")}`}`,
  );
}

/** What names the manifest in the lab, which sees this checkout and nothing else of this machine. */
function inCheckout(nameOrFile: string, manifest: Manifest): string {
  if (nameOrFile !== manifest.file) return nameOrFile;
  const path = relative(checkout(), resolve(manifest.file));
  if (!path.startsWith("..")) return `./${path}`;
  throw new UserError(
    `The lab sees only this checkout: move ${manifest.file} into ${checkout()}, or use --native`,
  );
}

/** Shows events to a person. */
function show(view: LiveView, event: RunEvent): void {
  switch (event.type) {
    case "status":
      view.show({
        ...event.driver,
        address: event.driver.address ?? "",
        restarts: event.driver.restarts.total,
      });
      break;
    case "ready":
      view.print(`driver ready after ${event.ms.toFixed(0)} ms`);
      break;
    case "log":
      view.print(`driver: ${event.text}`);
      break;
    case "ended":
      view.print(`driver ended: ${event.reason.text}${event.next === "restart" ? "; starting another" : ""}`);
      if (event.reason.stack) view.print(event.reason.stack);
      break;
  }
}

/** Runs with events shown as the user wants them. */
async function shown<T>(json: boolean, work: (onEvent: (event: RunEvent) => void) => Promise<T>): Promise<T> {
  if (json) return await work((event) => console.log(JSON.stringify(event)));
  using view = new LiveView();
  return await work((event) => show(view, event));
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
    check: flag("send traffic through the driver, compare it, print a table, and end"),
    json: flag("print events, or the result of --check, as JSON"),
    ...HARDWARE_OPTIONS,
  },
  examples: [
    { line: "ring3 run e1000", does: "boot the lab and run the e1000 driver in it" },
    { line: "ring3 run e1000 --check", does: "the same, but check that traffic arrives unchanged" },
    { line: "ring3 run e1000 --native --device 0000:00:10.0", does: "run it on a spare card" },
  ],
  async main({ positionals: [name], options }) {
    const manifest = await findManifest(name);
    const { "no-dhcp": noDhcp, device, take, yes, json, check } = options;
    if (options.native || inLab()) {
      if (check) {
        throw new UserError("--check needs the lab, where the other side is known: leave out --native");
      }
      const { signal } = untilInterrupted();
      const options = { manifest, device, take, yes, dhcp: !noDhcp, progress: progressOnStderr(), signal };
      await shown(json, (onEvent) => runNative({ ...options, onEvent }));
      return 0;
    }
    if (device !== undefined || take) {
      throw new UserError("--device and --take are for --native: the lab has its own devices", { code: 2 });
    }
    const hardware = parseHardware(options);
    const { signal } = untilInterrupted();
    const lab = { hardware, yes, progress: progressOnStderr(), signal };
    const args = [inCheckout(name, manifest), ...(noDhcp ? ["--no-dhcp"] : [])];
    if (!check) return await shown(json, (onEvent) => runInLab(args, { ...lab, onEvent }));
    const result = await Promise.race([
      checkInLab(args, lab),
      new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined))),
    ]);
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
