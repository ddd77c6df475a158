// The machine that QEMU emulates: what can be chosen, and the arguments that make it.
import { USAGE, UserError } from "../error.ts";

/** A network card under test. */
export type Nic = "e1000" | "82540em" | "e1000e";

/** A disk under test. */
export type Disk = "ide" | "nvme";

/**
 * When the IOMMU is made to forget a mapping that is undone: `strict` at once, `lazy` some time later and many in
 * one go.
 */
export type IommuMode = "lazy" | "strict";

/** What the lab consists of beside its own system disk and management network. */
export interface Hardware {
  /** Network cards, each with a network of its own: "e1000" is an 82545EM. */
  readonly nic: readonly Nic[];
  /** The cards, or those of these indices, hear each other, as on one wire, and nobody else. */
  readonly oneWire: boolean | readonly number[];
  /** Cards by index whose wire is a pair of sockets, with a program of the caller's at the other end. */
  readonly sockets: Readonly<Record<number, FrameSockets>>;
  /** Empty disks of 1 GiB. */
  readonly disk: readonly Disk[];
  /** How many of QEMU's edu device, 1234:11e8, which interrupts when it is told to; see {@link eduAddress}. */
  readonly edu?: number;
  /** An Intel IOMMU with interrupt remapping. */
  readonly iommu: boolean;
  /** What the kernel does with mappings that are undone; its own choice if not given. */
  readonly iommuMode?: IommuMode;
  /** Processors. */
  readonly smp: number;
  /** MiB. */
  readonly memory: number;
  /** "6.1", "6.12", "sanitizer", or the path of a directory with a kernel: see `findKernel`. */
  readonly kernel: string;
  /**
   * A plugin of QEMU's emulator, as `-plugin` takes it: a path and its arguments, see {@link escape}. All processors
   * are then emulated, by one thread.
   */
  readonly plugin?: string;
}

/** Paths of two Unix datagram sockets that carry a frame in each datagram. */
export interface FrameSockets {
  /** Made by the lab: what is sent to it the card receives, or has it wait while it has no room. */
  readonly card: string;
  /** Where what the card sends goes; lost while nobody has made it. */
  readonly outside: string;
}

/** What there is when nothing is chosen. RING3_KERNEL in the environment names another kernel for everything. */
export const DEFAULT_HARDWARE: Hardware = {
  nic: ["e1000"],
  oneWire: false,
  sockets: {},
  disk: [],
  iommu: true,
  smp: 2,
  memory: 2048,
  kernel: Deno.env.get("RING3_KERNEL") || "6.1",
};

/** Bytes of a disk under test. */
export const DISK_SIZE = 1024 ** 3;

/** What is behind a disk under test. */
export interface DiskFile {
  /** A raw file, as long as the disk is large. */
  path: string;
  /**
   * A file to which every write and flush goes as well, in the order in which the disk had them: in the format of
   * Linux's dm-log-writes. It is made anew.
   */
  log?: string;
}

/** The flags that choose hardware, as text. A list may be repeated or separated by commas. */
export interface HardwareFlags {
  nic?: readonly string[];
  disk?: readonly string[];
  iommu?: string;
  smp?: string;
  memory?: string;
  kernel?: string;
}

const NIC_MODELS: Record<Nic, string> = { e1000: "e1000-82545em", "82540em": "e1000", e1000e: "e1000e" };
const DISKS: readonly Disk[] = ["ide", "nvme"];
/** There are so many slots of the root bus for each kind; a PIIX4 has four drives. */
const MOST_NICS = 8;
const MOST_DISKS = 4;
/** Slot of the first edu device. */
const EDU_SLOT = 0x18;
/** PCI ids of what the disks are behind. */
const DISK_IDS: Record<Disk, { vendor: number; device: number }> = {
  ide: { vendor: 0x8086, device: 0x7111 },
  nvme: { vendor: 0x1b36, device: 0x0010 },
};

/** The disks that there are for a driver unless others are chosen: one that it matches, if there is one. */
export function disksFor(match: readonly { vendor: number; device: number }[]): Disk[] {
  const fits = (disk: Disk) =>
    match.some(({ vendor, device }) => vendor === DISK_IDS[disk].vendor && device === DISK_IDS[disk].device);
  return DISKS.filter(fits).slice(0, 1);
}

/**
 * Reads the flags; what is not given is as in {@link DEFAULT_HARDWARE}.
 * @throws {UserError} that names the flag and what it takes.
 */
export function parseHardware(flags: HardwareFlags): Hardware {
  return {
    oneWire: DEFAULT_HARDWARE.oneWire,
    sockets: DEFAULT_HARDWARE.sockets,
    nic: list(flags.nic, { flag: "--nic", known: Object.keys(NIC_MODELS) as Nic[], most: MOST_NICS }) ??
      DEFAULT_HARDWARE.nic,
    disk: list(flags.disk, { flag: "--disk", known: DISKS, most: MOST_DISKS }) ?? DEFAULT_HARDWARE.disk,
    ...iommuOf(flags.iommu),
    smp: integer(flags.smp, { flag: "--smp", min: 1, max: 64 }) ?? DEFAULT_HARDWARE.smp,
    memory: integer(flags.memory, { flag: "--memory", min: 256, max: 1 << 20 }) ?? DEFAULT_HARDWARE.memory,
    kernel: flags.kernel || DEFAULT_HARDWARE.kernel,
  };
}

/** The network of the card at `index`: its members see this machine at `host`, and DHCP gives `guest`. */
export function nicNetwork(index: number): { network: string; host: string; guest: string } {
  const prefix = `10.${3 + index}.0`;
  return { network: `${prefix}.0/24`, host: `${prefix}.2`, guest: `${prefix}.15` };
}

