/**
 * PCI functions as sysfs shows them, and which driver holds them. Reading needs no privileges, except
 * that without root the kernel shows only the first 64 bytes of configuration space; binding needs root.
 */
import { UserError } from "./error.ts";
import { SYS } from "./machine.ts";

/** How sysfs is reached: its mount point, and how a file of it is written. Replaced in tests. */
export interface Sysfs {
  readonly root: string;
  write(path: string, text: string): Promise<void>;
}

/** The machine's own. */
export const SYSFS: Sysfs = {
  root: SYS,
  // Never create: a missing attribute is an error, not a new file.
  write: (path, text) => Deno.writeTextFile(path, text, { create: false }),
};

/** A base address register that the device has. */
export interface Bar {
  /** 0 to 5. */
  index: number;
  space: "memory" | "io";
  /** Physical address or first I/O port; 0 if the firmware gave it none. */
  start: number;
  /** Bytes. */
  size: number;
}

/** How the device can interrupt. */
export interface InterruptCapabilities {
  /** It has an INTx pin. */
  intx: boolean;
  /** MSI vectors, 0 without the capability. */
  msi: number;
  /** MSI-X vectors, 0 without the capability. */
  msix: number;
  /** Where MSI-X keeps its table and its pending bits: registers that no driver may touch. */
  msixAreas: { bar: number; offset: number; length: number }[];
}

/** A PCI function. */
export interface PciDevice {
  /** As in `0000:00:10.0`. */
  address: string;
  vendor: number;
  device: number;
  subsystemVendor: number;
  subsystemDevice: number;
  /** Class, subclass and programming interface, 24 bits. */
  class: number;
  revision: number;
  bars: Bar[];
  /** Undefined when configuration space could not be read whole. */
  interrupts?: InterruptCapabilities;
  /** The driver that holds it, or null. */
  driver: string | null;
  /** The only driver that may take it, or null. */
  driverOverride: string | null;
  /**
   * The group it shares its translation with, and the kind of domain (`DMA`, `DMA-FQ`, `identity`, …); `shared` are
   * the group's other functions, bridges left out, if there are any.
   */
  iommu: { group: number; type: string; shared?: string[] } | null;
  /** Network interfaces that its driver has made. */
  interfaces: { name: string; up: boolean }[];
}

/** Options of everything that reads or writes sysfs. */
export interface PciOptions {
  sysfs?: Sysfs;
}

/** The form of a PCI address, with or without its domain. */
const ADDRESS = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i;

/**
 * A PCI address in full: `00:10.0` is `0000:00:10.0`.
 * @throws {UserError} if it is not one.
 */
export function parseAddress(text: string): string {
  const parts = ADDRESS.exec(text);
  if (!parts) throw new UserError(`"${text}" is not a PCI address; write one like 0000:00:10.0`);
  return `${parts[1] ?? "0000"}:${parts[2]}`.toLowerCase();
}

/** Addresses of all PCI functions of the machine. */
export async function listAddresses(options: PciOptions = {}): Promise<string[]> {
  return await names(`${(options.sysfs ?? SYSFS).root}/bus/pci/devices`);
}

/** All PCI functions of the machine, by address. Empty on a machine without PCI. */
export async function listDevices(options: PciOptions = {}): Promise<PciDevice[]> {
  const { root } = options.sysfs ?? SYSFS;
  const addresses = await listAddresses(options);
  const devices = await Promise.all(addresses.map((address) => read(root, address)));
  return devices.filter((device) => device !== undefined);
}

/**
 * One PCI function.
 * @throws {UserError} if there is none at that address, or it is not an address.
 */
export async function readDevice(address: string, options: PciOptions = {}): Promise<PciDevice> {
  const { root } = options.sysfs ?? SYSFS;
  const device = await read(root, parseAddress(address));
  if (!device) {
    throw new UserError(
      `There is no PCI device ${parseAddress(address)}; "ring3 list --all" shows those there are`,
    );
  }
  return device;
}

/**
 * True if an IOMMU translates what the device reads and writes, and for it alone: a device reaches what is mapped
 * for any other of its group, and those themselves.
 */
export function isConfined({ iommu }: Pick<PciDevice, "iommu">): boolean {
  return iommu !== null && iommu.type !== "identity" && iommu.shared === undefined;
}

/**
 * True if the IOMMU keeps what is unmapped reachable for some milliseconds, to forget much of it at once: Linux's
 * default on most machines.
 */
export function isLazy(device: PciDevice): boolean {
  return device.iommu?.type === "DMA-FQ";
}

