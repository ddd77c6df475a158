/** Why a driver ended, from what its process said, how it exited, and what the kernel knows. */
import { EXIT_FAILED } from "../host/messages.ts";
import { uapi } from "../kernel/mod.ts";
import type { ProcessEnd } from "./driver_process.ts";
import type { Reason } from "./schema.ts";
import { cleanStack } from "./stack.ts";
import type { Version } from "./versions.ts";

/** What V8 writes when a heap is full and cannot grow. */
const HEAP_FULL = /out of memory/i;

/** What the launcher writes when the kernel has killed its process for its memory. */
const OVER_LIMIT = /^ring3-launch: out of memory: /;

/** Signals by which V8 gives up. */
const ABORTS: readonly (string | null)[] = ["SIGTRAP", "SIGABRT", "SIGILL"];

/** What the kernel knows of an end. */
export interface KernelEnd {
  /** `END` of the claim's status. */
  end: number;
  text: string;
}

/**
 * The kernel's reason, where it is one that explains the others: a lost device makes its driver throw, and a
 * broken protocol, a stall or failure after failure has the kernel end the grant while the process still runs.
 */
export function kernelReason({ end, text }: KernelEnd): Reason | undefined {
  if (end === uapi.END.deviceLost) return { kind: "device-lost", text: "the device was removed" };
  if (end === uapi.END.protocol) return { kind: "protocol", text };
  if (end === uapi.END.stalled) return { kind: "stall", text };
  if (end === uapi.END.failing) return { kind: "failing", text };
  return undefined;
}

/** The reason of an end that the kernel does not explain. */
export function processReason({ failed, signal, code, stderr }: ProcessEnd, version: Version): Reason {
  if (failed) {
    const stack = cleanStack(failed.stack, version);
    return { kind: "exception", text: `${failed.error}: ${failed.message}`, stack };
  }
  const last = stderr.findLast((line) => line.trim() !== "");
  if (ABORTS.includes(signal)) {
    const full = stderr.find((line) => HEAP_FULL.test(line));
    if (full) return { kind: "out-of-memory", text: full.trim() };
  }
  // ring3-launch has seen to whom the memory was.
  const over = stderr.find((line) => OVER_LIMIT.test(line));
  if (signal === "SIGKILL" && over) {
    return { kind: "out-of-memory", text: over.replace(/^ring3-launch: /, "") };
  }
  if (signal === "SIGSYS") {
    return { kind: "forbidden", text: "killed for a system call that no driver may make" };
  }
  if (signal) return { kind: "signal", text: `killed by ${signal}` };
  const why = code === EXIT_FAILED || !last ? "" : `: ${last}`;
  return { kind: "exit", text: `exited with status ${code}${why}` };
}
