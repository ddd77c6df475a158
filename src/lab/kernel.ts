// Kernels the lab can boot, and what modules for them are built against.
import { UserError } from "../error.ts";
import { cached, cacheKey } from "./cache.ts";
import { run } from "./command.ts";
import { type Archive, type Package, PrivateApt } from "./debian.ts";
import { type Kernel, known } from "./known_kernel.ts";
import { SANITIZER, sanitizerKernel } from "./sanitizer_kernel.ts";
import { unpackKernel } from "./vmlinuz.ts";
import type { Progress } from "../progress.ts";

export type { Kernel };

const ARCHIVES: Record<string, Archive> = { "6.1": "bookworm", "6.12": "bookworm-backports" };

/** The kernels that have a name, as the `kernel` option takes it. */
export const KERNELS: readonly string[] = [...Object.keys(ARCHIVES), SANITIZER];

/** How {@link findKernel} goes about it. */
export interface KernelOptions {
  /** Install without asking what a kernel is built with. */
  yes?: boolean;
}

/**
 * The kernel of that name, fetched if it is not in the cache. The first version fetched is kept. The one that
 * is called "sanitizer" is Debian's 6.1 with sanitizer.config, built if it is not in the cache.
 *
 * Any other name is the path of a directory with `vmlinux` or `bzImage`, `lib/modules/<release>` as `make
 * modules_install` leaves it, and the kernel's build tree or headers behind its `build` link.
 * @throws {UserError} if there is no such directory or it is not complete.
 */
export async function findKernel(
  name: string,
  progress: Progress,
  options: KernelOptions = {},
): Promise<Kernel> {
  if (name === SANITIZER) return await sanitizerKernel(progress, options);
  const archive = ARCHIVES[name];
  if (!archive) return await ownKernel(name);
  return await known(name, () => debianKernel(name, archive, progress));
}

async function debianKernel(name: string, archive: Archive, progress: Progress): Promise<Kernel> {
  progress(`fetching Debian's kernel ${name} and its headers (80 MB)`);
  const apt = await PrivateApt.open(archive);
  const image = await apt.show((await apt.show("linux-image-amd64")).depends[0]);
  const release = image.name.replace(/^linux-image-/, "");
  const headers = await headerPackages(apt, release);
  const key = await cacheKey({ image, headers });
  const root = await cached({ kind: "kernel", key, keep: 6 }, async (directory) => {
    await apt.unpack([image, ...headers], directory);
    await mendHeaders(directory, release);
    progress(`unpacking kernel ${release}`);
    const packed = `${directory}/boot/vmlinuz-${release}`;
    await Deno.writeFile(`${directory}/vmlinux`, await unpackKernel(await Deno.readFile(packed)));
    await Deno.remove(`${directory}/boot`, { recursive: true });
    await arrangeModules(directory, release);
  });
  return {
    release,
    version: image.version,
    image: `${root}/vmlinux`,
    root,
    headers: `${root}/usr/src/linux-headers-${release}`,
  };
}

async function headerPackages(apt: PrivateApt, release: string): Promise<Package[]> {
  const headers = await apt.show(`linux-headers-${release}`);
  const others = headers.depends.filter((name) => /^linux-(headers|kbuild)-/.test(name));
  return [headers, ...await Promise.all(others.map((name) => apt.show(name)))];
}

/** The headers' Makefile names its other half by an absolute path; here it lies elsewhere. */
async function mendHeaders(root: string, release: string): Promise<void> {
  const path = `${root}/usr/src/linux-headers-${release}/Makefile`;
  const text = await Deno.readTextFile(path);
  const mended = text.replace(
    /^include \/usr\/src\/(\S+)$/m,
    "include $(abspath $(dir $(lastword $(MAKEFILE_LIST)))/../$1)",
  );
  if (mended === text) throw new Error(`${path} does not include the common headers where they are expected`);
  await Deno.writeTextFile(path, mended);
}

/** Gives modules the layout, the form and the index that the image and depmod want. */
async function arrangeModules(root: string, release: string): Promise<void> {
  const modules = `${root}/lib/modules/${release}`;
  // Unpacked once here rather than at every load in the guest.
  await run(["find", modules, "-name", "*.ko.xz", "-exec", "xz", "--decompress", "{}", "+"], {
    what: "unpack the kernel's modules",
  });
  await run(["depmod", "-b", root, release], { what: "index the kernel's modules" });
}

async function ownKernel(path: string): Promise<Kernel> {
  const wrong = (what: string) =>
    new UserError(
      `Cannot use the kernel ${path}: ${what}; give ${KERNELS.join(", ")} or a directory with vmlinux ` +
        `(or bzImage) and lib/modules`,
    );
  const root = await Deno.realPath(path).catch(() => {
    throw wrong("no such directory");
  });
  let image: string | undefined;
  for (const name of ["vmlinux", "bzImage"]) {
    if (!image && await isFile(`${root}/${name}`)) image = `${root}/${name}`;
  }
  if (!image) throw wrong("it holds neither vmlinux nor bzImage");
  const releases: string[] = [];
  try {
    for await (const { name } of Deno.readDir(`${root}/lib/modules`)) releases.push(name);
  } catch {
    throw wrong("it has no lib/modules");
  }
  if (releases.length !== 1) throw wrong(`lib/modules holds ${releases.length} releases, not one`);
  const [release] = releases;
  const { mtime, size } = await Deno.stat(image);
  return {
    release,
    version: `${image} ${mtime?.getTime()} ${size}`,
    image,
    root,
    headers: await Deno.realPath(`${root}/lib/modules/${release}/build`).catch(() => {
      throw wrong(`lib/modules/${release}/build leads nowhere`);
    }),
  };
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}