/** PCI address of the card at `index`: each is alone behind a port of its own, and these are the first buses. */
export function nicAddress(index: number): string {
  return `0000:${(1 + index).toString(16).padStart(2, "0")}:00.0`;
}

/** PCI address of the edu device at `index`. */
export function eduAddress(index: number): string {
  return `0000:00:${(EDU_SLOT + index).toString(16)}.0`;
}

/** What the kernel is told of the IOMMU. */
export function iommuParameters({ iommu, iommuMode }: Pick<Hardware, "iommu" | "iommuMode">): string[] {
  return [
    iommu ? "intel_iommu=on" : "intel_iommu=off",
    ...(iommuMode ? [`iommu.strict=${iommuMode === "strict" ? 1 : 0}`] : []),
  ];
}

/**
 * QEMU's arguments for the chosen devices. Card `i` is "nic<i>" on the network back end "net<i>", disk `i`
 * is "disk<i>" on `disks[i]`; those ids are what `device_del` takes.
 */
export function deviceArguments(hardware: Hardware, disks: readonly DiskFile[]): string[] {
  const argv: string[] = [];
  const device = (text: string) => argv.push("-device", text);
  // Without caching mode, which would tell Linux that it is emulated: on real ones it forgets lazily by default.
  if (hardware.iommu) device("intel-iommu,intremap=on");
  for (const [index, nic] of hardware.nic.entries()) {
    const { network, host, guest } = nicNetwork(index);
    // A slot of its own, so that the card can be unplugged.
    device(
      `pcie-root-port,id=nicport${index},chassis=${1 + index},slot=${1 + index},addr=${hex(0x08 + index)}`,
    );
    const sockets = hardware.sockets[index];
    argv.push(
      "-netdev",
      sockets
        ? `dgram,id=net${index},local.type=unix,local.path=${escape(sockets.card)},` +
          `remote.type=unix,remote.path=${escape(sockets.outside)}`
        : isWired(hardware, index)
        ? `hubport,id=net${index},hubid=0`
        : `user,id=net${index},net=${network},host=${host},dhcpstart=${guest}`,
    );
    device(`${NIC_MODELS[nic]},id=nic${index},netdev=net${index},bus=nicport${index},romfile=`);
  }
  for (let index = 0; index < (hardware.edu ?? 0); index++) {
    device(`edu,id=edu${index},addr=${hex(EDU_SLOT + index)}`);
  }
  if (hardware.disk.includes("ide")) device("piix4-ide,id=ide,addr=0x1c");
  let ide = 0;
  for (const [index, disk] of hardware.disk.entries()) {
    argv.push("-drive", `${driveText(disks[index])},if=none,id=drive${index}`);
    if (disk === "ide") {
      device(`ide-hd,id=disk${index},drive=drive${index},bus=ide.${ide >> 1},unit=${ide & 1}`);
      ide++;
    } else {
      device(
        `pcie-root-port,id=diskport${index},chassis=${33 + index},slot=${33 + index},addr=${
          hex(0x14 + index)
        }`,
      );
      device(`nvme,id=disk${index},drive=drive${index},serial=ring3-${index},bus=diskport${index},romfile=`);
    }
  }
  return argv;
}

/** What offsets and lengths in a log are counted in, bytes. */
export const LOG_SECTOR = 512;

/** To this machine's own disk nothing is flushed. To a log flushes must go, since it is to tell of them. */
function driveText({ path, log }: DiskFile): string {
  const file = escape(path);
  if (log === undefined) return `file=${file},format=raw,cache=unsafe`;
  return `driver=blklogwrites,log-sector-size=${LOG_SECTOR},cache=writeback,` +
    `file.driver=raw,file.file.driver=file,file.file.filename=${file},file.cache.no-flush=on,` +
    `log.driver=file,log.filename=${escape(log)},log.cache.no-flush=on`;
}

function isWired({ oneWire }: Pick<Hardware, "oneWire">, index: number): boolean {
  return typeof oneWire === "boolean" ? oneWire : oneWire.includes(index);
}

/** A path as part of a QEMU option, where a comma begins the next one. */
export function escape(path: string): string {
  return path.replaceAll(",", ",,");
}

function hex(number: number): string {
  return `0x${number.toString(16)}`;
}

function list<T extends string>(
  values: readonly string[] | undefined,
  options: { flag: string; known: readonly T[]; most: number },
): T[] | undefined {
  const names = (values ?? []).flatMap((value) => value.split(","));
  if (names.length === 0) return undefined;
  if (names.length === 1 && names[0] === "none") return [];
  const known: readonly string[] = options.known;
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new UserError(`Unknown ${options.flag} "${unknown}": it takes ${known.join(", ")} or none`, {
      code: USAGE,
    });
  }
  const { most } = options;
  if (names.length > most) {
    throw new UserError(`Too many of ${options.flag}: ${names.length}; at most ${most}`, { code: USAGE });
  }
  return names as T[];
}

function iommuOf(value: string | undefined): Pick<Hardware, "iommu" | "iommuMode"> {
  switch (value) {
    case undefined:
      return { iommu: DEFAULT_HARDWARE.iommu };
    case "on":
    case "off":
      return { iommu: value === "on" };
    case "lazy":
    case "strict":
      return { iommu: true, iommuMode: value };
  }
  throw new UserError(`Wrong --iommu "${value}": it takes on, off, lazy or strict`, { code: USAGE });
}

function integer(
  value: string | undefined,
  options: { flag: string; min: number; max: number },
): number | undefined {
  if (value === undefined) return undefined;
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < options.min || number > options.max) {
    throw new UserError(
      `Wrong ${options.flag} "${value}": it takes a whole number from ${options.min} to ${options.max}`,
      { code: USAGE },
    );
  }
  return number;
}
