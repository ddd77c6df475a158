/** `ring3 soak`: drivers ended again and again in the lab, and what that does to those who use them. */
import { dirname } from "node:path";
import { checkout } from "../lab/checkout.ts";
import { parseHardware } from "../lab/mod.ts";
import { progressOnStderr } from "../progress.ts";
import type { LabOptions } from "../run/lab.ts";
import { formatRecoverSoak, plotRecoverSoak, soakRecover } from "../soak/recover.ts";
import { formatStallSoak, soakStall } from "../soak/stall.ts";
import { formatTcpSoak, soakTcp } from "../soak/tcp.ts";
import { type Command, defineCommand, defineGroup, flag, text } from "./args.ts";
import { HARDWARE_OPTIONS } from "./hardware_options.ts";
import { untilInterrupted } from "./interrupted.ts";

/** Where the results of a whole soak are kept, without an ending. */
const RESULTS = "bench/results/soak-recover";

/** Cards and disks are each soak's own. */
const { nic: _nic, disk: _disk, ...MACHINE } = HARDWARE_OPTIONS;

const OPTIONS = {
  quick: flag("much less of everything: to see that it works"),
  json: flag("print one JSON object"),
  ...MACHINE,
};

interface Flags {
  json: boolean;
  yes: boolean;
  iommu?: string;
  smp?: string;
  memory?: string;
  kernel?: string;
}

/** Runs a soak in a lab until it is done or the user has had enough; the exit status. */
async function soak<T extends { ok: boolean }>(
  flags: Flags,
  { run, format }: { run: (options: LabOptions) => Promise<T>; format: (result: T) => string },
): Promise<number> {
  const hardware = parseHardware(flags);
  const { signal } = untilInterrupted();
  const interrupted = new Promise<undefined>((resolve) =>
    signal.addEventListener("abort", () => resolve(undefined))
  );
  const options = { hardware, yes: flags.yes, progress: progressOnStderr(), signal };
  // The lab ends with this process.
  const result = await Promise.race([run(options), interrupted]);
  if (!result) return 130;
  console.log(flags.json ? JSON.stringify(result) : format(result));
  return result.ok ? 0 : 1;
}

const tcpCommand = defineCommand({
  name: "ring3 soak tcp",
  summary: "transfer over TCP with the driver ended every second, and compare with an undisturbed run",
  options: OPTIONS,
  notes: [
    "256 MiB each way (--quick: 96 MiB), first undisturbed. Then the driver is killed, made to hang and made to\n" +
    "throw, in turn, every second, or as soon as it has recovered if that takes longer.",
  ],
  async main({ options }) {
    const bytes = (options.quick ? 96 : 256) * 2 ** 20;
    return await soak(options, { run: (lab) => soakTcp({ ...lab, bytes }), format: formatTcpSoak });
  },
});

const recoverCommand = defineCommand({
  name: "ring3 soak recover",
  summary: "kill the driver 1,000 times, and see how long recovery takes and what is left",
  options: {
    ...OPTIONS,
    out: text(`Path of the .svg and .json, without the ending; default ${RESULTS}, with --quick none`, {
      value: "PATH",
    }),
  },
  notes: [
    "1,000 kills with a spare and 100 without (--quick: 30 and 10). Each waits until a spare is ready, so all of\n" +
    "it takes about an hour.",
  ],
  async main({ options }) {
    const { quick } = options;
    const out = options.out ?? (quick ? undefined : `${checkout()}/${RESULTS}`);
    const run = async (lab: LabOptions) => {
      const result = await soakRecover({
        ...lab,
        cycles: quick ? 30 : 1000,
        alone: quick ? 10 : 100,
        sampleEvery: quick ? 3 : 50,
      });
      if (out === undefined) return result;
      await Deno.mkdir(dirname(out), { recursive: true });
      await Deno.writeTextFile(`${out}.svg`, plotRecoverSoak(result));
      await Deno.writeTextFile(`${out}.json`, `${JSON.stringify(result, null, 2)}\n`);
      lab.progress(`written: ${out}.svg and ${out}.json`);
      return result;
    };
    return await soak(options, { run, format: formatRecoverSoak });
  },
});

const stallCommand = defineCommand({
  name: "ring3 soak stall",
  summary: "see that a driver that hangs is noticed in time, and that an idle one is never woken",
  options: OPTIONS,
  notes: ["20 stalls, then an hour without traffic (--quick: 5 and 60 s)."],
  async main({ options }) {
    const [stalls, idle] = options.quick ? [5, 60] : [20, 3600];
    return await soak(options, {
      run: (lab) => soakStall({ ...lab, stalls, idle }),
      format: formatStallSoak,
    });
  },
});

/** The command. */
export const soakCommand: Command = defineGroup({
  name: "ring3 soak",
  summary: "End drivers again and again in the lab, and see what that does to those who use them",
  commands: {
    tcp: () => Promise.resolve(tcpCommand),
    recover: () => Promise.resolve(recoverCommand),
    stall: () => Promise.resolve(stallCommand),
  },
});
