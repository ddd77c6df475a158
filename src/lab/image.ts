// The guest's file system: Debian's essential packages and a few tools, the kernel's modules, this Deno and
// a warm cache for it, as one ext4 image that every boot begins from.
import { UserError } from "../error.ts";
import { cached, cacheKey } from "./cache.ts";
import { asRoot, run } from "./command.ts";
import { cpio, type Entry } from "./cpio.ts";
import { sources } from "./debian.ts";
import { CHECKOUT, DENO_DIR, ENVIRONMENT, INIT, INITRAMFS_INIT, RING3, sshdConfig } from "./guest.ts";
import type { Kernel } from "./kernel.ts";
import { bootModules, imageModules, modulesDirectory } from "./modules.ts";
import { checkout } from "./checkout.ts";
import type { Progress } from "../progress.ts";
import { registryEnvironment } from "../registry.ts";

/** What the guest has beside Debian's essential packages. */
const PACKAGES = [
  "busybox-static",
  "e2fsprogs",
  "ethtool",
  "fdisk",
  "fio",
  "hdparm",
  "iperf3",
  "iproute2",
  "iputils-ping",
  "kmod",
  "mount",
  "openssh-server",
  "pciutils",
  "procps",
  "udhcpc",
];

const NOT_IN_GUEST = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*"];

/** A guest's files on this machine, ready to boot. */
export interface Image {
  /** ext4 file system, never written to. */
  readonly disk: string;
  /** For the kernel. */
  readonly initramfs: string;
  /** Private key that its sshd accepts. */
  readonly identity: string;
  /** Its host key under the name "lab", for `UserKnownHostsFile`. */
  readonly knownHosts: string;
}

/** How {@link buildImage} goes about it. */
export interface ImageOptions {
  /** Told of steps that take long. */
  progress: Progress;
  /** Debian packages that it has beside the usual ones, with all that they depend on. */
  packages?: readonly string[];
}

/** The image for a kernel, made if it is not in the cache. */
export async function buildImage(kernel: Kernel, { progress, packages = [] }: ImageOptions): Promise<Image> {
  const all = [...PACKAGES, ...packages.toSorted()];
  const environment = guestEnvironment();
  const lockFile = await Deno.readTextFile(`${checkout()}/deno.lock`);
  const key = await cacheKey({
    base: await baseKey(all),
    kernel: [kernel.release, kernel.version],
    modules: await imageModules(kernel),
    boot: await bootModules(kernel),
    deno: Deno.version.deno,
    lockFile,
    environment,
    recipe: [INIT, INITRAMFS_INIT, RING3, sshdConfig(environment), assemble(kernel, "")],
  });
  const directory = await cached({ kind: "image", key, keep: 5 }, async (directory) => {
    const base = await buildBase(all, progress);
    progress(`making the lab's disk for kernel ${kernel.release}`);
    await layOut(`${directory}/overlay`, { kernel, environment, lockFile });
    await makeKeys(directory);
    await runAsRoot(assemble(kernel, base), directory);
    const busybox = await Deno.readFile(`${directory}/busybox`);
    await Deno.writeFile(`${directory}/initramfs`, await buildInitramfs(kernel, busybox));
    for (const name of ["overlay", "busybox"]) await Deno.remove(`${directory}/${name}`, { recursive: true });
  });
  return {
    disk: `${directory}/disk`,
    initramfs: `${directory}/initramfs`,
    identity: `${directory}/identity`,
    knownHosts: `${directory}/known_hosts`,
  };
}

function guestEnvironment(): Record<string, string> {
  return { ...ENVIRONMENT, ...registryEnvironment() };
}

async function baseKey(packages: readonly string[]): Promise<string> {
  return await cacheKey({ suite: "bookworm", PACKAGES: packages, NOT_IN_GUEST });
}

/** Debian with these packages, as a tar archive. */
async function buildBase(packages: readonly string[], progress: Progress): Promise<string> {
  const key = await baseKey(packages);
  const directory = await cached({ kind: "base", key, keep: 3 }, async (directory) => {
    progress("installing Debian for the lab (about half a minute)");
    await run([
      "mmdebstrap",
      "--variant=essential",
      `--mode=${Deno.uid() === 0 ? "root" : "unshare"}`,
      `--include=${packages.join(",")}`,
      ...NOT_IN_GUEST.map((path) => `--dpkgopt=path-exclude=${path}`),
      "bookworm",
      `${directory}/root.tar`,
      "-",
    ], {
      what: "install Debian for the lab",
      input: (await sources("bookworm")).join("\n"),
      log: `${directory}.log`,
    });
  });
  return `${directory}/root.tar`;
}

