/**
 * What devices tried and the IOMMU stopped. Linux has no call that tells of it: Intel's driver only writes to
 * the log. AMD's asks the domain's fault handler first, but later kernels let the DMA API's domains have none. So
 * the log is followed.
 */
import { listAddresses } from "../pci.ts";
import { KernelLog } from "./kernel_log.ts";

/** An access of a device that its IOMMU has stopped. */
export interface DmaFault {
  /** PCI address as the log has it; Intel's driver leaves the domain out: `01:00.0`. */
  device: string;
  /** What it tried; `interrupt`: a write where interrupts are raised. */
  access: "read" | "write" | "interrupt";
  /** Bus address; of an interrupt on Intel's IOMMU its index. */
  address: bigint;
}

/** drivers/iommu/intel/dmar.c, `dmar_fault_do_one`; some versions write `0x` before the parts of the address. */
const INTEL =
  /^DMAR: \[(?:DMA (?<access>Read|Write) (?:NO_PASID|PASID 0x[0-9a-f]+)|INTR-REMAP)\] Request device \[(?:0x)?(?<bus>[0-9a-f]{2}):(?:0x)?(?<slot>[0-9a-f]{2})\.(?<fn>[0-7])\] fault (?:addr|index) 0x(?<address>[0-9a-f]+) /;

/** drivers/iommu/amd/iommu.c, `amd_iommu_report_page_fault`: of a device that has a driver, and of one that it does not know. */
const AMD =
  /^(?:\S+ (?<known>[0-9a-f]{4,}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): )?AMD-Vi: Event logged \[IO_PAGE_FAULT (?:device=(?<named>(?:[0-9a-f]{4,}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) )?domain=0x[0-9a-f]+ address=0x(?<address>[0-9a-f]+) flags=0x(?<flags>[0-9a-f]+)\]/;

/** Flags of AMD's event, "AMD I/O Virtualization Technology Specification" (48882) §2.5.3. */
const AMD_FLAG = { interrupt: 0x08, write: 0x20 } as const;

/** The fault that a record of the kernel's log tells of, if it does. */
export function parseDmaFault(record: string): DmaFault | undefined {
  const intel = INTEL.exec(record)?.groups;
  if (intel) {
    const { access, bus, slot, fn, address } = intel;
    return {
      device: `${bus}:${slot}.${fn}`,
      access: access === "Read" ? "read" : access === "Write" ? "write" : "interrupt",
      address: BigInt(`0x${address}`),
    };
  }
  const amd = AMD.exec(record)?.groups;
  const device = amd?.known ?? amd?.named;
  if (!amd || device === undefined) return undefined;
  const flags = parseInt(amd.flags, 16);
  const access = flags & AMD_FLAG.interrupt ? "interrupt" : flags & AMD_FLAG.write ? "write" : "read";
  return { device, access, address: BigInt(`0x${amd.address}`) };
}

/** A fault in words. */
export function dmaFaultText({ access, address }: DmaFault): string {
  const number = `0x${address.toString(16)}`;
  return access === "interrupt"
    ? `the device tried to raise interrupt ${number}, which is not its own`
    : `the device tried to ${access} ${number}, which is not its memory`;
}

/** How faults are followed. */
export interface DmaFaultOptions {
  /**
   * Told of every fault and of the devices that it can be of: more than one where the log leaves the domain out
   * and several have a device at that place.
   */
  onFault: (fault: DmaFault, devices: string[]) => void;
  /** Told, once, why faults are not noticed (any more). */
  onProblem: (text: string) => void;
  /** Replaced in tests. */
  open?: () => Promise<KernelLog>;
  /** Addresses of all PCI functions; replaced in tests. */
  addresses?: () => Promise<string[]>;
}

/** Follows the kernel's log for faults, until it is disposed of. */
export class DmaFaultWatch implements Disposable {
  readonly #options: DmaFaultOptions;
  #log?: KernelLog;
  #over = false;

  private constructor(options: DmaFaultOptions) {
    this.#options = options;
  }

  /** Begins; faults from now on count. */
  static start(options: DmaFaultOptions): DmaFaultWatch {
    const watch = new DmaFaultWatch(options);
    watch.#follow().catch((error) => {
      if (watch.#over) return;
      const why = error instanceof Error ? error.message : String(error);
      options.onProblem(
        `a device that reaches outside its memory is stopped, but not noticed: ` +
          `the kernel's log cannot be read: ${why}`,
      );
    });
    return watch;
  }

  [Symbol.dispose](): void {
    this.#over = true;
    this.#log?.[Symbol.dispose]();
  }

  async #follow(): Promise<void> {
    const { onFault, open = KernelLog.open, addresses = listAddresses } = this.#options;
    using log = await open();
    this.#log = log;
    if (this.#over) return;
    for await (const record of log.records()) {
      const fault = parseDmaFault(record);
      if (!fault) continue;
      const devices = (await addresses()).filter((address) =>
        address === fault.device || address.endsWith(`:${fault.device}`)
      );
      if (this.#over) return;
      onFault(fault, devices);
    }
  }
}
