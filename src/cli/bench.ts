/** `ring3 bench`: what it costs to have a driver outside the kernel, measured beside the kernel's own. */
import { benchCost, type CostDevice, COSTS, formatCostBench, plotCostBench } from "../../bench/cost.ts";
import { benchDisk, formatDiskBench, plotDiskBench, SIZES } from "../../bench/disk.ts";
import { type DiskName, DISKS } from "../../bench/drive.ts";
import { DEPTHS } from "../../bench/random.ts";
import {
  benchForward,
  formatForwardBench,
  LOADS as FORWARD_LOADS,
  plotForwardBench,
} from "../../bench/forward.ts";
import { benchIommu, formatIommuBench, type Mode, MODES, plotIommuBench } from "../../bench/iommu.ts";
import { iommuText } from "../../bench/compare.ts";
import { BATCHES, benchPacket, formatPacketBench, plotPacketBench } from "../../bench/packet.ts";
import { benchRecovery, formatRecoveryBench, plotRecoveryBench, RATES } from "../../bench/recovery.ts";
import { benchScale, COUNTS, formatScaleBench, MACHINES, plotScaleBench } from "../../bench/scale.ts";
import { benchTcp, formatTcpBench, plotTcpBench } from "../../bench/tcp.ts";
import { benchUdp, formatUdpBench, LOADS, plotUdpBench } from "../../bench/udp.ts";
import { benchWakeup, formatWakeupBench, plotWakeupBench } from "../../bench/wakeup.ts";
import { USAGE, UserError } from "../error.ts";
import { parseHardware } from "../lab/mod.ts";
import { progressOnStderr } from "../progress.ts";
import { need } from "../setup.ts";
import { type Command, defineCommand, defineGroup, flag, integer, text } from "./args.ts";
import { type Flags, IN_LAB_OPTIONS, inLab, type Work } from "./in_lab.ts";
import { type Keeping, keepResult, outOption } from "./results.ts";

const ALL_FORMS = ".md, .svg and .json";

/** @throws {UserError} if it is none of these. */
function oneOf<Name extends string>(name: string, { names, what }: { names: string[]; what: string }): Name {
  if (names.includes(name)) return name as Name;
  throw new UserError(`There is no ${what} called "${name}": ${names.join(", ")}`, { code: USAGE });
}

/** Measures in a lab, and keeps the figures and the table that is printed of them; the exit status. */
async function measure<T extends { ok: boolean }>(
  flags: Flags,
  { run, format, name, svg }: Omit<Work<T>, "keep"> & Omit<Keeping<T>, "md">,
): Promise<number> {
  return await inLab(flags, { run, format, keep: { name, md: format, svg } });
}

const diskCommand = defineCommand({
  name: "ring3 bench disk",
  summary:
    "read a disk in requests of 1 to 8,192 sectors and at random, through the kernel's driver and ring3's in turn",
  positionals: [{ name: "disk", description: Object.keys(DISKS).join(" or ") }],
  options: { ...IN_LAB_OPTIONS, ...outOption(ALL_FORMS, "disk-DISK") },
  notes: [
    "64 MiB at each size, or as much as is read in 2 s, and 5 s of random reads at depths 1 and 32; 5 rounds\n" +
    "(--quick: 8 sizes, 0.3 s and 2 s, 1 round).",
  ],
  async main({ positionals: [name], options }) {
    const disk = oneOf<DiskName>(name, { names: Object.keys(DISKS), what: "disk to measure" });
    const { quick } = options;
    return await measure(options, {
      run: (lab) =>
        benchDisk({
          ...lab,
          disk,
          sizes: quick ? [1, 2, 8, 32, 128, 512, 2048, 8192] : SIZES,
          rounds: quick ? 1 : 5,
          range: 64 * 2 ** 20,
          longest: quick ? 300 : 2000,
          random: { depths: DEPTHS, measured: quick ? 2000 : 5000 },
          warm: 5000,
        }),
      format: formatDiskBench,
      name: () => `disk-${disk}`,
      svg: plotDiskBench,
    });
  },
});

