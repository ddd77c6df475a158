/**
 * A sysfs in a temporary folder, with a kernel behind it: devices as files, and the driver core's answers
 * to writes of `bind`, `unbind`, `driver_override`, `drivers_probe`, and the types of IOMMU groups.
 */
import { readDevice, type Sysfs } from "../../src/pci.ts";

/** What a device looks like; numbers as the attributes have them. */
export interface FakeDevice {
  vendor: number;
  device: number;
  class: number;
  /** Lines of `resource`: start, size, flags; absent BARs are null. */
  bars?: ([start: number, size: number, flags: number] | null)[];
  config?: Uint8Array;
  driver?: string;
  /** Names of interfaces, with their flags. */
  net?: Record<string, number>;
  /** Interfaces of a virtio device below it. */
  virtioNet?: Record<string, number>;
  /** `fixed`: the kernel refuses to translate it in another way. */
  iommu?: { group: number; type: string; fixed?: boolean };
}

/** Flags of `resource` lines: IORESOURCE_MEM and IORESOURCE_IO. */
export const MEMORY = 0x200;
export const IO = 0x100;

/** Configuration space of 256 bytes with an interrupt pin and a list of capabilities. */
export function config(
  options: {
    pin?: number;
    msi?: number;
    msix?: { count: number; bar: number; table: number; pending: number };
  },
): Uint8Array {
  const bytes = new Uint8Array(256);
  const view = new DataView(bytes.buffer);
  bytes[0x3d] = options.pin ?? 0;
  let link = 0x34;
  const add = (at: number, id: number) => {
    view.setUint16(0x06, 0x10, true);
    bytes[link] = at;
    bytes[at] = id;
    link = at + 1;
  };
  // Power management first: a capability that means nothing here.
  if (options.msi || options.msix) add(0x40, 0x01);
  if (options.msi) {
    add(0x50, 0x05);
    view.setUint16(0x52, Math.log2(options.msi) << 1, true);
  }
  if (options.msix) {
    const { count, bar, table, pending } = options.msix;
    add(0x70, 0x11);
    view.setUint16(0x72, count - 1, true);
    view.setUint32(0x74, table | bar, true);
    view.setUint32(0x78, pending | bar, true);
  }
  return bytes;
}

/** The emulated 82545EM: 128 KiB of registers, 64 I/O ports, an INTx pin. */
export const E1000: FakeDevice = {
  vendor: 0x8086,
  device: 0x100f,
  class: 0x020000,
  bars: [[0xfebc0000, 0x20000, MEMORY], [0xc000, 0x40, IO]],
  config: config({ pin: 1 }),
};

/** A fake sysfs. */
export class FakeSysfs implements Sysfs, AsyncDisposable {
  readonly root: string;
  /** Everything written, as `path=text`, below the root. */
  readonly writes: string[] = [];
  /** Drivers that refuse to bind. */
  readonly refusing = new Set<string>();
  /** Set to fail every write as an unprivileged process sees it. */
  denied = false;
  /** Which driver takes which device when it is probed, without an override. */
  readonly #natural = new Map<string, string>();
  /** The device of each group, by the path of its type; and that it was booted with, null if it is fixed. */
  readonly #groups = new Map<string, { address: string; booted: string | null }>();

  private constructor(root: string) {
    this.root = root;
  }

  static async create(
    devices: Record<string, FakeDevice>,
    options: { drivers?: string[] } = {},
  ): Promise<FakeSysfs> {
    const sysfs = new FakeSysfs(await Deno.makeTempDir({ prefix: "ring3-sysfs-" }));
    await Deno.mkdir(`${sysfs.root}/bus/pci/devices`, { recursive: true });
    for (const driver of options.drivers ?? []) await sysfs.#addDriver(driver);
    for (const [address, device] of Object.entries(devices)) await sysfs.#add(address, device);
    return sysfs;
  }