/**
 * Gives a device to a driver of the kernel, through `driver_override`. A device in use is left alone
 * unless its driver is the one named in `from`, or `take` is set. On failure everything is as before.
 *
 * With `strict` the IOMMU is to forget at once what is unmapped for the device. That can be chosen only while
 * nothing of the device's IOMMU group has a driver, and on Linux 6.1 only for a group of one device; where it
 * cannot be chosen, the device stays as lazy as it was: see {@link isLazy}.
 * @returns the driver it was taken from, or null; and whether it was lazy and is now strict.
 * @throws {UserError} if there is no such device or driver, it is in use, or this process may not.
 */
export async function bind(
  address: string,
  driver: string,
  options: PciOptions & { from?: string; take?: boolean; strict?: boolean } = {},
): Promise<{ previous: string | null; madeStrict: boolean }> {
  const sysfs = options.sysfs ?? SYSFS;
  const device = await readDevice(address, options);
  if (device.driver === driver) return { previous: null, madeStrict: false };
  if (!await exists(`${sysfs.root}/bus/pci/drivers/${driver}`)) {
    throw new UserError(`The kernel has no driver "${driver}": load its module first`);
  }
  if (device.driver !== null && !options.take && options.from !== device.driver) {
    throw new UserError(
      `${device.address} is in use by ${device.driver}${interfacesText(device)}; ` +
        `add --take to take it from that driver`,
    );
  }

  const folder = `${sysfs.root}/bus/pci/devices/${device.address}`;
  let madeStrict = false;
  await write(sysfs, `${folder}/driver_override`, driver);
  try {
    if (device.driver !== null) await write(sysfs, `${folder}/driver/unbind`, device.address);
    madeStrict = options.strict === true && isLazy(device) && await chooseDomain(sysfs, device, "DMA");
    await write(sysfs, `${sysfs.root}/bus/pci/drivers/${driver}/bind`, device.address);
    const { driver: now } = await readDevice(device.address, options);
    if (now !== driver) {
      throw new UserError(
        `${driver} did not take ${device.address}; the kernel's log says why (dmesg | tail)`,
      );
    }
  } catch (error) {
    if (madeStrict) await chooseDomain(sysfs, device, "auto");
    await write(sysfs, `${folder}/driver_override`, device.driverOverride ?? "\n");
    const { driver: now } = await readDevice(device.address, options);
    if (now === null && device.driver !== null) {
      await write(sysfs, `${sysfs.root}/bus/pci/drivers_probe`, device.address);
    }
    throw error;
  }
  return { previous: device.driver, madeStrict };
}

/**
 * Undoes `bind`: takes the device from the driver named in its override, clears the override, and offers
 * the device back to the kernel's own drivers if it had one before, or `probe` is set. With `madeStrict` its IOMMU
 * group becomes again what it was booted with. Nothing to do is no error, and neither is a device that has gone.
 * @returns the driver that has it now, or null.
 */
export async function release(
  address: string,
  options: PciOptions & { previous?: string | null; probe?: boolean; madeStrict?: boolean } = {},
): Promise<{ driver: string | null }> {
  const sysfs = options.sysfs ?? SYSFS;
  const device = await read(sysfs.root, parseAddress(address));
  if (!device) return { driver: null };
  const folder = `${sysfs.root}/bus/pci/devices/${device.address}`;
  if (device.driver !== null && device.driver === device.driverOverride) {
    await write(sysfs, `${folder}/driver/unbind`, device.address);
  }
  if (device.driverOverride !== null) await write(sysfs, `${folder}/driver_override`, "\n");
  if (options.madeStrict) await chooseDomain(sysfs, device, "auto");
  if (options.previous || options.probe) {
    await write(sysfs, `${sysfs.root}/bus/pci/drivers_probe`, device.address);
  }
  return { driver: (await read(sysfs.root, device.address))?.driver ?? null };
}

/**
 * Chooses how the group of a device is translated, `Documentation/ABI/testing/sysfs-kernel-iommu_groups`; false if
 * the kernel refuses.
 */
async function chooseDomain(sysfs: Sysfs, { iommu }: PciDevice, type: "DMA" | "auto"): Promise<boolean> {
  if (iommu === null) return false;
  return await sysfs.write(`${sysfs.root}/kernel/iommu_groups/${iommu.group}/type`, type)
    .then(() => true, () => false);
}

