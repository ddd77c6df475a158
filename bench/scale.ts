/**
 * Many drivers at once: 1, 2, 4 and 8 cards on machines of 1, 2 and 4 processors. How long they take to come up,
 * what they hold and use while idle, and what they carry together, beside the kernel's own driver on the same cards.
 */
import { buildBench, buildOutside } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { type FrameSockets, type Lab, nicAddress, nicNetwork } from "../src/lab/mod.ts";
import { parseMemory } from "../src/memory.ts";
import { drawChart } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { sh } from "../src/soak/lab.ts";
import { writeManifest } from "../src/soak/manifest.ts";
import { keepQuiet } from "../src/soak/wire.ts";
import { temporaryFolder } from "../src/temporary_folder.ts";
import { type Card, startEcho, takeCards } from "./card.ts";
import {
  cellsOf,
  compared,
  type Comparison,
  counted,
  type DriverName,
  headsOf,
  iommuText,
  machineText,
  roundsText,
  type Taken,
  takeTurns,
} from "./compare.ts";
import { LinkWatch } from "./links.ts";
import { LOAD_MAC, type LoadResult, putLoad, wireSockets } from "./load.ts";
import { activityBetween, type Sample, Sampler } from "./sampler.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";
import { pause } from "../src/pause.ts";

/** Cards that are driven at once. */
export const COUNTS: readonly number[] = [1, 2, 4, 8];

/** Processors of the machines. */
export const MACHINES: readonly number[] = [1, 2, 4];

/** Bytes of a datagram's payload. */
const SIZE = 1024;

/** Datagrams a second through all cards together: more than one of them carries. */
const OFFERED = 16_000;

/** How long a load runs before it is measured, milliseconds. */
const SETTLE_MS = 1000;

/** Limits of the manifest, milliseconds: users' stall, and a start that eight at once on one processor keep. */
const LIMITS = { stall: 1000, start: 600_000 };

/** How long drivers are left alone before they count as idle, milliseconds. */
const REST_MS = 2000;

/** What is asked of the private memory of an idle driver, MiB. */
const GOAL_MIB = 40;

/** Private memory, MiB, of one process of each kind: over all drivers and rounds. */
export interface Processes {
  driver: Spread;
  spare: Spread;
  supervisor: Spread;
}

/** What the cards carried together under one load. */
export interface Echo {
  /** Datagrams that were offered, and that came back, a second. */
  offered: Spread;
  rate: Spread;
  /** What came back through the card that carried least, of an even share of all that did. */
  least: Spread;
  /** Processors that were busy meanwhile, 1 being all of one. */
  busy: Spread;
}

/** One driver, with so many cards; each value has its spread over the rounds, those of loads over all loads. */
export interface Side {
  /** Processors that were busy without traffic. */
  idle: Spread;
  /** Memory of the guest that was in use then, the kernel's included, MiB. */
  used: Spread;
  echo: Echo;
}

/** So many drivers on one machine. */
export interface Point {
  cards: number;
  kernel: Side;
  ring3: Side & {
    /** From the start of all supervisors until the link of an interface is up, and of the last one, seconds. */
    up: { each: Spread; last: Spread };
    /** Before there was any traffic, and after the load. */
    memory: { fresh: Processes; worked: Processes };
  };
  /** What ring3's drivers echoed to what the kernel's did: of each load to the same one of the kernel's turn. */
  ratio: Spread;
}

/** One boot of the lab. */
export interface Machine extends Comparison {
  points: Point[];
}

/** What was measured. */
export interface ScaleBench {
  bench: "scale";
  ok: boolean;
  /** Memory of a machine, MiB. */
  memory: number;
  /** Bytes of a datagram's payload. */
  size: number;
  machines: Machine[];
}

/** How to measure. */
export interface ScaleBenchOptions extends LabOptions {
  /** Processors of each machine, booted one after the other. */
  machines: readonly number[];
  /** Cards at once, ascending. */
  counts: readonly number[];
  /** Times that both drivers take their turn with each of the counts. */
  rounds: number;
  /** Loads in each turn. */
  loads: number;
  /** Length of a load, and of being idle, milliseconds. */
  measured: number;
  /** How long ring3's drivers are loaded first, milliseconds for each card: each then has as many datagrams. */
  warm: number;
}

/** One load. */
interface Load {
  /** Datagrams a second, through all cards. */
  offered: number;
  /** What came back through each card. */
  rates: number[];
  busy: number;
}

/** What a driver did with so many cards in one round. */
interface Turn {
  idle: number;
  used: number;
  loads: Load[];
  /** Of ring3's alone. */
  own?: {
    /** Seconds, of each interface. */
    up: number[];
    fresh: ProcessMemory[];
    worked: ProcessMemory[];
  };
}

