/** `ring3 list`: the machine's PCI devices, what they are bound to, and which manifest matches. */
import { findManifests, matchManifest } from "../manifest/mod.ts";
import { deviceNames, idText, listDevices, type PciDevice, SYSFS, type Sysfs } from "../pci.ts";
import { MANIFESTS } from "../run/manifests.ts";
import { defineCommand, flag } from "./args.ts";

/** One device of the list; the shape of `--json`. */
export interface ListedDevice {
  address: string;
  /** Vendor and device, as in `8086:100e`. */
  id: string;
  /** For people: from `pci.ids`, or the class in words. */
  name: string;
  /** The driver that holds it, or null. */
  driver: string | null;
  interfaces: string[];
  /** Group and domain type, or null without an IOMMU. */
  iommu: PciDevice["iommu"];
  /** Name of the manifest that matches it, or null. */
  manifest: string | null;
}

/** Devices that match a manifest or are bound to ring3, or all; and what is wrong with manifests, a line each. */
export async function listed(
  options: { all?: boolean; manifests?: string; sysfs?: Sysfs } = {},
): Promise<{ devices: ListedDevice[]; warnings: string[] }> {
  const [devices, { manifests, errors }, nameOf] = await Promise.all([
    listDevices({ sysfs: options.sysfs ?? SYSFS }),
    findManifests(options.manifests ?? MANIFESTS),
    deviceNames(),
  ]);
  const rows = devices.map((device): ListedDevice => ({
    address: device.address,
    id: idText(device),
    name: nameOf(device),
    driver: device.driver,
    interfaces: device.interfaces.map(({ name }) => name),
    iommu: device.iommu,
    manifest: matchManifest(device, manifests)?.name ?? null,
  }));
  return {
    devices: rows.filter((row) => options.all || row.manifest !== null || row.driver === "ring3"),
    warnings: errors.flatMap(({ message }) => message.split("\n")),
  };
}

/** The list as a table of text, with a heading. */
export function formatList(devices: readonly ListedDevice[]): string {
  const rows = [
    ["ADDRESS", "ID", "DRIVER", "IOMMU GROUP", "MANIFEST", "DEVICE"],
    ...devices.map((one) => [
      one.address,
      one.id,
      (one.driver ?? "-") + (one.interfaces.length > 0 ? ` (${one.interfaces.join(", ")})` : ""),
      one.iommu ? `${one.iommu.group}${one.iommu.type === "identity" ? " (passed through)" : ""}` : "-",
      one.manifest ?? "-",
      one.name,
    ]),
  ];
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows.map((row) => row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd())
    .join("\n");
}

/** What to do on a machine without a device for ring3. */
const NO_DEVICE = "No PCI device of this machine matches a manifest.\n" +
  "ring3 list --all shows every device; ring3 run e1000 starts a lab machine that has one.";

export const listCommand = defineCommand({
  name: "ring3 list",
  summary: "list PCI devices, their drivers, and the manifests that match them",
  options: {
    all: flag("Every PCI device, not only those that a manifest matches or ring3 holds", { short: "a" }),
    json: flag("Print JSON"),
  },
  examples: [
    { line: "ring3 list", does: "devices that ring3 could drive" },
    { line: "ring3 list --all --json", does: "every device, for a program" },
  ],
  async main({ options }) {
    const { devices, warnings } = await listed({ all: options.all });
    for (const warning of warnings) console.error(`ring3: ${warning}`);
    if (options.json) console.log(JSON.stringify(devices, null, 2));
    else console.log(devices.length > 0 ? formatList(devices) : NO_DEVICE);
    return 0;
  },
});
