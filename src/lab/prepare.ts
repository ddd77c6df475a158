import { buildFfi, buildModule } from "../build.ts";
import type { Progress } from "../progress.ts";
import { need } from "../setup.ts";
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
  const kernel = await findKernel(kernelName, options.progress, { yes: options.yes });
  await buildModule(kernel);
  await buildFfi();
  return kernel;
}