/** Private memory of the processes of one driver, bytes. */
type ProcessMemory = Record<keyof Processes, number>;

/** A card of the lab, and the other end of its wire. */
interface Place {
  device: string;
  sockets: FrameSockets;
  /** IPv4 addresses of the other end and of the card. */
  from: string;
  to: string;
}

/**
 * Boots a lab for each number of processors and has both drivers serve its cards in turn.
 * @throws {UserError} if a lab or a driver does not come up, or a load does not run.
 */
export async function benchScale(options: ScaleBenchOptions): Promise<ScaleBench> {
  const { hardware, progress } = options;
  await buildBench();
  const program = `${await buildOutside()}/load`;
  const machines: Machine[] = [];
  for (const processors of options.machines) {
    machines.push(
      await measureMachine({
        ...options,
        hardware: { ...hardware, smp: processors },
        program,
        progress: (line) => progress(`${counted(processors, "processor")}: ${line}`),
      }),
    );
  }
  return {
    bench: "scale",
    ok: machines.every(({ ok }) => ok),
    memory: hardware.memory,
    size: SIZE,
    machines,
  };
}

/** All counts on one machine. */
async function measureMachine(options: ScaleBenchOptions & { program: string }): Promise<Machine> {
  const { hardware, counts, rounds, progress } = options;
  await using cleaning = new AsyncDisposableStack();
  const { path } = cleaning.use(await temporaryFolder(options.signal));
  const places = Array.from({ length: Math.max(...counts) }, (_, index): Place => {
    const { host: from, guest: to } = nicNetwork(index);
    return {
      device: nicAddress(index),
      sockets: wireSockets(path, index),
      from,
      to,
    };
  });
  const lab = cleaning.use(
    await startLab({
      ...options,
      hardware: {
        ...hardware,
        nic: places.map(() => "e1000"),
        disk: [],
        sockets: Object.fromEntries(places.map(({ sockets }, index) => [index, sockets])),
      },
    }),
  );
  await keepQuiet(lab);
  // Programs answer at addresses that interfaces get later, and lose and get again.
  await sh(lab, "echo 1 > /proc/sys/net/ipv4/ip_nonlocal_bind");
  for (const [index, { to }] of places.entries()) {
    await startEcho(lab, { address: to, index });
  }
  const { result: turns, problems } = await takeTurns({ rounds, progress }, async (driver) => {
    const taken: Taken<Turn[]> = { result: [], problems: [] };
    for (const count of counts) {
      progress(counted(count, "card"));
      const { result, problems } = await takeTurn(lab, driver, {
        ...options,
        places: places.slice(0, count),
      });
      taken.result.push(result);
      taken.problems.push(...problems);
    }
    return taken;
  });
  const side = (driver: DriverName, index: number) => turns[driver].map((round) => round[index]);
  return {
    ...compared(lab, { rounds, problems }),
    points: counts.map((cards, index) => pointOf(cards, side("kernel", index), side("ring3", index))),
  };
}

type TurnOptions = Pick<ScaleBenchOptions, "loads" | "measured" | "warm"> & {
  program: string;
  places: readonly Place[];
};

/** Has a driver serve the cards of some places. */
async function takeTurn(lab: Lab, driver: DriverName, options: TurnOptions): Promise<Taken<Turn>> {
  const { places } = options;
  const cards = places.map(({ device, from, to }) => ({
    device,
    address: to,
    neighbours: { [from]: LOAD_MAC },
  }));
  if (driver === "kernel") {
    return await takeCards(lab, driver, {
      cards,
      use: async (cards) => {
        const turn = await measureTurn(lab, cards, options);
        // The next turn may be of fewer.
        await sh(lab, cards.map(({ interface: name }) => `ip link set ${name} down`).join("; "));
        return turn;
      },
    });
  }
  await using watch = await LinkWatch.start(lab);
  return await takeCards(lab, driver, {
    manifest: await writeManifest(lab, "e1000", { spare: true, ...LIMITS }),
    cards,
    starting: () => watch.begin(),
    use: (cards) => measureOwnTurn(lab, cards, { ...options, watch }),
  });
}

/** ring3's drivers, from their start on. */
async function measureOwnTurn(
  lab: Lab,
  cards: readonly Card[],
  options: TurnOptions & { watch: LinkWatch },
): Promise<Turn> {
  let fresh: ProcessMemory[] = [];
  const prepare = async () => {
    fresh = await memoryOf(lab, cards);
    // V8 compiles a driver while it runs.
    await loadAll(cards, { ...options, settle: 0, measured: options.warm * cards.length });
  };
  const turn = await measureTurn(lab, cards, { ...options, prepare });
  const up = cards.map((card) => options.watch.seconds(card.interface));
  await pause(REST_MS);
  return { ...turn, own: { up, fresh, worked: await memoryOf(lab, cards) } };
}

