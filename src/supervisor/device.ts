/** The device that a driver is to have: found, bound to ring3, and given back. */
import { UserError } from "../error.ts";
import { formatProblem, type Manifest, matchManifest, resolve } from "../manifest/mod.ts";
import { bind, isConfined, isLazy, listDevices, type PciDevice, readDevice, release } from "../pci.ts";
import { forgetPrevious, previousDriver, rememberPrevious } from "./held_devices.ts";

/** First of the users that drivers become: a range that neither systemd nor containers use. */
const FIRST_UID = 0x70000000;

/** The device to run on. @throws {UserError} if there is none or more than one. */
export async function chooseDevice(manifest: Manifest, address: string | undefined): Promise<PciDevice> {
  if (address !== undefined) return await readDevice(address);
  const matching = (await listDevices()).filter((device) => matchManifest(device, [manifest]));
  const spare = matching.filter(({ driver }) => driver === null || driver === "ring3");
  if (spare.length === 1) return spare[0];
  if (matching.length === 0) {
    throw new UserError(`This machine has no device that ${manifest.file} matches; see: ring3 list --all`);
  }
  const text = matching.map(({ address, driver }) => `${address} (${driver ?? "spare"})`).join(", ");
  throw new UserError(`Say which device with --device: ${text}`);
}

/** @throws {UserError} with all that the manifest grants and the device does not have. */
export function checkDevice(manifest: Manifest, device: PciDevice): void {
  const problems = resolve(manifest, device);
  if (problems.length > 0) throw new UserError(problems.map(formatProblem).join("\n"));
}

/** A user of its own for each device, which owns nothing: the range begins with 0000:00:00.0. */
export function uidOf({ address }: Pick<PciDevice, "address">): number {
  const [domain, bus, slot, fn] = address.split(/[:.]/).map((part) => parseInt(part, 16));
  return FIRST_UID + (domain & 0xfff) * 0x10000 + bus * 0x100 + slot * 8 + fn;
}

/** What a user should know of a device before it is driven, a line each. */
export function warningsOf(device: PciDevice): string[] {
  const { address, iommu } = device;
  if (iommu?.shared) {
    const others = iommu.shared.join(", ");
    return [
      `${address} reaches what ${others} of its IOMMU group can reach: its driver is as trusted (unsafe)`,
    ];
  }
  if (!isConfined(device)) {
    return [`${device.address} has no IOMMU: its driver is as trusted as the kernel (unsafe)`];
  }
  return isLazy(device)
    ? [`${device.address} can reach memory for some milliseconds after it was given back: its IOMMU is lazy`]
    : [];
}

/** A device bound to ring3, until it is disposed. */
export class BoundDevice implements AsyncDisposable {
  /** As it is once bound: whether an IOMMU confines it is known for sure only then. */
  readonly device: PciDevice;
  readonly #previous: string | null;
  readonly #madeStrict: boolean;
  #mine: boolean;

  private constructor(
    device: PciDevice,
    parts: { previous: string | null; madeStrict: boolean; mine: boolean },
  ) {
    this.device = device;
    this.#previous = parts.previous;
    this.#madeStrict = parts.madeStrict;
    this.#mine = parts.mine;
  }

  /**
   * Binds a device, and has its IOMMU forget at once what is unmapped, where that can be chosen.
   * @param options `take`: take it from the kernel's driver that uses it.
   * @throws {UserError} if it is in use, or cannot be bound.
   */
  static async bind(
    { address, driver }: PciDevice,
    { take }: { take: boolean },
  ): Promise<BoundDevice> {
    const bound = await bind(address, "ring3", { take, strict: true });
    // Bound already, it was taken by another supervisor, which may still hold it: it is ours to give back
    // once it has been claimed.
    if (driver === "ring3") {
      const previous = await previousDriver(address);
      return new BoundDevice(await readDevice(address), { previous, madeStrict: true, mine: false });
    }
    await rememberPrevious(address, bound.previous);
    return new BoundDevice(await readDevice(address), { ...bound, mine: true });
  }

  /** It has been claimed: nobody else's claim is ended by giving it back. */
  claimed(): void {
    this.#mine = true;
  }

  /** Gives it back to the driver that it came from; with `toKernel` to the kernel's own in any case. */
  async giveBack({ toKernel = false } = {}): Promise<void> {
    if (!this.#mine) return;
    this.#mine = false;
    await release(this.device.address, {
      previous: this.#previous,
      probe: toKernel,
      madeStrict: this.#madeStrict,
    });
    await forgetPrevious(this.device.address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.giveBack();
  }
}
