/** Traffic through the driver, compared: on both kernels, with and without an IOMMU, on both cards. */
import { assert, assertEquals } from "@std/assert";
import { DEFAULT_HARDWARE, type Hardware } from "../../src/lab/mod.ts";
import { checkInLab } from "../../src/run/lab.ts";
import { silent } from "./health.ts";

const MACHINES: Record<string, Partial<Hardware>> = {
  "82545EM, Linux 6.1, IOMMU": {},
  "82540EM, Linux 6.12, no IOMMU, one processor": {
    nic: ["82540em"],
    kernel: "6.12",
    iommu: false,
    smp: 1,
  },
};

for (const [name, hardware] of Object.entries(MACHINES)) {
  Deno.test(`packets, datagrams and streams pass unchanged: ${name}`, async () => {
    const { traffic, addresses } = await checkInLab(["e1000"], {
      hardware: { ...DEFAULT_HARDWARE, ...hardware },
      yes: true,
      progress: silent,
      signal: new AbortController().signal,
    });
    assertEquals(traffic.problems, []);
    assert(traffic.ok);
    assert(addresses.length > 0);
  });
}