function roundsOption(rounds: number) {
  return {
    rounds: integer("Times that all drivers take their turn (--quick: one)", {
      value: "N",
      min: 1,
      max: 100,
      default: rounds,
    }),
  };
}

const udpCommand = defineCommand({
  name: "ring3 bench udp",
  summary:
    "echo datagrams under load from idle to past saturation, through the kernel's e1000 and ring3's in turn",
  options: {
    ...IN_LAB_OPTIONS,
    size: integer("Bytes of a datagram's payload", { value: "BYTES", min: 16, max: 1472, default: 1024 }),
    ...roundsOption(5),
    ...outOption(ALL_FORMS, "udp-BYTES-iommu-MODE"),
  },
  notes: [
    `${LOADS[0]} to ${LOADS[LOADS.length - 1]} datagrams a second, 3 s each (--quick: 4 loads, 2 s).`,
  ],
  async main({ options }) {
    const { quick, size } = options;
    return await measure(options, {
      run: (lab) =>
        benchUdp({
          ...lab,
          size,
          loads: quick ? [2000, 8000, 16_000, 32_000] : LOADS,
          rounds: quick ? 1 : options.rounds,
          measured: quick ? 2000 : 3000,
          warm: quick ? 8000 : 20_000,
        }),
      format: formatUdpBench,
      name: (result) => `udp-${size}-iommu-${iommuText(result)}`,
      svg: plotUdpBench,
    });
  },
});

const forwardCommand = defineCommand({
  name: "ring3 bench forward",
  summary:
    "send frames back under load, MAC addresses exchanged: DPDK's testpmd, the kernel's e1000 and ring3's in turn",
  options: {
    ...IN_LAB_OPTIONS,
    size: integer("Bytes of a frame with its FCS", { value: "BYTES", min: 64, max: 1518, default: 64 }),
    ...roundsOption(3),
    ...outOption(ALL_FORMS, "forward-BYTES-iommu-MODE"),
  },
  notes: [
    `${FORWARD_LOADS[0]} to ${
      FORWARD_LOADS[FORWARD_LOADS.length - 1]
    } frames a second, 2 s each (--quick: 3 loads).`,
    "The first run makes a second disk for the lab, with DPDK on it (a few minutes, and 1 GB in the cache).",
  ],
  async main({ options }) {
    const { quick, size } = options;
    return await measure(options, {
      run: (lab) =>
        benchForward({
          ...lab,
          size,
          loads: quick ? [4000, 16_000, 60_000] : FORWARD_LOADS,
          rounds: quick ? 1 : options.rounds,
          measured: 2000,
          warm: quick ? 8000 : 20_000,
        }),
      format: formatForwardBench,
      name: (result) => `forward-${size}-iommu-${iommuText(result)}`,
      svg: plotForwardBench,
    });
  },
});

const tcpCommand = defineCommand({
  name: "ring3 bench tcp",
  summary:
    "TCP streams both ways, and requests one after the other, through the kernel's e1000 and ring3's in turn",
  options: {
    ...IN_LAB_OPTIONS,
    ...roundsOption(5),
    ...outOption(ALL_FORMS, "tcp-iommu-MODE"),
  },
  notes: [
    "5 s of each kind after 5 s that do not count (--quick: 2 s each). It takes iperf3 on this machine.",
  ],
  async main({ options }) {
    const { quick } = options;
    const length = quick ? 2000 : 5000;
    return await measure(options, {
      run: (lab) => benchTcp({ ...lab, rounds: quick ? 1 : options.rounds, measured: length, warm: length }),
      format: formatTcpBench,
      name: (result) => `tcp-iommu-${iommuText(result)}`,
      svg: plotTcpBench,
    });
  },
});

