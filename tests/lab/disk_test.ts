/** Disks through their drivers, written, read back and compared: on both kernels, with and without an IOMMU. */
import { assert, assertEquals } from "@std/assert";
import { DEFAULT_HARDWARE, type Hardware } from "../../src/lab/mod.ts";
import { checkDiskInLab } from "../../src/run/lab.ts";
import { silent } from "./health.ts";

const MACHINES: Record<string, Partial<Hardware>> = {
  "Linux 6.1, IOMMU": {},
  "Linux 6.12, no IOMMU, one processor": { kernel: "6.12", iommu: false, smp: 1 },
};

for (const [name, hardware] of Object.entries(MACHINES)) {
  Deno.test(`what is written to an NVMe disk is there, and a file system on it sound: ${name}`, async () => {
    const { disk } = await checkDiskInLab(["nvme"], {
      hardware: { ...DEFAULT_HARDWARE, disk: ["nvme"], ...hardware },
      yes: true,
      progress: silent,
      signal: new AbortController().signal,
    });
    assertEquals(disk.problems, []);
    assert(disk.ok);
    assertEquals(disk.disk, "r3b0");
  });
}