/** Writes everything that is put on top of Debian. */
async function layOut(
  root: string,
  parts: { kernel: Kernel; environment: Record<string, string>; lockFile: string },
): Promise<void> {
  const file = async (path: string, content: string, mode = 0o644) => {
    await Deno.mkdir(`${root}${path.replace(/\/[^/]*$/, "")}`, { recursive: true });
    await Deno.writeTextFile(`${root}${path}`, content);
    await Deno.chmod(`${root}${path}`, mode);
  };
  await file("/etc/hostname", "lab\n");
  await file("/etc/hosts", "127.0.0.1 localhost lab\n::1 localhost\n");
  await file("/etc/ssh/sshd_config", sshdConfig(parts.environment));
  await file("/usr/local/lib/ring3/init", INIT, 0o755);
  await file("/usr/local/bin/ring3", RING3, 0o755);
  await Deno.copyFile(Deno.execPath(), `${root}/usr/local/bin/deno`);
  await Deno.chmod(`${root}/usr/local/bin/deno`, 0o755);

  const from = modulesDirectory(parts.kernel);
  const to = `${root}/usr/lib/modules/${parts.kernel.release}`;
  for (const path of await imageModules(parts.kernel)) {
    await Deno.mkdir(`${to}/${path.replace(/\/[^/]*$/, "")}`, { recursive: true });
    await Deno.copyFile(`${from}/${path}`, `${to}/${path}`);
  }
  await Deno.mkdir(to, { recursive: true });
  for (const name of ["modules.builtin", "modules.builtin.modinfo", "modules.order"]) {
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }

  // Away from the checkout, whose configuration names files that are not here.
  const packages: string[] = JSON.parse(parts.lockFile).workspace?.dependencies ?? [];
  const imports = Object.fromEntries(packages.map((specifier) => [specifier, specifier]));
  await file("/packages/deno.json", JSON.stringify({ imports }));
  await file("/packages/deno.lock", parts.lockFile);
  await run([Deno.execPath(), "install", "--quiet", "--frozen"], {
    what: "fetch the packages of deno.lock for the lab",
    cwd: `${root}/packages`,
    env: { DENO_DIR: `${root}${DENO_DIR}`, DENO_NO_UPDATE_CHECK: "1" },
  });
  await Deno.remove(`${root}/packages`, { recursive: true });
  await Deno.mkdir(`${root}${CHECKOUT}`);
}

async function makeKeys(directory: string): Promise<void> {
  const ssh = `${directory}/overlay/etc/ssh`;
  for (const path of [`${ssh}/ssh_host_ed25519_key`, `${directory}/identity`]) {
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ring3-lab", "-f", path], {
      what: "make a key for the lab",
    });
  }
  const host = await Deno.readTextFile(`${ssh}/ssh_host_ed25519_key.pub`);
  await Deno.writeTextFile(`${directory}/known_hosts`, `lab ${host}`);
  const authorized = `${directory}/overlay/root/.ssh`;
  await Deno.mkdir(authorized, { recursive: true, mode: 0o700 });
  await Deno.chmod(`${directory}/overlay/root`, 0o700);
  await Deno.copyFile(`${directory}/identity.pub`, `${authorized}/authorized_keys`);
}

/**
 * The script that makes `disk` out of Debian and `overlay`, in the image's directory, as root. Without the
 * devices, which the guest's kernel provides, and which root of a user namespace could not make.
 */
function assemble(kernel: Kernel, base: string): string {
  return `set -eu
mkdir root
tar --extract --numeric-owner --exclude './dev/*' --directory root --file '${base}'
cp --archive --no-preserve=ownership overlay/. root/
sed -i 's|^root:.*|root:x:0:0:root:/root:/bin/dash|' root/etc/passwd
depmod -b root '${kernel.release}'
chmod -R a+rX root${DENO_DIR}
cp root/bin/busybox busybox
mke2fs -q -t ext4 -O ^has_journal -m 0 -E root_owner=0:0 -d root disk 4G
rm -r root
`;
}

async function runAsRoot(script: string, directory: string): Promise<void> {
  try {
    await run(asRoot(["sh", "-c", script]), { what: "make the lab's disk", cwd: directory });
  } catch (cause) {
    if (Deno.uid() === 0 || !(cause instanceof UserError)) throw cause;
    throw new UserError(`${cause.message}; without root it takes user namespaces and lines in /etc/subuid`, {
      cause,
    });
  }
}

async function buildInitramfs(kernel: Kernel, busybox: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const entries: Entry[] = ["bin", "dev", "modules", "proc", "root"].map((path) => ({
    path,
    type: "directory",
  }));
  entries.push(
    { path: "dev/console", type: "device", major: 5, minor: 1 },
    { path: "bin/busybox", type: "file", data: busybox, executable: true },
    { path: "init", type: "file", data: new TextEncoder().encode(INITRAMFS_INIT), executable: true },
  );
  for (const [index, path] of (await bootModules(kernel)).entries()) {
    const name = `${index.toString().padStart(2, "0")}-${path.replace(/^.*\//, "")}`;
    const data = await Deno.readFile(`${modulesDirectory(kernel)}/${path}`);
    entries.push({ path: `modules/${name}`, type: "file", data });
  }
  return cpio(entries);
}
