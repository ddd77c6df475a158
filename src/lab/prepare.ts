import { buildFfi, buildModule } from "../build.ts";
import type { Progress } from "../progress.ts";
import { need } from "../setup.ts";
import { checkout } from "./checkout.ts";
import { findKernel, type Kernel } from "./kernel.ts";

/** How {@link prepare} goes about it. */
export interface PrepareOptions {
  progress: Progress;
  /** Install what is missing without asking. */
  yes?: boolean;
}

/**
 * Makes everything that the lab shows to ring3 inside it: the kernel's headers, the module and libring3 in
 * the checkout's `build/`. Quick when nothing has changed.
 * @throws {UserError} if something cannot be installed, fetched or built.
 */
export async function prepare(kernelName: string, options: PrepareOptions): Promise<Kernel> {
  await need(["lab", "build"], options);
  const kernel = await findKernel(kernelName, options.progress);
  if (await isFile(`${checkout()}/kernel-module/Kbuild`)) await buildModule(kernel);
  else options.progress("there is no kernel-module/Kbuild: the lab has no ring3.ko");
  if (await isFile(`${checkout()}/ffi/Makefile`)) await buildFfi();
  else options.progress("there is no ffi/Makefile: the lab has no libring3");
  return kernel;
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}
