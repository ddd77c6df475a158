/** A grant in words, for the person who is about to start a driver. */
import { isConfined, type PciDevice } from "../pci.ts";
import { formatSize } from "../size.ts";
import type { Manifest } from "./load.ts";
import { interruptType, LABELS } from "./resolve.ts";

/**
 * What a manifest grants of a device, a line for each kind of thing, and a last line that nothing else
 * is granted. `interface` is the network interface's name, once it has one.
 */
export function describeGrant(
  { grant, iommu }: Manifest,
  device: PciDevice,
  options: { interface?: string } = {},
): string[] {
  const lines = grant.bars.map(({ bar, offset, length }) => {
    const end = (offset + length - 1).toString(16);
    const start = offset.toString(16).padStart(end.length, "0");
    return `registers: BAR ${bar}, bytes 0x${start}–0x${end} (${formatSize(length)})`;
  });
  if (lines.length === 0) lines.push("registers: none");

  const { count } = grant.interrupts;
  const type = interruptType(grant.interrupts, device);
  const how = type ? ` (${LABELS[type]})` : "";
  lines.push(`interrupts: ${count === 0 ? "none" : count === 1 ? `one${how}` : `${count}${how}`}`);
  lines.push(`memory shared with the device: ${grant.dma === 0 ? "none" : formatSize(grant.dma)}`);
  if (grant.port) {
    const name = options.interface ?? grant.port.name;
    lines.push(`network port ${name}: ${grant.port.ring} frames each way`);
  } else {
    lines.push("port into the kernel: none");
  }
  if (!isConfined(device)) {
    const accepted = iommu === "preferred" ? ", which this manifest accepts" : "";
    lines.push(`no IOMMU: the device itself can reach all memory of this machine${accepted}`);
  }
  lines.push("nothing else: no other register, interrupt, memory, file, socket or process");
  return lines;
}