/** What a class code says, in words: base class, and subclass where it tells more. PCI code and ID assignment specification. */
const CLASSES: Record<string, string> = {
  "00": "unclassified device",
  "01": "storage controller",
  "0100": "SCSI controller",
  "0101": "IDE controller",
  "0104": "RAID controller",
  "0106": "SATA controller",
  "0108": "NVMe controller",
  "02": "network controller",
  "0200": "Ethernet controller",
  "0280": "wireless controller",
  "03": "display controller",
  "0300": "VGA controller",
  "04": "multimedia controller",
  "05": "memory controller",
  "06": "bridge",
  "0600": "host bridge",
  "0601": "ISA bridge",
  "0604": "PCI bridge",
  "07": "communication controller",
  "0700": "serial controller",
  "08": "system peripheral",
  "0806": "IOMMU",
  "09": "input controller",
  "0c": "serial bus controller",
  "0c03": "USB controller",
  "0c05": "SMBus controller",
  "0d": "wireless controller",
  "12": "processing accelerator",
  "ff": "unassigned class",
};

/** A class code in words, like `Ethernet controller`. */
export function className(code: number): string {
  const digits = code.toString(16).padStart(6, "0");
  return CLASSES[digits.slice(0, 4)] ?? CLASSES[digits.slice(0, 2)] ?? `class ${digits.slice(0, 4)}`;
}

/** Vendor and device id as in `8086:100e`. */
export function idText(device: Pick<PciDevice, "vendor" | "device">): string {
  return `${hex4(device.vendor)}:${hex4(device.device)}`;
}

/**
 * Names of devices for people: the machine's `pci.ids` if it has one, else the class in words.
 * @returns a function from a device to its name.
 */
export async function deviceNames(
  options: { file?: string } = {},
): Promise<(device: PciDevice) => string> {
  const ids = await text(options.file ?? "/usr/share/misc/pci.ids") ?? "";
  return (device) => {
    const vendor = new RegExp(`^${hex4(device.vendor)}  (.*)\n((?:[\t#].*\n|\n)*)`, "m").exec(ids);
    if (!vendor) return className(device.class);
    const model = new RegExp(`^\t${hex4(device.device)}  (.*)$`, "m").exec(vendor[2]);
    return model ? `${vendor[1]} ${model[1]}` : `${vendor[1]} ${className(device.class)}`;
  };
}

async function read(root: string, address: string): Promise<PciDevice | undefined> {
  const folder = `${root}/bus/pci/devices/${address}`;
  const vendor = await text(`${folder}/vendor`);
  if (vendor === undefined) return undefined;
  const number = async (name: string) => Number((await text(`${folder}/${name}`)) ?? 0);
  const override = (await text(`${folder}/driver_override`))?.trim();
  const group = await linkName(`${folder}/iommu_group`);
  const groupType = group && await text(`${root}/kernel/iommu_groups/${group}/type`);
  const config = await Deno.readFile(`${folder}/config`).catch(() => new Uint8Array());
  return {
    address,
    vendor: Number(vendor),
    device: await number("device"),
    subsystemVendor: await number("subsystem_vendor"),
    subsystemDevice: await number("subsystem_device"),
    class: await number("class"),
    revision: await number("revision"),
    bars: parseResource((await text(`${folder}/resource`)) ?? ""),
    interrupts: parseInterrupts(config),
    driver: await linkName(`${folder}/driver`),
    driverOverride: override === undefined || override === "(null)" || override === "" ? null : override,
    iommu: group === null ? null : {
      group: Number(group),
      type: groupType?.trim() ?? "",
      ...await sharers(root, { group, address }),
    },
    interfaces: await readInterfaces(folder),
  };
}

/** Base class and subclass of a bridge between PCI buses, which does nothing by itself. PCI code and ID assignment. */
const BRIDGE = 0x0604;

/** The functions of a group beside one of them, bridges left out. */
async function sharers(
  root: string,
  { group, address }: { group: string; address: string },
): Promise<{ shared?: string[] }> {
  const shared: string[] = [];
  for (const other of await names(`${root}/kernel/iommu_groups/${group}/devices`)) {
    const code = Number((await text(`${root}/bus/pci/devices/${other}/class`)) ?? 0);
    if (other !== address && code >> 8 !== BRIDGE) shared.push(other);
  }
  return shared.length > 0 ? { shared } : {};
}

/** `IFF_UP` of linux/if.h. */
const IFF_UP = 1;

