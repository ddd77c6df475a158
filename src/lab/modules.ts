// Which of a kernel's modules the lab takes along, and the order in which they load.
import type { Kernel } from "./kernel.ts";

/** Loaded at boot, in this order: what it takes to reach the disk, the checkout and the management network. */
const AT_BOOT = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "9pnet_virtio", "9p", "virtio_net"];

/** In the guest's file system for `modprobe`: directories, or single modules, of the kernel's tree. */
const IN_IMAGE = [
  /^drivers\/virtio\//,
  /^drivers\/net\/ethernet\/intel\//,
  /^drivers\/net\/(virtio_net|tun|veth|dummy|ifb)\.ko$/,
  /^drivers\/ata\/(ata_piix|ata_generic|ahci|libata)\.ko$/,
  /^drivers\/scsi\/(scsi_mod|sd_mod)\.ko$/,
  /^drivers\/nvme\/host\//,
  /^drivers\/vfio\//,
  /^drivers\/(uio|iommu)\//,
  /^drivers\/block\/(loop|null_blk|nbd|ublk_drv|virtio_blk)\.ko$/,
  /^drivers\/md\/(dm-mod|dm-flakey|dm-bufio)\.ko$/,
  /^net\/(9p|packet|sched|bridge)\//,
  /^fs\/(9p|ext4|overlayfs|fuse)\//,
  /^crypto\/(crc32c_generic)\.ko$/,
];

/** Paths of modules, relative to the release's directory, and of what each depends on, as depmod found. */
export type Dependencies = ReadonlyMap<string, readonly string[]>;

/** Reads `modules.dep`. */
export function parseDependencies(text: string): Dependencies {
  const dependencies = new Map<string, string[]>();
  for (const line of text.split("\n")) {
    const [path, rest] = line.split(":", 2);
    if (rest !== undefined) dependencies.set(path, rest.split(" ").filter((name) => name));
  }
  return dependencies;
}

/** The modules and all that they depend on, each after what it depends on. */
export function closure(dependencies: Dependencies, paths: Iterable<string>): string[] {
  const ordered = new Set<string>();
  const visit = (path: string) => {
    if (ordered.has(path)) return;
    for (const below of dependencies.get(path) ?? []) visit(below);
    ordered.add(path);
  };
  for (const path of paths) visit(path);
  return [...ordered];
}

/** The directory that holds a kernel's modules. */
export function modulesDirectory(kernel: Kernel): string {
  return `${kernel.root}/lib/modules/${kernel.release}`;
}

/** Modules to load at boot, in order. A kernel of one's own has most of them built in. */
export async function bootModules(kernel: Kernel): Promise<string[]> {
  const dependencies = await read(kernel);
  const byName = new Map([...dependencies.keys()].map((path) => [path.replace(/^.*\/|\.ko$/g, ""), path]));
  return closure(dependencies, AT_BOOT.flatMap((name) => byName.get(name) ?? []));
}

/** Modules the guest's file system holds. */
export async function imageModules(kernel: Kernel): Promise<string[]> {
  const dependencies = await read(kernel);
  const wanted = [...dependencies.keys()].filter((path) => {
    const inTree = path.replace(/^kernel\//, "");
    return IN_IMAGE.some((pattern) => pattern.test(inTree));
  });
  return closure(dependencies, wanted);
}

async function read(kernel: Kernel): Promise<Dependencies> {
  return parseDependencies(await Deno.readTextFile(`${modulesDirectory(kernel)}/modules.dep`));
}
