/** `ring3 lab`: a command or a shell in the lab. */
import { USAGE, UserError } from "../error.ts";
import {
  boot,
  findKernel,
  type HardwareFlags,
  KERNELS,
  type Lab,
  parseHardware,
  prepare,
} from "../lab/mod.ts";
import { progressOnStderr } from "../progress.ts";
import { need } from "../setup.ts";
import { type Command, defineCommand, defineGroup, flag } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";

/** Status of a command during which the guest's kernel had a problem: EX_SOFTWARE of sysexits.h. */
const KERNEL_PROBLEM = 70;

const NOTES = [
  "Kernels and packages stay as first fetched, in ${XDG_CACHE_HOME:-~/.cache}/ring3; remove that directory\n" +
  "to fetch newer ones.",
];

const execCommand = defineCommand({
  name: "ring3 lab exec",
  summary: "run a command in the lab",
  rest: { name: "COMMAND…", description: "what to run, as root, in the checkout" },
  options: HARDWARE_OPTIONS,
  examples: [
    { line: "ring3 lab exec -- uname -r", does: "the lab's kernel" },
    { line: "ring3 lab exec --nic none --disk nvme -- lspci", does: "with other hardware" },
  ],
  notes: [
    "Standard input, output, error and the exit status are passed through. The command finds the checkout,\n" +
    "read-only, at /ring3. A problem in the log of the lab's kernel (a WARNING, BUG, Oops …) is printed and\n" +
    `makes the exit status ${KERNEL_PROBLEM}.`,
    ...NOTES,
  ],
  async main({ options, rest }) {
    if (rest.length === 0) {
      throw new UserError("lab exec needs a command: ring3 lab exec -- COMMAND…", { code: USAGE });
    }
    return await inLab(options, async (lab) => {
      return (await lab.exec(rest, { stdin: "inherit", stdout: "inherit", stderr: "inherit" })).code;
    });
  },
});

const shellCommand = defineCommand({
  name: "ring3 lab shell",
  summary: "open a shell in the lab",
  options: HARDWARE_OPTIONS,
  notes: NOTES,
  async main({ options }) {
    if (!Deno.stdin.isTerminal()) {
      throw new UserError("lab shell needs a terminal; without one: ring3 lab exec -- COMMAND…", {
        code: USAGE,
      });
    }
    return await inLab(options, async (lab) => (await lab.spawn(["bash", "-i"], { tty: true }).status).code);
  },
});

const kernelCommand = defineCommand({
  name: "ring3 lab kernel",
  summary: "fetch or build a kernel for the lab beforehand",
  positionals: [{ name: "KERNEL", description: `${KERNELS.join(", ")}, or a directory of your own` }],
  options: { yes: flag("install what is missing without asking") },
  examples: [{
    line: "ring3 lab kernel sanitizer",
    does: "builds the kernel with KASAN, lockdep and kmemleak, some fifteen minutes",
  }],
  notes: ["Prints the directory that holds it, which --kernel takes as well.", ...NOTES],
  async main({ positionals: [name], options: { yes } }) {
    const progress = progressOnStderr();
    await need(["lab"], { progress, yes });
    console.log((await findKernel(name, progress, { yes })).root);
    return 0;
  },
});

/** The command. */
export const labCommand: Command = defineGroup({
  name: "ring3 lab",
  summary: "Use the lab, an emulated machine with the hardware of your choice",
  commands: {
    exec: () => Promise.resolve(execCommand),
    shell: () => Promise.resolve(shellCommand),
    kernel: () => Promise.resolve(kernelCommand),
  },
});

async function inLab(
  options: HardwareFlags & { yes: boolean },
  work: (lab: Lab) => Promise<number>,
): Promise<number> {
  const hardware = parseHardware(options);
  const progress = progressOnStderr();
  await prepare(hardware.kernel, { progress, yes: options.yes });
  await using lab = await boot(hardware, { progress });
  let status: number;
  try {
    status = await work(lab);
  } catch (error) {
    reportProblems(lab);
    throw error;
  }
  return reportProblems(lab) ? KERNEL_PROBLEM : status;
}

/** Prints what the guest's kernel complained of; false if there is nothing. */
function reportProblems(lab: Lab): boolean {
  const problems = lab.kernelProblems();
  if (problems.length === 0) return false;
  for (const problem of problems) console.error(problem);
  console.error(`ring3: the lab's kernel has a problem (${problems.length} above)`);
  return true;
}