const packetCommand = defineCommand({
  name: "ring3 bench packet",
  summary: "what a packet costs in the driver's process, against the same driver in C, on this machine",
  options: {
    quick: flag("much less of everything: to see that it works"),
    json: flag("print one JSON object"),
    yes: flag("install what is missing without asking"),
    ...outOption(ALL_FORMS, "packet"),
  },
  notes: [
    "5 rounds of 2 million packets at batches of 1 to 256 (--quick: 1 round of 100,000 at 1 and 32). It takes no " +
    "lab and no privileges.",
  ],
  async main({ options }) {
    const { quick, json, yes, out } = options;
    const progress = progressOnStderr();
    await need(["build"], { yes, progress });
    const result = await benchPacket({
      batches: quick ? [1, 32] : BATCHES,
      rounds: quick ? 1 : 5,
      warm: quick ? 200 : 400,
      packets: quick ? 100_000 : 2_000_000,
      counts: quick ? 1 : 3,
      progress,
    });
    await keepResult(result, {
      name: () => "packet",
      md: formatPacketBench,
      svg: plotPacketBench,
      out,
      quick,
      progress,
    });
    console.log(json ? JSON.stringify(result) : formatPacketBench(result));
    return 0;
  },
});

/** A plugin counts for one processor. */
const { smp: _smp, ...COST_OPTIONS } = IN_LAB_OPTIONS;

const costCommand = defineCommand({
  name: "ring3 bench cost",
  summary:
    "count the guest's instructions for each datagram echoed or request read, through the kernel's driver and " +
    "ring3's in turn",
  positionals: [{ name: "[device]", description: `${Object.keys(COSTS).join(", ")}; default e1000` }],
  options: {
    ...COST_OPTIONS,
    ...outOption(ALL_FORMS, "cost-DEVICE-iommu-MODE"),
  },
  notes: [
    "Datagrams in bursts of 1, 8 and 32, or requests of 1, 8 and 128 sectors; 5 rounds with 12 stretches of each\n" +
    "(--quick: 1 with 8).",
  ],
  async main({ positionals: [name = "e1000"], options }) {
    const device = oneOf<CostDevice>(name, { names: Object.keys(COSTS), what: "device to measure" });
    const { quick } = options;
    return await measure(options, {
      run: (lab) =>
        benchCost({
          ...lab,
          device,
          rounds: quick ? 1 : 5,
          stretches: quick ? 8 : 12,
          warm: device === "e1000" ? 12_288 : 4096,
          idle: 2000,
        }),
      format: formatCostBench,
      name: (result) => `cost-${device}-iommu-${iommuText(result)}`,
      svg: plotCostBench,
    });
  },
});

/** Each boot has an IOMMU of its own kind. */
const { iommu: _iommu, ...IOMMU_OPTIONS } = IN_LAB_OPTIONS;

const iommuCommand = defineCommand({
  name: "ring3 bench iommu",
  summary:
    "the datagrams of udp and the reads of disk without an IOMMU, and with one that is lazy and strict",
  options: { ...IOMMU_OPTIONS, ...outOption(ALL_FORMS, "iommu") },
  notes: [
    "4 loads and 4 sizes in 3 rounds, for each IOMMU (--quick: 1 load and 2 sizes in 1 round, off and strict).",
  ],
  async main({ options }) {
    const { quick } = options;
    return await measure(options, {
      run: (lab) =>
        benchIommu({
          ...lab,
          modes: quick ? ["off", "strict"] : Object.keys(MODES) as Mode[],
          rounds: quick ? 1 : 3,
          udp: {
            size: 1024,
            loads: quick ? [16_000] : [4000, 8000, 16_000, 32_000],
            measured: quick ? 1000 : 2000,
            warm: quick ? 4000 : 10_000,
          },
          disk: {
            disk: "ide",
            sizes: quick ? [1, 1024] : [1, 8, 64, 1024],
            range: 64 * 2 ** 20,
            longest: quick ? 300 : 1000,
            warm: quick ? 1000 : 5000,
          },
        }),
      format: formatIommuBench,
      name: () => "iommu",
      svg: plotIommuBench,
    });
  },
});