/** What is measured of both: idle, and then, after `prepare`, under load. */
async function measureTurn(
  lab: Lab,
  cards: readonly Card[],
  { program, places, loads, measured, prepare }: TurnOptions & { prepare?: () => Promise<void> },
): Promise<Turn> {
  await using sampler = new Sampler(lab);
  await pause(REST_MS);
  const before = await sampler.take();
  await pause(measured);
  const { busy: idle } = activityBetween(before, await sampler.take());
  const used = parseUsed(await sh(lab, "cat /proc/meminfo"));
  await prepare?.();
  const turn: Turn = { idle, used, loads: [] };
  while (turn.loads.length < loads) {
    const samples: Sample[] = [];
    const look = async () => void samples.push(await sampler.take());
    const results = await loadAll(cards, { program, places, settle: SETTLE_MS, measured, look });
    turn.loads.push({
      offered: results.reduce((sum, { offered, seconds }) => sum + offered / seconds, 0),
      rates: results.map(({ returned, seconds }) => returned / seconds),
      busy: activityBetween(samples[0], samples[1]).busy,
    });
  }
  return turn;
}

/** Loads all cards at once, each with its share; `look` is called when measuring begins and ends. */
async function loadAll(
  cards: readonly Card[],
  { program, places, settle, measured, look }: Pick<TurnOptions, "program" | "places" | "measured"> & {
    settle: number;
    look?: () => Promise<void>;
  },
): Promise<LoadResult[]> {
  const results = await Promise.all(cards.map(({ mac }, index) => {
    const { sockets, from, to } = places[index];
    const rate = OFFERED / cards.length;
    // All begin within milliseconds: one of them tells when.
    const moments = index === 0 ? { begin: look, end: look } : {};
    return putLoad({ program, sockets, mac, from, to, size: SIZE, rate, warm: settle, measured, ...moments });
  }));
  const wrong = results.reduce((sum, one) => sum + one.wrong, 0);
  if (wrong > 0) throw new UserError(`${wrong} datagrams came back that were not as sent`);
  return results;
}

/** Private memory of the processes of each driver. */
async function memoryOf(lab: Lab, cards: readonly Card[]): Promise<ProcessMemory[]> {
  const pids = await Promise.all(cards.map(async ({ run }) => {
    if (!run) throw new UserError("Only drivers of ring3 have processes");
    const { pid: spare } = await run.next("spare", { where: ({ state }) => state === "ready" });
    return [(await run.next("starting")).pid, spare, await run.supervisor()];
  }));
  const files = pids.flat().map((pid) => `/proc/${pid}/smaps_rollup`);
  // Each begins with the range of addresses that it is of.
  const texts = (await sh(lab, `cat ${files.join(" ")}`)).split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const bytes = texts.map((text) => parseMemory(text).private);
  return cards.map((_, index) => {
    const [driver, spare, supervisor] = bytes.slice(index * 3);
    return { driver, spare, supervisor };
  });
}

/** Memory in use, MiB, from the text of `/proc/meminfo`. @throws {Error} if it is not such a text. */
export function parseUsed(text: string): number {
  const [total, available] = ["MemTotal", "MemAvailable"].map((name) => {
    const kib = new RegExp(`^${name}: +(\\d+) kB$`, "m").exec(text)?.[1];
    if (kib === undefined) throw new Error(`There is no ${name} in what the kernel says of its memory`);
    return Number(kib);
  });
  return (total - available) / 1024;
}

function pointOf(cards: number, kernel: readonly Turn[], ring3: readonly Turn[]): Point {
  const rate = ({ rates }: Load) => rates.reduce((sum, value) => sum + value, 0);
  const side = (turns: readonly Turn[]): Side => {
    const spread = (value: (load: Load) => number) =>
      spreadOf(turns.flatMap(({ loads }) => loads).map(value));
    return {
      idle: spreadOf(turns.map(({ idle }) => idle)),
      used: spreadOf(turns.map(({ used }) => used)),
      echo: {
        offered: spread(({ offered }) => offered),
        rate: spread(rate),
        least: spread((load) => Math.min(...load.rates) * cards / rate(load)),
        busy: spread(({ busy }) => busy),
      },
    };
  };
  const processes = (found: readonly ProcessMemory[]): Processes => {
    const spread = (name: keyof Processes) => spreadOf(found.map((memory) => memory[name] / 2 ** 20));
    return { driver: spread("driver"), spare: spread("spare"), supervisor: spread("supervisor") };
  };
  const own = ring3.flatMap(({ own }) => own ?? []);
  return {
    cards,
    kernel: side(kernel),
    ring3: {
      ...side(ring3),
      up: {
        each: spreadOf(own.flatMap(({ up }) => up)),
        last: spreadOf(own.map(({ up }) => Math.max(...up))),
      },
      memory: {
        fresh: processes(own.flatMap(({ fresh }) => fresh)),
        worked: processes(own.flatMap(({ worked }) => worked)),
      },
    },
    ratio: spreadOf(
      ring3.flatMap(({ loads }, round) =>
        loads.map((load, index) => rate(load) / rate(kernel[round].loads[index]))
      ),
    ),
  };
}

