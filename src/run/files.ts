/** The built files that running a driver needs, and the module in the kernel. */
import { buildFfi, buildModule } from "../build.ts";
import { UserError } from "../error.ts";
import { checkout } from "../lab/checkout.ts";
import { need } from "../setup.ts";
import type { HostFiles } from "../supervisor/driver_process.ts";
import type { Progress } from "../progress.ts";
import { needReadable } from "./readable.ts";

/** Set in the lab: everything has been built outside, and the checkout cannot be written. */
const IN_LAB = "RING3_LAB";

/** True inside the lab's machine. */
export function inLab(): boolean {
  return Deno.env.has(IN_LAB);
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

/**
 * Builds what is missing for running drivers on this machine's own kernel.
 * @throws {UserError} if it cannot be built.
 */
async function build(options: { progress: Progress; yes?: boolean }): Promise<void> {
  await need(["build", "native"], options);
  const release = Deno.osRelease();
  await buildModule({ release, headers: `/lib/modules/${release}/build` });
  await buildFfi();
}

/** What a driver process is started from, once it is built. */
export function builtFiles(): HostFiles {
  const directory = `${checkout()}/build/ffi`;
  return {
    deno: Deno.execPath(),
    launcher: `${directory}/ring3-launch`,
    library: `${directory}/libring3.so`,
    main: `${checkout()}/src/host/main.ts`,
  };
}

/**
 * Prepares this machine for drivers: builds what they run from, sees to it that their users can read it, and
 * loads the module.
 * @throws {UserError} if something cannot be built, read or loaded.
 */
export async function prepareMachine(options: { progress: Progress; yes?: boolean }): Promise<void> {
  if (Deno.uid() !== 0) {
    throw new UserError("Running a driver on this machine takes root: it loads a module and binds a device");
  }
  if (!inLab()) await build(options);
  await needReadable(Object.values(builtFiles()));
  await loadModule();
}

/**
 * Loads `ring3.ko`, unless it is loaded.
 * @throws {UserError} with the kernel's reason if it does not load.
 */
export async function loadModule(): Promise<void> {
  if (await exists("/sys/module/ring3")) return;
  const module = `${checkout()}/build/module/${Deno.osRelease()}/ring3.ko`;
  const { code, stderr } = await new Deno.Command("insmod", { args: [module], stdout: "null" }).output()
    .catch((error) => {
      throw new UserError(`Cannot run insmod: ${error.message}; install the package kmod`);
    });
  // Of two who load it at once the kernel refuses one, when the other's is there.
  if (code === 0 || await exists("/sys/module/ring3")) return;
  const reason = new TextDecoder().decode(stderr).trim().replace(/^insmod: ERROR: /, "");
  throw new UserError(`Cannot load the module: ${reason}; the kernel's log says why (dmesg | tail)`);
}