const wakeupCommand = defineCommand({
  name: "ring3 bench wakeup",
  summary:
    "time from an interrupt to a driver's first line, with C blocked in the same module and ring3's in turn",
  options: { ...IN_LAB_OPTIONS, ...outOption(ALL_FORMS, "wakeup") },
  notes: ["5 rounds of 8,000 interrupts for each of four sides (--quick: 1 of 3,000)."],
  async main({ options }) {
    const { quick } = options;
    return await measure(options, {
      run: (lab) =>
        benchWakeup({
          ...lab,
          rounds: quick ? 1 : 5,
          interrupts: quick ? 3000 : 8000,
          warm: 300,
          first: quick ? 2000 : 4000,
        }),
      format: formatWakeupBench,
      name: () => "wakeup",
      svg: plotWakeupBench,
    });
  },
});

const recoveryCommand = defineCommand({
  name: "ring3 bench recovery",
  summary:
    "kill a driver under UDP echo and in a TCP stream, with a spare and without: how long, and what is lost",
  options: {
    ...IN_LAB_OPTIONS,
    ...outOption(ALL_FORMS, "recovery"),
  },
  notes: [
    `${
      RATES.join(" and ")
    } datagrams a second, and a stream; 30 kills of each kind under each (--quick: 5, and but the first rate).`,
  ],
  async main({ options }) {
    const { quick } = options;
    return await measure(options, {
      run: (lab) =>
        benchRecovery({
          ...lab,
          rates: quick ? RATES.slice(0, 1) : RATES,
          rounds: quick ? 1 : 3,
          kills: quick ? 5 : 10,
        }),
      format: formatRecoveryBench,
      name: () => "recovery",
      svg: plotRecoveryBench,
    });
  },
});

/** Eight drivers, each with a spare and a supervisor, take more than there is by default. */
const SCALE_MEMORY = "4096";

const scaleCommand = defineCommand({
  name: "ring3 bench scale",
  summary: `drive ${COUNTS.join(", ")} cards at once on machines of ${MACHINES.join(", ")} processors`,
  options: {
    ...IN_LAB_OPTIONS,
    smp: text(`Processors of the machines, one booted after the other; default ${MACHINES.join(",")}`, {
      value: "N,…",
    }),
    memory: text(`MiB of each, ${SCALE_MEMORY} by default`, { value: "N" }),
    ...roundsOption(1),
    ...outOption(ALL_FORMS, "scale-iommu-MODE"),
  },
  notes: [
    "A machine after the other, some five minutes for each round on each (--quick: 2 processors, 1 and 2 cards).",
  ],
  async main({ options }) {
    const { quick, smp } = options;
    const machines = smp === undefined
      ? quick ? [2] : MACHINES
      : smp.split(",").map((one) => parseHardware({ smp: one }).smp);
    return await measure({ ...options, smp: undefined, memory: options.memory ?? SCALE_MEMORY }, {
      run: (lab) =>
        benchScale({
          ...lab,
          machines,
          counts: quick ? [1, 2] : COUNTS,
          rounds: quick ? 1 : options.rounds,
          loads: quick ? 1 : 3,
          measured: quick ? 1000 : 2000,
          warm: quick ? 1000 : 2000,
        }),
      format: formatScaleBench,
      name: (result) => `scale-iommu-${iommuText(result.machines[0])}`,
      svg: plotScaleBench,
    });
  },
});

/** The command. */
export const benchCommand: Command = defineGroup({
  name: "ring3 bench",
  summary: "Measure drivers beside those of the kernel, in the lab, and beside C",
  commands: {
    disk: () => Promise.resolve(diskCommand),
    udp: () => Promise.resolve(udpCommand),
    forward: () => Promise.resolve(forwardCommand),
    tcp: () => Promise.resolve(tcpCommand),
    packet: () => Promise.resolve(packetCommand),
    cost: () => Promise.resolve(costCommand),
    iommu: () => Promise.resolve(iommuCommand),
    wakeup: () => Promise.resolve(wakeupCommand),
    recovery: () => Promise.resolve(recoveryCommand),
    scale: () => Promise.resolve(scaleCommand),
  },
});
