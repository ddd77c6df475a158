/** `ring3 fuzz`: hostile native processes against the kernel module, in the lab. */
import { formatFuzz, fuzz } from "../fuzz/lab.ts";
import type { LabOptions } from "../run/lab.ts";
import { type Command, defineCommand, duration, flag, integer } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { inLab } from "./in_lab.ts";

/** Cards and disks are the fuzzer's own, and without an IOMMU its device writes to any memory. */
const { nic: _nic, disk: _disk, iommu: _iommu, ...MACHINE } = HARDWARE_OPTIONS;

/** Largest seed that is chosen, and that a number of JavaScript holds exactly. */
const SEEDS = 2 ** 32;

/** The command. */
export const fuzzCommand: Command = defineCommand({
  name: "ring3 fuzz",
  summary: "Attack the kernel module with hostile native processes, in the lab",
  options: {
    time: duration("How long to attack", { default: "60s" }),
    seed: integer("Start from this number, to attack as a run before did; else any", {
      value: "N",
      min: 0,
      max: SEEDS - 1,
    }),
    json: flag("print one JSON object"),
    ...MACHINE,
  },
  examples: [
    { line: "deno task fuzz", does: "a minute, from a random seed" },
    { line: "deno task fuzz --time 30min --seed 4711", does: "half an hour, from this seed" },
  ],
  notes: [
    "Exits with 1 if anything was found. The seed fixes what each process tries, not how their threads meet.",
  ],
  async main({ options }) {
    const { time, seed = Math.floor(Math.random() * SEEDS) } = options;
    const run = (lab: LabOptions) => fuzz({ ...lab, seconds: Math.ceil(time / 1000), seed });
    return await inLab(options, { run, format: formatFuzz });
  },
});
