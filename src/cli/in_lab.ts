// Commands that look at something in a lab of their own and say what they found.
import { parseHardware } from "../lab/mod.ts";
import { progressOnStderr } from "../progress.ts";
import type { LabOptions } from "../run/lab.ts";
import { flag } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { untilInterrupted } from "./interrupted.ts";
import { type Keeping, keepResult } from "./results.ts";

/** Cards and disks are each command's own. */
const { nic: _nic, disk: _disk, ...MACHINE } = HARDWARE_OPTIONS;

/** Options that all of them have. */
export const IN_LAB_OPTIONS = {
  quick: flag("much less of everything: to see that it works"),
  json: flag("print one JSON object"),
  ...MACHINE,
};

/** What {@link inLab} takes of them. */
export interface Flags {
  quick?: boolean;
  out?: string;
  json: boolean;
  yes: boolean;
  iommu?: string;
  smp?: string;
  memory?: string;
  kernel?: string;
}

/** Something to do in a lab. */
export interface Work<T> {
  run: (options: LabOptions) => Promise<T>;
  format: (result: T) => string;
  /** What is kept of its result, if anything is. */
  keep?: Keeping<T>;
}

/** Does something in a lab until it is done or the user has had enough; the exit status. */
export async function inLab<T extends { ok: boolean }>(
  flags: Flags,
  { run, format, keep }: Work<T>,
): Promise<number> {
  const hardware = parseHardware(flags);
  const { signal } = untilInterrupted();
  const interrupted = new Promise<undefined>((resolve) =>
    signal.addEventListener("abort", () => resolve(undefined))
  );
  const progress = progressOnStderr();
  // The lab ends with this process.
  const result = await Promise.race([run({ hardware, yes: flags.yes, progress, signal }), interrupted]);
  if (!result) return 130;
  if (keep) await keepResult(result, { ...keep, out: flags.out, quick: flags.quick, progress });
  console.log(flags.json ? JSON.stringify(result) : format(result));
  return result.ok ? 0 : 1;
}
