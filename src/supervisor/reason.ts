/** Why a driver ended, from what its process said, how it exited, and what the kernel knows. */
import { EXIT_FAILED } from "../host/messages.ts";
import { uapi } from "../kernel/mod.ts";
import type { ProcessEnd } from "./driver_process.ts";

/** Kinds of end, by who noticed. */
export type EndKind = "device-lost" | "protocol" | "exception" | "signal" | "exit";

/** An end, for machines and in words. */
export interface EndReason {
  kind: EndKind;
  text: string;
  /** Where in the driver, if it threw. */
  stack?: string;
}

/**
 * The reason that explains the others: a lost device makes its driver throw, a broken protocol makes the
 * kernel end the grant, and only then does an exit status speak for itself.
 * @param kernel `end` and `text` of the claim's status.
 */
export function endReason(process: ProcessEnd, kernel: { end: number; text: string }): EndReason {
  const { failed, signal, code, stderr } = process;
  if (kernel.end === uapi.END.deviceLost) {
    return { kind: "device-lost", text: "the device was removed" };
  }
  if (kernel.end === uapi.END.protocol) return { kind: "protocol", text: kernel.text };
  if (failed) {
    return { kind: "exception", text: `${failed.error}: ${failed.message}`, stack: failed.stack };
  }
  if (signal) return { kind: "signal", text: `killed by ${signal}` };
  const said = stderr.findLast((line) => line.trim() !== "");
  const why = code === EXIT_FAILED || !said ? "" : `: ${said}`;
  return { kind: "exit", text: `exited with status ${code}${why}` };
}
