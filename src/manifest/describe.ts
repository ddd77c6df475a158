/** A grant in words, for the person who is about to start a driver. */
import { isConfined, type PciDevice } from "../pci.ts";
import { formatSize } from "../size.ts";
import { writtenDuration } from "../duration.ts";
import type { Manifest, PortManifest } from "./load.ts";
import { interruptType, LABELS } from "./resolve.ts";

/**
 * What a manifest grants of a device, a line for each kind of thing, and a last line that nothing else
 * is granted. `port` is the name of the network interface or disk, once it has one.
 */
export function describeGrant(
  { grant, iommu }: Manifest,
  device: PciDevice,
  options: { port?: string } = {},
): string[] {
  const lines = grant.bars.map(({ bar, offset, length }) => {
    const end = (offset + length - 1).toString(16);
    const start = offset.toString(16).padStart(end.length, "0");
    const io = device.bars.some(({ index, space }) => index === bar && space === "io");
    return `${io ? "I/O ports" : "registers"}: BAR ${bar}, bytes 0x${start}–0x${end} (${formatSize(length)})`;
  });
  if (lines.length === 0) lines.push("registers: none");

  const { count } = grant.interrupts;
  const type = interruptType(grant.interrupts, device);
  const how = type ? ` (${LABELS[type]})` : "";
  lines.push(`interrupts: ${count === 0 ? "none" : count === 1 ? `one${how}` : `${count}${how}`}`);
  lines.push(`memory shared with the device: ${grant.dma === 0 ? "none" : formatSize(grant.dma)}`);
  if (grant.port) {
    lines.push(portText(grant.port, options.port));
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

function portText(port: PortManifest, given: string | undefined): string {
  if (port.kind === "raw") {
    return `no port into the kernel: frames go to ${port.program}, ${port.ring} each way, in the driver's process`;
  }
  const name = given ?? port.name;
  if (port.kind === "net") return `network port ${name}: ${port.ring} frames each way`;
  const queues = port.queues === 1 ? "one queue" : `up to ${port.queues} queues`;
  const inFlight = port.onDeath === "reissue" ? "are given to the next driver" : "fail";
  return `disk ${name}: ${queues}; when a driver ends, its requests ${inFlight}, others wait ` +
    `up to ${writtenDuration(port.hold)}`;
}
