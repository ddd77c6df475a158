/**
 * The lab: a QEMU machine with emulated hardware in which drivers run when there is no spare real device.
 *
 * ```ts
 * await using lab = await boot({ nic: ["e1000"] }, { progress: progressOnStderr() });
 * const { code, stdout } = await lab.exec(["uname", "-r"]);
 * ```
 * @module
 */
export { boot, freePort, Lab, makeDisk } from "./machine.ts";
export type { BootOptions, ExecOptions, ExecResult, ForwardOptions, SpawnOptions } from "./machine.ts";
export {
  DEFAULT_HARDWARE,
  disksFor,
  eduAddress,
  escape,
  LOG_SECTOR,
  nicAddress,
  nicNetwork,
  parseHardware,
} from "./hardware.ts";
export type { Disk, DiskFile, FrameSockets, Hardware, HardwareFlags, IommuMode, Nic } from "./hardware.ts";
export { findKernel, KERNELS } from "./kernel.ts";
export type { Kernel, KernelOptions } from "./kernel.ts";
export { memoryLeaks } from "./leaks.ts";
export { complaintsOf } from "./problems.ts";
export { QmpError } from "./qmp.ts";
export { QemuCrash } from "./start.ts";
export { prepare } from "./prepare.ts";
export type { PrepareOptions } from "./prepare.ts";
