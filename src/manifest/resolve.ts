/** Manifests against the machine: which one fits a device, and whether the device has what it grants. */
import { type Bar, idText, isConfined, type PciDevice } from "../pci.ts";
import { formatSize } from "../size.ts";
import type { Manifest } from "./load.ts";
import type { Problem } from "./problem.ts";
import type { InterruptType } from "./schema.ts";

/** The page of x86-64 and of every arm64 kernel of Debian's: the unit in which registers are mapped. */
const PAGE = 4096;

/** The first manifest that drives a device. */
export function matchManifest(
  device: Pick<PciDevice, "vendor" | "device">,
  manifests: readonly Manifest[],
): Manifest | undefined {
  return manifests.find(({ match }) =>
    match.some((one) => one.vendor === device.vendor && one.device === device.device)
  );
}

/** How the device would interrupt: the manifest's type, or the best that has enough vectors; undefined if none has. */
export function interruptType(
  { count, type }: Manifest["grant"]["interrupts"],
  device: PciDevice,
): InterruptType | undefined {
  const has = device.interrupts;
  if (type !== undefined || !has) return type;
  if (has.msix >= count) return "msix";
  if (has.msi >= count) return "msi";
  return has.intx && count <= 1 ? "intx" : undefined;
}

/** Everything in a grant that the device cannot give, a line each; empty if it can be granted. */
export function resolve(manifest: Manifest, device: PciDevice): Problem[] {
  const found: Problem[] = [];
  const add = (path: string, reason: string) => found.push({ file: manifest.file, path, reason });
  if (!matchManifest(device, [manifest])) {
    add("match", `${device.address} is ${idText(device)}, which is not listed`);
  }
  for (const [index, window] of manifest.grant.bars.entries()) {
    for (const reason of windowProblems(window, device)) add(`grant.bars[${index}]`, reason);
  }
  const reason = interruptProblem(manifest, device);
  if (reason) add("grant.interrupts", reason);
  if (manifest.iommu === "required" && !isConfined(device)) {
    add(
      "iommu",
      device.iommu?.shared
        ? `is required, but ${device.address} shares its IOMMU group with ${
          device.iommu.shared.join(", ")
        }, and the ` +
          `IOMMU keeps none of them from the others (use a slot of its own, or write "preferred")`
        : device.iommu
        ? `is required, but the IOMMU passes ${device.address} through (boot without iommu=pt)`
        : `is required, but no IOMMU confines ${device.address} (enable it in the firmware and boot with ` +
          `intel_iommu=on or amd_iommu=on, or write "preferred")`,
    );
  }
  return found;
}

function* windowProblems(window: Manifest["grant"]["bars"][number], device: PciDevice): Generator<string> {
  const bar = device.bars.find(({ index }) => index === window.bar);
  if (!bar) {
    yield `${device.address} has no BAR ${window.bar}; it has ${barsText(device.bars)}`;
    return;
  }
  if (bar.start === 0) {
    yield `BAR ${bar.index} of ${device.address} was given no address by the firmware`;
  } else if (bar.space === "memory" && bar.start % PAGE !== 0) {
    yield `BAR ${bar.index} of ${device.address} does not begin on a page, so a window would show its neighbours too`;
  }
  for (const [what, bytes] of [["begins", window.offset], ["has a length", window.length]] as const) {
    if (bar.space === "memory" && bytes % PAGE !== 0) {
      yield `the window ${what} ${what === "begins" ? "at" : "of"} ${formatSize(bytes)}: not whole pages of ${
        formatSize(PAGE)
      }`;
    }
  }
  if (window.offset + window.length > bar.size) {
    yield `the window ends at ${formatSize(window.offset + window.length)}, ` +
      `past the end of BAR ${bar.index} of ${device.address} (${formatSize(bar.size)})`;
  }
  for (const area of device.interrupts?.msixAreas ?? []) {
    // Pages, since pages are what is mapped.
    const start = area.offset - area.offset % PAGE;
    const end = Math.ceil((area.offset + area.length) / PAGE) * PAGE;
    if (area.bar === window.bar && window.offset < end && start < window.offset + window.length) {
      yield `the window holds the device's MSI-X registers at 0x${
        start.toString(16)
      }, which no driver may touch`;
      return;
    }
  }
}

function interruptProblem({ grant }: Manifest, device: PciDevice): string | undefined {
  const { count, type } = grant.interrupts;
  const has = device.interrupts;
  if (count === 0 || !has) return undefined;
  if (type === "ide") {
    return usesIsaInterrupts(device)
      ? undefined
      : `${device.address} is no IDE controller in compatibility mode`;
  }
  if (type === "intx") return has.intx ? undefined : `${device.address} has no INTx pin`;
  if (type !== undefined) {
    const label = LABELS[type];
    if (has[type] === 0) return `${device.address} has no ${label} capability`;
    return has[type] < count
      ? `${device.address} has ${has[type]} ${label} vectors, not ${count}`
      : undefined;
  }
  if (interruptType(grant.interrupts, device) !== undefined) return undefined;
  const most = Math.max(has.msix, has.msi, has.intx ? 1 : 0);
  return most === 0
    ? `${device.address} cannot interrupt`
    : `${device.address} has ${most} interrupt vectors at most, not ${count}`;
}

/** How the ways to interrupt are written for people. */
export const LABELS: Record<InterruptType, string> = { intx: "INTx", msi: "MSI", msix: "MSI-X", ide: "ISA" };

/** Base class and subclass of an IDE controller; bits of its programming interface: a channel is in native mode. */
const IDE_CLASS = 0x0101;
const IDE_NATIVE = 1 << 0 | 1 << 2;

/** Whether both channels interrupt as ISA controllers do, PCI IDE Controller Specification 1.0 §2. */
function usesIsaInterrupts(device: PciDevice): boolean {
  return device.class >> 8 === IDE_CLASS && (device.class & IDE_NATIVE) === 0;
}

function barsText(bars: readonly Bar[]): string {
  if (bars.length === 0) return "none";
  return bars.map(({ index, space, size }) =>
    `BAR ${index} (${formatSize(size)}${space === "io" ? " of I/O ports" : ""})`
  ).join(", ");
}
