/** `ring3 soak`: drivers ended again and again in the lab, and what that does to those who use them. */
import { USAGE, UserError } from "../error.ts";
import type { Disk } from "../lab/mod.ts";
import { formatFioSoak, soakFio } from "../soak/fio.ts";
import { formatRecoverSoak, plotRecoverSoak, soakRecover } from "../soak/recover.ts";
import { formatSqliteSoak, soakSqlite } from "../soak/sqlite.ts";
import { formatStallSoak, soakStall } from "../soak/stall.ts";
import { formatTcpSoak, soakTcp } from "../soak/tcp.ts";
import { type Command, defineCommand, defineGroup, duration, integer } from "./args.ts";
import { IN_LAB_OPTIONS, inLab } from "./in_lab.ts";
import { outOption } from "./results.ts";

/** Name of the results of a whole soak of recoveries. */
const RECOVERIES = "soak-recover";

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
  options: { ...IN_LAB_OPTIONS, ...outOption(".svg and .json", RECOVERIES) },
  notes: [
    "1,000 kills with a spare and 100 without (--quick: 30 and 10). Each waits until a spare is ready, so all of\n" +
    "it takes about an hour.",
  ],
  async main({ options }) {
    const { quick } = options;
    const [cycles, alone, sampleEvery] = quick ? [30, 10, 3] : [1000, 100, 50];
    return await inLab(options, {
      run: (lab) => soakRecover({ ...lab, cycles, alone, sampleEvery }),
      format: formatRecoverSoak,
      keep: { name: () => RECOVERIES, svg: plotRecoverSoak },
    });
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

/** The argument that names a disk. */
const DISK = { name: "[disk]", description: "nvme (default) or ide: the disk, and its driver" };

function chosenDisk(name = "nvme"): Disk {
  if (name === "nvme" || name === "ide") return name;
  throw new UserError(`There is no disk "${name}" in the lab: nvme or ide`, { code: USAGE });
}

const fioCommand = defineCommand({
  name: "ring3 soak fio",
  summary: "have fio write, read and verify a disk with its driver ended every two seconds",
  positionals: [DISK],
  options: {
    ...IN_LAB_OPTIONS,
    time: duration(
      "under the policy reissue, in equal parts at depths 1, 8 and 32; default 10min, or 24s with --quick",
    ),
  },
  notes: [
    "The driver is killed, made to hang and made to throw, in turn, two seconds after it is ready. Then the same for\n" +
    "a twentieth of the time, but 5 s at least, under each of two others: fail, where only what was under way at a\n" +
    "death may fail; and hold, where the next driver is late.",
  ],
  async main({ positionals: [name], options }) {
    const disk = chosenDisk(name);
    const time = options.time ?? (options.quick ? 24_000 : 600_000);
    return await inLab(options, { run: (lab) => soakFio({ ...lab, disk, time }), format: formatFioSoak });
  },
});

const sqliteCommand = defineCommand({
  name: "ring3 soak sqlite",
  summary: "have SQLite commit on a disk with its driver killed and the machine cut off at random",
  positionals: [DISK],
  options: {
    ...IN_LAB_OPTIONS,
    kills: integer("Kills in all; default 200, or 8 with --quick", { value: "N", min: 1, max: 100_000 }),
    cuts: integer("Cuts of the machine, each after its part of the kills; default 20, or 1 with --quick", {
      value: "N",
      min: 1,
      max: 10_000,
    }),
    seed: integer("What the times of kills and cuts follow from", {
      value: "N",
      min: 0,
      max: 2 ** 31 - 1,
      default: 1,
    }),
  },
  notes: [
    "Two databases, one with a write-ahead log and one with a rollback journal, on ext4. After each cut the machine\n" +
    "boots again on the same disk: the file system must be sound, the databases whole, and every acknowledged\n" +
    "commit there. A cut loses what the guest, the driver and QEMU held, and by chance what the disk had not flushed.",
  ],
  async main({ positionals: [name], options }) {
    const disk = chosenDisk(name);
    const { kills = options.quick ? 8 : 200, cuts = options.quick ? 1 : 20, seed } = options;
    if (cuts > kills) throw new UserError(`--cuts ${cuts} is more than --kills ${kills}`, { code: USAGE });
    return await inLab(options, {
      run: (lab) => soakSqlite({ ...lab, disk, kills, cuts, seed }),
      format: formatSqliteSoak,
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
    fio: () => Promise.resolve(fioCommand),
    sqlite: () => Promise.resolve(sqliteCommand),
  },
});
