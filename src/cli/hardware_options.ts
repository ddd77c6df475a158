/** Flags of every command that boots a lab: what it consists of, read by `parseHardware`. */
import { DEFAULT_HARDWARE } from "../lab/mod.ts";
import { flag, list, text } from "./args.ts";

/** The flags. */
export const HARDWARE_OPTIONS = {
  nic: list("Network card: e1000 (an 82545EM, the default), 82540em, e1000e, or none", { value: "CARD" }),
  disk: list("Empty disk of 1 GiB: ide (PIIX4), nvme, or none (the default)", { value: "DISK" }),
  iommu: text(
    "An Intel IOMMU: on (default), off, or on and when mappings that are undone are forgotten: lazy or strict",
    { value: "MODE" },
  ),
  smp: text(`Processors, ${DEFAULT_HARDWARE.smp} by default`, { value: "N" }),
  memory: text(`MiB, ${DEFAULT_HARDWARE.memory} by default`, { value: "N" }),
  kernel: text(
    "6.1 (default) or 6.12 of Debian; sanitizer, 6.1 with every check; or a directory with vmlinux and lib/modules",
    { value: "KERNEL" },
  ),
  yes: flag("Install what is missing without asking"),
};