/** The figures as tables of Markdown: medians, with what they lie between where there is room. */
export function formatScaleBench({ memory, size, machines }: ScaleBench): string {
  return [
    memorySummary(machines),
    ...machines.flatMap((machine) => [
      "",
      `Drivers at once on ${machineText(machine)} with ${memory} MiB: ${roundsText(machine)}`,
      "",
      "Seconds from the start of all supervisors until the link of an interface is up, and of the last one; " +
      `datagrams of ${size} bytes echoed a second through all cards, of ${OFFERED} offered; what the card ` +
      "with the least carried of an even share; processors busy meanwhile, and when idle",
      "",
      trafficTable(machine.points),
      "",
      "Private memory of processes, MiB, before any traffic and after it; memory in use in the whole machine " +
      "when idle, and how much more it is for each of ring3's drivers",
      "",
      memoryTable(machine.points),
      ...machine.problems.map((problem) => `\n${problem}`),
    ]),
  ].join("\n");
}

/** The memory of an idle driver against what is asked of it. */
function memorySummary(machines: readonly Machine[]): string {
  const found = machines.flatMap(({ points }) => points.map(({ ring3 }) => ring3.memory));
  const all = (moment: "fresh" | "worked") => {
    const drivers = found.map((memory) => memory[moment].driver);
    const { median } = spreadOf(drivers.map(({ median }) => median));
    return {
      min: Math.min(...drivers.map(({ min }) => min)),
      median,
      max: Math.max(...drivers.map(({ max }) => max)),
    };
  };
  const [fresh, worked] = [all("fresh"), all("worked")];
  const within = fresh.median <= GOAL_MIB ? "within" : "above";
  return `Private memory of an idle driver: ${rangeText(fresh, 1)} MiB, ${within} the goal of ${GOAL_MIB}; ` +
    `after a load ${rangeText(worked, 1)}.`;
}

function trafficTable(points: readonly Point[]): string {
  return formatTable(
    [
      "drivers",
      "up s",
      "last s",
      "kernel/s",
      "ring3/s",
      "ratio",
      ...headsOf(["least", "busy", "idle"]),
    ],
    points.map((point) => [
      `${point.cards}`,
      rangeText(point.ring3.up.each, 1),
      rangeText(point.ring3.up.last, 1),
      rangeText(point.kernel.echo.rate),
      rangeText(point.ring3.echo.rate),
      rangeText(point.ratio, 2),
      ...cellsOf<Side>(point, ({ echo, idle }) => [
        echo.least.median.toFixed(2),
        echo.busy.median.toFixed(2),
        idle.median.toFixed(3),
      ]),
    ]),
  );
}

function memoryTable(points: readonly Point[]): string {
  return formatTable(
    [
      "drivers",
      "driver",
      "spare",
      "supervisor",
      "driver after",
      "spare after",
      "supervisor after",
      "kernel in use",
      "ring3 in use",
      "each more",
    ],
    points.map(({ cards, kernel, ring3 }) => [
      `${cards}`,
      ...[ring3.memory.fresh, ring3.memory.worked].flatMap(({ driver, spare, supervisor }) =>
        [driver, spare, supervisor].map((one) => rangeText(one, 1))
      ),
      kernel.used.median.toFixed(0),
      ring3.used.median.toFixed(0),
      ((ring3.used.median - kernel.used.median) / cards).toFixed(0),
    ]),
  );
}

/** What ring3's drivers echoed to what the kernel's did, over how many there were; a line for each machine. */
export function plotScaleBench({ machines }: ScaleBench): string {
  const [first] = machines;
  return drawChart({
    title: "UDP echo through many cards at once, ring3 to the kernel's driver",
    subtitle: `Linux ${first.kernel}, ${first.accelerator}, IOMMU ${
      iommuText(first)
    }; ${SIZE} bytes, ${OFFERED}/s; medians`,
    x: { label: "cards, a driver each", scale: "log" },
    y: {
      label: "came back, of the kernel's",
      domain: [0, 1],
      format: (value) => `${(100 * value).toFixed(0)} %`,
    },
    series: machines.map(({ processors, points }) => ({
      name: counted(processors, "processor"),
      points: points.map(({ cards, ratio }) => [cards, ratio.median] as const),
    })),
  });
}