  async #addDriver(name: string): Promise<void> {
    await Deno.mkdir(`${this.root}/bus/pci/drivers/${name}`, { recursive: true });
  }

  async #add(address: string, device: FakeDevice): Promise<void> {
    const folder = `${this.root}/bus/pci/devices/${address}`;
    const hex = (value: number, digits: number) => `0x${value.toString(16).padStart(digits, "0")}`;
    await Deno.mkdir(folder);
    const bars = device.bars ?? [];
    const lines = Array.from({ length: 13 }, (_, index) => {
      const [start, size, flags] = bars[index] ?? [0, 1, 0];
      return [start, start + size - 1, flags].map((value) => hex(value, 16)).join(" ");
    });
    const files: Record<string, string> = {
      vendor: `${hex(device.vendor, 4)}\n`,
      device: `${hex(device.device, 4)}\n`,
      subsystem_vendor: "0x1af4\n",
      subsystem_device: "0x1100\n",
      class: `${hex(device.class, 6)}\n`,
      revision: "0x03\n",
      resource: `${lines.join("\n")}\n`,
      driver_override: "(null)\n",
    };
    for (const [name, text] of Object.entries(files)) await Deno.writeTextFile(`${folder}/${name}`, text);
    await Deno.writeFile(`${folder}/config`, device.config ?? new Uint8Array(256));
    for (const [below, interfaces] of [["", device.net], ["/virtio0", device.virtioNet]] as const) {
      for (const [name, flags] of Object.entries(interfaces ?? {})) {
        await Deno.mkdir(`${folder}${below}/net/${name}`, { recursive: true });
        await Deno.writeTextFile(`${folder}${below}/net/${name}/flags`, `${hex(flags, 4)}\n`);
      }
    }
    if (device.iommu) {
      const group = `${this.root}/kernel/iommu_groups/${device.iommu.group}`;
      await Deno.mkdir(`${group}/devices/${address}`, { recursive: true });
      await Deno.writeTextFile(`${group}/type`, `${device.iommu.type}\n`);
      const booted = device.iommu.fixed ? null : device.iommu.type;
      this.#groups.set(`${group}/type`, { address, booted });
      await Deno.symlink(group, `${folder}/iommu_group`);
    }
    if (device.driver) {
      this.#natural.set(address, device.driver);
      await this.#addDriver(device.driver);
      await this.#attach(address, device.driver);
    }
  }

  async #attach(address: string, driver: string): Promise<void> {
    await Deno.symlink(`../../drivers/${driver}`, `${this.root}/bus/pci/devices/${address}/driver`);
  }

  async write(path: string, text: string): Promise<void> {
    if (this.denied) throw new Deno.errors.PermissionDenied("Permission denied (os error 13)");
    const name = path.slice(this.root.length);
    this.writes.push(`${name}=${text.trim()}`);
    const address = text.trim();
    const folder = `${this.root}/bus/pci/devices/${address}`;
    if (name.endsWith("/driver_override")) {
      await Deno.writeTextFile(path, address === "" ? "(null)\n" : `${address}\n`);
    } else if (name.endsWith("/unbind")) {
      await Deno.remove(`${folder}/driver`);
    } else if (name === "/bus/pci/drivers_probe") {
      const override = (await Deno.readTextFile(`${folder}/driver_override`)).trim();
      const driver = override === "(null)" ? this.#natural.get(address) : override;
      if (driver && !this.refusing.has(driver)) await this.#attach(address, driver);
    } else if (this.#groups.has(path)) {
      const { address, booted } = this.#groups.get(path)!;
      const { driver } = await readDevice(address, { sysfs: this });
      if (booted === null || driver !== null) throw new Error("Invalid argument (os error 22)");
      await Deno.writeTextFile(path, `${text === "auto" ? booted : text}\n`);
    } else {
      const driver = /^\/bus\/pci\/drivers\/([^/]+)\/bind$/.exec(name)?.[1];
      if (!driver) throw new Deno.errors.NotFound(`No such file: ${name}`);
      if (this.refusing.has(driver)) throw new Error("No such device (os error 19)");
      await this.#attach(address, driver);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}
