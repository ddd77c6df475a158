// What a kernel's name stands for is remembered, so that nobody has to ask Debian each time.
import { cacheRoot } from "./cache.ts";

/** A kernel, its modules and its headers, as files of this machine. */
export interface Kernel {
  /** What `uname -r` says. */
  readonly release: string;
  /** Changes with every build of it. */
  readonly version: string;
  /** What QEMU loads: an ELF vmlinux, or a bzImage. */
  readonly image: string;
  /** Directory that holds `lib/modules/<release>`. */
  readonly root: string;
  /** What `make -C` takes to build a module for it. */
  readonly headers: string;
}

/** The kernel that this name was last found to stand for; if there is none in the cache, what `find` gives. */
export async function known(name: string, find: () => Promise<Kernel>): Promise<Kernel> {
  const pointer = `${cacheRoot()}/kernel-${name}.json`;
  const kernel = await readPointer(pointer);
  if (kernel) return kernel;
  const found = await find();
  const partial = `${pointer}.${Deno.pid}`;
  await Deno.writeTextFile(partial, JSON.stringify(found, null, 2));
  await Deno.rename(partial, pointer);
  return found;
}

async function readPointer(path: string): Promise<Kernel | undefined> {
  try {
    const kernel: Kernel = JSON.parse(await Deno.readTextFile(path));
    await Deno.utime(kernel.root, new Date(), new Date());
    return kernel;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