/** Interfaces below a PCI device: its own, and those of the virtio device that it may carry. */
async function readInterfaces(folder: string): Promise<PciDevice["interfaces"]> {
  const carried = (await names(folder)).filter((name) => /^virtio\d+$/.test(name));
  const interfaces: PciDevice["interfaces"] = [];
  for (const parent of [folder, ...carried.map((name) => `${folder}/${name}`)]) {
    for (const name of await names(`${parent}/net`)) {
      const flags = Number((await text(`${parent}/net/${name}/flags`)) ?? 0);
      interfaces.push({ name, up: (flags & IFF_UP) !== 0 });
    }
  }
  return interfaces;
}

/** `IORESOURCE_IO` of linux/ioport.h, in the third column of `resource`. */
const RESOURCE_IO = 0x100;

/** BARs from the `resource` attribute: six lines of start, end and flags, then ROM and bridge windows. */
function parseResource(lines: string): Bar[] {
  const bars: Bar[] = [];
  for (const [index, line] of lines.split("\n").slice(0, 6).entries()) {
    const [start, end, flags] = line.split(" ").map(Number);
    // No flags: not there, or the upper half of a 64-bit BAR.
    if (!flags) continue;
    bars.push({ index, space: flags & RESOURCE_IO ? "io" : "memory", start, size: end - start + 1 });
  }
  return bars;
}

/** Offsets and ids of configuration space, PCI Local Bus 3.0 §6.1, §6.7, §6.8. */
const CONFIG = { STATUS: 0x06, CAPABILITIES: 0x34, INTERRUPT_PIN: 0x3d, HEADER: 64 };
const STATUS_HAS_CAPABILITIES = 1 << 4;
const CAPABILITY = { MSI: 0x05, MSIX: 0x11 };

/** Interrupt capabilities from configuration space; undefined if the capabilities were not readable. */
function parseInterrupts(config: Uint8Array): InterruptCapabilities | undefined {
  if (config.length < CONFIG.HEADER) return undefined;
  const view = new DataView(config.buffer, config.byteOffset, config.length);
  const found: InterruptCapabilities = {
    intx: view.getUint8(CONFIG.INTERRUPT_PIN) !== 0,
    msi: 0,
    msix: 0,
    msixAreas: [],
  };
  if ((view.getUint16(CONFIG.STATUS, true) & STATUS_HAS_CAPABILITIES) === 0) return found;
  let at = view.getUint8(CONFIG.CAPABILITIES) & ~3;
  // A broken device may link its list in a circle: no list is longer than the space has words.
  for (let left = 48; at !== 0 && left > 0; left--) {
    if (at + 4 > config.length) return undefined;
    const id = view.getUint8(at);
    const control = view.getUint16(at + 2, true);
    if (id === CAPABILITY.MSI) found.msi = 1 << ((control >> 1) & 7);
    if (id === CAPABILITY.MSIX && at + 12 <= config.length) {
      found.msix = (control & 0x7ff) + 1;
      const table = view.getUint32(at + 4, true);
      const pending = view.getUint32(at + 8, true);
      found.msixAreas = [
        { bar: table & 7, offset: (table & ~7) >>> 0, length: found.msix * 16 },
        { bar: pending & 7, offset: (pending & ~7) >>> 0, length: Math.ceil(found.msix / 64) * 8 },
      ];
    }
    at = view.getUint8(at + 1) & ~3;
  }
  return found;
}

function interfacesText(device: PciDevice): string {
  if (device.interfaces.length === 0) return "";
  const each = device.interfaces.map(({ name, up }) => `interface ${name}, ${up ? "up" : "down"}`);
  return ` (${each.join("; ")})`;
}

async function write(sysfs: Sysfs, path: string, text: string): Promise<void> {
  try {
    await sysfs.write(path, text);
  } catch (error) {
    const shown = path.slice(sysfs.root.length);
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`Cannot write /sys${shown}: this needs root; run it with sudo`, { cause: error });
    }
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError(`Cannot write "${text.trim()}" to /sys${shown}: ${reason}`, { cause: error });
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name)).sort();
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

async function text(path: string): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function linkName(path: string): Promise<string | null> {
  try {
    return (await Deno.readLink(path)).split("/").pop() ?? null;
  } catch (error) {
    if (isAbsent(error)) return null;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (isAbsent(error)) return false;
    throw error;
  }
}

/** Not there, also where a path leads through a file, or the device has just gone (ENODEV). */
function isAbsent(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory ||
    (error instanceof Error && "code" in error && error.code === "ENODEV");
}

function hex4(id: number): string {
  return id.toString(16).padStart(4, "0");
}
