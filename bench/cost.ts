/**
 * Guest instructions for each datagram that is echoed, or each request to a disk: the kernel's driver and ring3's
 * in turn, in one boot of one emulated processor, and where these instructions are.
 */
import { buildBench } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { type Lab, nicNetwork } from "../src/lab/mod.ts";
import { drawChart } from "../src/plot/mod.ts";
import type { LabOptions } from "../src/run/lab.ts";
import { DEVICE, keepQuiet } from "../src/soak/wire.ts";
import { temporaryFolder } from "../src/temporary_folder.ts";
import { AREAS } from "./areas.ts";
import { BURST_MAC, BurstSender, type Echoes } from "./bursts.ts";
import { type Card, ECHO_PORT, startEcho, takeCard } from "./card.ts";
import {
  compared,
  type Comparison,
  type DriverName,
  DRIVERS,
  machineText,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { type DiskName, type Drive, prepareDrive, takeDrive } from "./drive.ts";
import {
  type CountedTurn,
  type CountingOptions,
  countTurn,
  idleOf,
  type Side,
  sideOf,
  startCountedLab,
} from "./instructions.ts";
import { wireSockets } from "./load.ts";
import { Reader } from "./reader.ts";
import { formatTable, rangeText } from "../src/table.ts";

/** Bytes of a datagram's payload. */
const SIZE = 1024;

/** Functions that are listed. */
const LISTED = 40;

/** Functions whose calls are told of: switches, interrupts, polls, and ring3's call. */
const CALLS = [
  "finish_task_switch.isra.0",
  "common_interrupt",
  "napi_complete_done",
  "try_to_wake_up",
  "hrtimer_start_range_ns",
  "__x64_sys_clock_gettime",
  "e1000_intr [e1000]",
  "r3_irq_handler [ring3]",
  "r3_grant_ioctl [ring3]",
  "r3_net_poll [ring3]",
  "nvme_irq [nvme]",
  "r3_block_queue_rq [ring3]",
] as const;

/** Longest time of one order to read, milliseconds. */
const LONGEST_MS = 600_000;

/** Amounts that one stretch has, of datagrams and of requests: what orders a request takes some itself. */
const AMOUNTS = { datagrams: 256, requests: 1024 };

/** Bytes of a disk that are read from. */
const RANGE = 64 * 2 ** 20;

/** What can be counted, and what the texts call what it does: how much at a time, and of what there is one each. */
export const COSTS = {
  e1000: {
    title: `echo of ${SIZE.toLocaleString("en-US")} bytes`,
    size: "burst",
    sizes: [1, 8, 32],
    of: "datagrams",
  },
  nvme: {
    title: "read of the nvme disk, one after the other",
    size: "sectors",
    sizes: [1, 8, 128],
    of: "requests",
  },
  ide: {
    title: "read of the ide disk, one after the other",
    size: "sectors",
    sizes: [1, 8, 128],
    of: "requests",
  },
} as const;

/** One of them. */
export type CostDevice = keyof typeof COSTS;

/** One size: datagrams in a burst, or sectors of a request. */
export interface Point {
  size: number;
  kernel: Side;
  ring3: Side;
}

/** What was measured. */
export interface CostBench extends Comparison {
  bench: "cost";
  device: CostDevice;
  /** Datagrams or requests of one stretch, and stretches of one turn. */
  amount: number;
  stretches: number;
  /** Instructions a second without work. */
  idle: Record<DriverName, Side>;
  points: Point[];
}

/** How to measure. */
export interface CostBenchOptions extends LabOptions, Omit<CountingOptions, "amount"> {
  device: CostDevice;
  /** Times that both drivers take their turn. */
  rounds: number;
}

/**
 * Boots a lab of one processor and has both drivers serve a device in turn.
 * @throws {UserError} if the lab or a driver does not come up, or too little comes back.
 */
export async function benchCost(options: CostBenchOptions): Promise<CostBench> {
  const { device, stretches } = options;
  await buildBench();
  await using cleaning = new AsyncDisposableStack();
  const { path: folder } = cleaning.use(await temporaryFolder(options.signal));
  const { lab, amount, turns, problems } = device === "e1000"
    ? await countEchoes(options, { folder, cleaning })
    : await countReads(options, { disk: device, folder, cleaning });
  return {
    bench: "cost",
    ...compared(lab, { rounds: options.rounds, problems }),
    device,
    amount,
    stretches,
    idle: { kernel: idleOf(turns.kernel), ring3: idleOf(turns.ring3) },
    points: COSTS[device].sizes.map((size) => ({
      size,
      kernel: sideOf(turns.kernel, size),
      ring3: sideOf(turns.ring3, size),
    })),
  };
}

interface Place {
  /** For files of the host's. */
  folder: string;
  /** Ends the lab. */
  cleaning: AsyncDisposableStack;
}

/** The turns of both drivers. */
interface Turns {
  lab: Lab;
  amount: number;
  turns: Record<DriverName, CountedTurn[]>;
  problems: string[];
}

async function countEchoes(options: CostBenchOptions, { folder, cleaning }: Place): Promise<Turns> {
  const amount = AMOUNTS.datagrams;
  const sockets = wireSockets(folder);
  const hardware = { nic: ["e1000" as const], disk: [], sockets: { 0: sockets } };
  const { lab, counts } = await startCountedLab(options, { folder, hardware });
  cleaning.use(lab);
  await keepQuiet(lab);
  await startEcho(lab);
  const { host: from, guest: to } = nicNetwork(0);
  const use = async ({ mac, run }: Card) => {
    await using sender = new BurstSender({ sockets, mac, from, to, port: ECHO_PORT, size: SIZE });
    const work = async (burst: number, datagrams: number) => check(await sender.send({ burst, datagrams }));
    const counted = { lab, counts, run, program: "echo", sizes: COSTS.e1000.sizes, work };
    return await countTurn(counted, { ...options, amount });
  };
  const taking = { device: DEVICE, address: to, neighbours: { [from]: BURST_MAC }, use };
  const { result: turns, problems } = await takeTurns(options, (driver) => takeCard(lab, driver, taking));
  return { lab, amount, turns, problems };
}

/** How many came back. @throws {UserError} if so few that the figures would be of something else. */
function check({ echoed, lost, wrong }: Echoes): number {
  if (wrong > 0) throw new UserError(`${wrong} datagrams came back that were not as sent`);
  if (lost * 100 > echoed) throw new UserError(`${lost} of ${echoed + lost} datagrams did not come back`);
  return echoed;
}

async function countReads(
  options: CostBenchOptions,
  { disk, folder, cleaning }: Place & { disk: DiskName },
): Promise<Turns> {
  const amount = AMOUNTS.requests;
  const { lab, counts } = await startCountedLab(options, { folder, hardware: { nic: [], disk: [disk] } });
  cleaning.use(lab);
  const address = await prepareDrive(lab, disk, RANGE);
  const use = async ({ name, run }: Drive) => {
    await using reader = new Reader(lab, name);
    const work = async (sectors: number, requests: number) => {
      const most = Math.floor(RANGE / (sectors * 512));
      let done = 0;
      while (done < requests) {
        done +=
          (await reader.read(sectors, { requests: Math.min(requests - done, most), longest: LONGEST_MS }))
            .requests;
      }
      return done;
    };
    return await countTurn({ lab, counts, run, program: "read", sizes: COSTS[disk].sizes, work }, {
      ...options,
      amount,
    });
  };
  const { result: turns, problems } = await takeTurns(
    options,
    (driver) => takeDrive(lab, driver, { disk, address, use }),
  );
  return { lab, amount, turns, problems };
}

/** The figures as tables of Markdown: medians, and what ring3 takes more than the kernel's driver. */
export function formatCostBench(result: CostBench): string {
  const { device, stretches, amount, points, idle, problems } = result;
  const { title, size, of } = COSTS[device];
  const count = (value: number) => value.toFixed(0);
  const totals = points.map((point) => [
    count(point.size),
    ...DRIVERS.flatMap((driver) => {
      const { user, kernel, total } = point[driver];
      return [count(user.median), count(kernel.median), rangeText(total)];
    }),
    (point.ring3.total.median / point.kernel.total.median).toFixed(3),
    (counted(point.ring3) / counted(point.kernel)).toFixed(3),
  ]);
  return [
    `Guest instructions for each ${title}, on ${machineText(result)}: ${roundsText(result)} of ` +
    `${stretches} stretches of ${amount} ${of} each, in one boot`,
    "",
    formatTable([
      size,
      "kernel: user",
      "kernel",
      "total",
      "ring3: user",
      "kernel",
      "total",
      "ratio",
      "ratio, each string instruction once",
    ], totals),
    "",
    "Where they are, means of the middle half of all stretches",
    "",
    compare(points, AREAS, (side, area) => side.areas[area]),
    "",
    `Without work, a second: kernel ${rangeText(idle.kernel.total)}, ring3 ${
      rangeText(idle.ring3.total)
    }; where they are`,
    "",
    compare([{ ...idle, size: "idle" }], AREAS, (side, area) => side.areas[area]),
    "",
    "Calls, of the middle half of all stretches",
    "",
    compare(points, CALLS, (side, name) => side.calls[name] ?? 0, 2),
    "",
    `The ${LISTED} functions of the kernel and files of processes in which both differ most, of the same`,
    "",
    compare(points, mostDifferent(points), (side, name) => side.functions[name] ?? 0),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** Instructions with each string instruction once, however often it repeats. */
function counted({ total, repeats }: Side): number {
  return total.median - repeats.median;
}

function compare<Name extends string>(
  points: readonly (Record<DriverName, Side> & { size: number | string })[],
  names: readonly Name[],
  value: (side: Side, name: Name) => number,
  digits = 0,
): string {
  const rows = names.map((name) => [
    name,
    ...points.flatMap(({ kernel, ring3 }) => {
      const [left, right] = [value(kernel, name), value(ring3, name)];
      return [left, right, right - left].map((number) => number.toFixed(digits));
    }),
  ]);
  const head = points.flatMap(({ size }) => [`kernel, ${size}`, `ring3, ${size}`, "more"]);
  return formatTable(["", ...head], rows);
}

function mostDifferent(points: readonly Point[]): string[] {
  const names = new Set(
    points.flatMap(({ kernel, ring3 }) => [kernel, ring3]).flatMap(({ functions }) => Object.keys(functions)),
  );
  const difference = (name: string) =>
    Math.max(
      ...points.map(({ kernel, ring3 }) =>
        Math.abs((ring3.functions[name] ?? 0) - (kernel.functions[name] ?? 0))
      ),
    );
  return [...names].sort((a, b) => difference(b) - difference(a)).slice(0, LISTED);
}

/** Instructions over the size of a burst, of both. */
export function plotCostBench(result: CostBench): string {
  const { title, size, of } = COSTS[result.device];
  const series = (name: string, driver: DriverName) => ({
    name,
    points: result.points.map((point) => [point.size, point[driver].total.median / 1000] as const),
  });
  return drawChart({
    title: `Guest instructions for each ${title}`,
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
    x: { label: `${size}, ${of}`, scale: "log" },
    y: { label: "thousand instructions", domain: [0, 0] },
    series: [series("kernel's driver", "kernel"), series("ring3", "ring3")],
  });
}
