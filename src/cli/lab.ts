// `ring3 lab`: a command or a shell in the lab.
import { parseArgs } from "@std/cli";
import { UserError } from "../error.ts";
import { boot, type Hardware, type Lab, parseHardware, prepare } from "../lab/mod.ts";
import { progressOnStderr } from "../progress.ts";

/** Status of a command that ran while the guest's kernel had a problem: EX_SOFTWARE of sysexits.h. */
const KERNEL_PROBLEM = 70;

const HELP = `Run a command in the lab, an emulated machine with the hardware of your choice.

Usage:
  ring3 lab exec [options] -- COMMAND [ARGUMENT…]
  ring3 lab shell [options]

exec passes standard input, output, error and the exit status through. The command runs as root in
/ring3, this checkout (read-only). A problem in the guest's kernel log (a WARNING, BUG, Oops …) is
reported and makes the status ${KERNEL_PROBLEM}.

Options:
  --nic CARD        e1000 (an 82545EM, the default), 82540em, e1000e, or none; may be repeated
  --disk DISK       ide (PIIX4) or nvme; may be repeated; none by default
  --iommu on|off    an Intel IOMMU; on by default
  --smp N           processors; 2 by default
  --memory N        MiB; 2048 by default
  --kernel KERNEL   6.1 (default) or 6.12 of Debian, or a directory with vmlinux and lib/modules
  --yes             install what is missing without asking
  --help            this text

The first run fetches and builds what the lab is made of into \${XDG_CACHE_HOME:-~/.cache}/ring3. Kernels
and packages stay as first fetched; remove that directory to fetch newer ones.
`;

/** The subcommand, for the command line's dispatcher. */
export const labCommand: { summary: string; run(args: string[]): Promise<number> } = {
  summary: "Run a command or a shell in the lab",
  run: runLab,
};

async function runLab(args: string[]): Promise<number> {
  const { action, argv, hardware, yes, help } = parse(args);
  if (help) {
    console.log(HELP.trimEnd());
    return 0;
  }
  const progress = progressOnStderr();
  await prepare(hardware.kernel, { progress, yes });
  await using lab = await boot(hardware, { progress });
  let status: number;
  try {
    status = action === "shell" ? await shell(lab, argv) : await exec(lab, argv);
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
  console.error(`ring3: the guest's kernel has a problem (${problems.length} above)`);
  return true;
}

async function exec(lab: Lab, argv: string[]): Promise<number> {
  const { code } = await lab.exec(argv, { stdin: "inherit", stdout: "inherit", stderr: "inherit" });
  return code;
}

async function shell(lab: Lab, argv: string[]): Promise<number> {
  return (await lab.spawn(argv.length > 0 ? argv : ["bash", "-i"], { tty: true }).status).code;
}

interface Request {
  action: string;
  argv: string[];
  hardware: Hardware;
  yes: boolean;
  help: boolean;
}

function parse(args: string[]): Request {
  const wrong = (what: string) => new UserError(`${what}; see: ring3 lab --help`, { code: 2 });
  const [action = "--help", ...rest] = args;
  const flags = parseArgs(action === "--help" || action === "-h" ? ["--help"] : rest, {
    string: ["nic", "disk", "iommu", "smp", "memory", "kernel"],
    boolean: ["yes", "help"],
    collect: ["nic", "disk"],
    alias: { help: "h" },
    stopEarly: true,
    "--": true,
    unknown: (name: string, key?: string) => {
      if (key === undefined) return true;
      throw wrong(`Unknown option ${name}`);
    },
  });
  const argv = [...flags._.map(String), ...flags["--"]];
  if (!flags.help) {
    if (action !== "exec" && action !== "shell") throw wrong(`Unknown lab command "${action}"`);
    if (action === "exec" && argv.length === 0) throw wrong("No command to run");
  }
  return { action, argv, hardware: parseHardware(flags), yes: flags.yes, help: flags.help };
}
