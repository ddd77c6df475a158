/** `ring3 soak`: drivers ended again and again in the lab, and what that does to those who use them. */
import { dirname } from "node:path";
import { checkout } from "../lab/checkout.ts";
import type { LabOptions } from "../run/lab.ts";
import { formatRecoverSoak, plotRecoverSoak, soakRecover } from "../soak/recover.ts";
import { formatStallSoak, soakStall } from "../soak/stall.ts";
import { formatTcpSoak, soakTcp } from "../soak/tcp.ts";
import { type Command, defineCommand, defineGroup, text } from "./args.ts";
import { IN_LAB_OPTIONS, inLab } from "./in_lab.ts";

/** Where the results of a whole soak are kept, without an ending. */
const RESULTS = "bench/results/soak-recover";

const tcpCommand = defineCommand({
  name: "ring3 soak tcp",
  summary: "transfer over TCP with the driver ended every second, and compare with an undisturbed run",
  options: IN_LAB_OPTIONS,
  notes: [
    "256 MiB each way (--quick: 96 MiB), first undisturbed. Then the driver is killed, made to hang and made to\n" +
    "throw, in turn, every second, or as soon as it has recovered if that takes longer.",
  ],
  async main({ options }) {
    const bytes = (options.quick ? 96 : 256) * 2 ** 20;
    return await inLab(options, { run: (lab) => soakTcp({ ...lab, bytes }), format: formatTcpSoak });
  },
});

const recoverCommand = defineCommand({
  name: "ring3 soak recover",
  summary: "kill the driver 1,000 times, and see how long recovery takes and what is left",
  options: {
    ...IN_LAB_OPTIONS,
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
    return await inLab(options, { run, format: formatRecoverSoak });
  },
});

const stallCommand = defineCommand({
  name: "ring3 soak stall",
  summary: "see that a driver that hangs is noticed in time, and that an idle one is never woken",
  options: IN_LAB_OPTIONS,
  notes: ["20 stalls, then an hour without traffic (--quick: 5 and 60 s)."],
  async main({ options }) {
    const [stalls, idle] = options.quick ? [5, 60] : [20, 3600];
    return await inLab(options, {
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
