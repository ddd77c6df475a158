/**
 * TCP through a card, as in SUD's table: streams both ways, and one request and response after the other. The
 * kernel's own driver and ring3's in turn, in one boot, on one card.
 */
import { z } from "zod";
import { buildBench, buildOutside } from "../src/build.ts";
import { sendSignal } from "../src/child.ts";
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import { freePort, type Lab, nicNetwork } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { need } from "../src/setup.ts";
import { drawChart } from "../src/plot/mod.ts";
import { DEVICE, keepQuiet } from "../src/soak/wire.ts";
import { answeringCpu, type Card, startAnswering, takeCard } from "./card.ts";
import {
  cellsOf,
  compared,
  type Comparison,
  type DriverName,
  headsOf,
  machineText,
  OWNERS,
  roundsText,
  takeTurns,
} from "./compare.ts";
import { runOutside } from "./outside.ts";
import { activityBetween, type Sample, Sampler } from "./sampler.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";

/** The program that answers requests, in the guest: `bench/inside/respond.c`. */
const RESPOND = `${CHECKOUT}/build/bench/respond`;
const RESPOND_PORT = 5002;

/** What is measured: streams from the guest and to it, and requests of one byte and of many. */
export const KINDS = {
  "stream out": { unit: "Mb/s" },
  "stream in": { unit: "Mb/s" },
  "request of 1 byte": { unit: "1/s", size: 1 },
  "request of 1,024 bytes": { unit: "1/s", size: 1024 },
} as const;

/** One of them. */
export type Kind = keyof typeof KINDS;

/** What `request` says. */
const requestSchema = z.object({
  transactions: z.number(),
  seconds: z.number().positive(),
  p50_us: z.number(),
  p99_us: z.number(),
});

/** What is used of what iperf3 says. */
const iperfSchema = z.object({
  error: z.string().optional(),
  end: z.object({
    sum_received: z.object({ bits_per_second: z.number() }),
    sum_sent: z.object({ retransmits: z.number().optional() }),
  }).partial().default({}),
});

/** What one driver did, each value with its spread over the rounds. */
export interface Side {
  /** Megabits or transactions a second. */
  rate: Spread;
  /** Processors of the lab that were busy meanwhile, 1 being all of one. */
  cpu: Spread;
  /** Processor time of a megabit or a transaction, microseconds. */
  cost: Spread;
  /** Round trips, microseconds; null for streams. */
  p50: Spread | null;
  p99: Spread | null;
  /** Segments that were sent again; null where nobody tells. */
  retransmits: Spread | null;
}

/** One kind. */
export interface Row {
  kind: Kind;
  kernel: Side;
  ring3: Side;
}

/** What was measured. */
export interface TcpBench extends Comparison {
  bench: "tcp";
  rows: Row[];
}

/** How to measure. */
export interface TcpBenchOptions extends LabOptions {
  /** Times that both drivers take their turn. */
  rounds: number;
  /** Length of each kind, milliseconds, and how long it runs before that: a driver is compiled while it runs. */
  measured: number;
  warm: number;
}

/** One kind in one turn. */
interface Measured {
  rate: number;
  busy: number;
  p50?: number;
  p99?: number;
  retransmits?: number;
}

/**
 * Boots a lab with one card and has both drivers serve it in turn.
 * @throws {UserError} if the lab or a driver does not come up, or a connection fails.
 */
export async function benchTcp(options: TcpBenchOptions): Promise<TcpBench> {
  const { hardware, progress, yes } = options;
  await need(["bench"], { progress, yes });
  await buildBench();
  const program = `${await buildOutside()}/request`;
  await using lab = await startLab({ ...options, hardware: { ...hardware, nic: ["e1000"], disk: [] } });
  await keepQuiet(lab);
  await startAnswering(lab, [RESPOND, `${RESPOND_PORT}`]);
  await using far = await Iperf.start();
  const { guest: address } = nicNetwork(0);
  const requests = await lab.forward(RESPOND_PORT, { through: 0, address });
  const use = (card: Card) => measureTurn(lab, card, { ...options, program, requests, streams: far.port });
  const taking = { device: DEVICE, address, use };
  const { result: measured, problems } = await takeTurns(options, (driver) => takeCard(lab, driver, taking));
  const side = (driver: DriverName, kind: Kind) => sideOf(measured[driver].map((turn) => turn[kind]));
  return {
    bench: "tcp",
    ...compared(lab, { rounds: options.rounds, problems }),
    rows: (Object.keys(KINDS) as Kind[]).map((kind) => ({
      kind,
      kernel: side("kernel", kind),
      ring3: side("ring3", kind),
    })),
  };
}

/** iperf3's server on this machine. */
class Iperf implements AsyncDisposable {
  readonly port: number;
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  private constructor(port: number, child: Deno.ChildProcess, said: AsyncGenerator<string>) {
    this.port = port;
    this.#child = child;
    // Read on, so that it never waits for us.
    this.#reading = (async () => {
      for await (const _ of said);
    })();
  }

  static async start(): Promise<Iperf> {
    const port = await freePort("tcp");
    const child = new Deno.Command("iperf3", {
      args: ["--server", "--bind", "127.0.0.1", "--port", `${port}`, "--forceflush"],
      stdin: "null",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    const said = lines(child.stdout);
    for (;;) {
      const { value, done } = await said.next();
      if (done) throw new UserError("iperf3 does not start on this machine; its words are above");
      if (value.includes("Server listening")) return new Iperf(port, child, said);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    sendSignal(this.#child, "SIGTERM");
    await this.#child.status;
    await this.#reading;
  }
}

type Lengths = Pick<TcpBenchOptions, "measured" | "warm">;

interface Places {
  /** Program that requests, and the port of this machine that leads to the one that responds. */
  program: string;
  requests: number;
  /** Port of iperf3's server. */
  streams: number;
}

async function measureTurn(
  lab: Lab,
  card: Card,
  { measured, warm, program, requests, streams }: TcpBenchOptions & Places,
): Promise<Record<Kind, Measured>> {
  await using sampler = new Sampler(lab, card.irq);
  // The first kind would else be of a driver that has hardly run.
  await measureStream(lab, sampler, { port: streams, measured: warm, warm, options: ["--bidir"] });
  const stream = (options: readonly string[]) =>
    measureStream(lab, sampler, { port: streams, measured, warm, options });
  const request = (size: number) =>
    measureRequests(sampler, { program, port: requests, size, measured, warm });
  return {
    "stream out": await stream([]),
    "stream in": await stream(["--reverse"]),
    "request of 1 byte": await request(KINDS["request of 1 byte"].size),
    "request of 1,024 bytes": await request(KINDS["request of 1,024 bytes"].size),
  };
}

async function measureStream(
  lab: Lab,
  sampler: Sampler,
  { port, measured, warm, options }: Lengths & { port: number; options: readonly string[] },
): Promise<Measured> {
  const iperf = async (ms: number) => {
    const { host } = nicNetwork(0);
    const { stdout, stderr } = await lab.exec(
      // deno-fmt-ignore
      ["taskset", "-c", `${answeringCpu(lab)}`, "iperf3", "--client", host, "--port", `${port}`, "--time", `${ms / 1000}`,
       "--json", ...options],
    );
    const { error, end } = iperfSchema.parse(JSON.parse(stdout || "{}"));
    if (error === undefined && end.sum_received) return { received: end.sum_received, sent: end.sum_sent };
    throw new UserError(`iperf3 in the lab does not get through: ${error ?? stderr.trim()}`);
  };
  await iperf(warm);
  const before = await sampler.take();
  const { received, sent } = await iperf(measured);
  const { busy } = activityBetween(before, await sampler.take());
  return { rate: received.bits_per_second / 1e6, busy, retransmits: sent?.retransmits };
}

async function measureRequests(
  sampler: Sampler,
  { program, port, size, measured, warm }: Lengths & { program: string; port: number; size: number },
): Promise<Measured> {
  const samples: Sample[] = [];
  const look = async () => void samples.push(await sampler.take());
  const { transactions, seconds, p50_us, p99_us } = await runOutside(program, {
    args: [port, size, warm, measured],
    schema: requestSchema,
    failure: "Requests do not get through",
    begin: look,
    end: look,
  });
  const { busy } = activityBetween(samples[0], samples[1]);
  return { rate: transactions / seconds, busy, p50: p50_us, p99: p99_us };
}

function sideOf(rounds: readonly Measured[]): Side {
  const maybe = (key: "p50" | "p99" | "retransmits") => {
    const values = rounds.flatMap((one) => one[key] ?? []);
    return values.length === 0 ? null : spreadOf(values);
  };
  return {
    rate: spreadOf(rounds.map(({ rate }) => rate)),
    cpu: spreadOf(rounds.map(({ busy }) => busy)),
    cost: spreadOf(rounds.map(({ busy, rate }) => busy * 1e6 / rate)),
    p50: maybe("p50"),
    p99: maybe("p99"),
    retransmits: maybe("retransmits"),
  };
}

/** The figures as a table of Markdown: medians, for the rates with what they lie between. */
export function formatTcpBench(result: TcpBench): string {
  const { rows, problems } = result;
  const text = (value: Spread | null, digits: number) => value ? value.median.toFixed(digits) : "";
  const heads = headsOf(["busy", "µs each", "p50 µs", "p99 µs", "sent again"]);
  const cells = ({ cpu, cost, p50, p99, retransmits }: Side) => [
    text(cpu, 2),
    text(cost, 1),
    text(p50, 0),
    text(p99, 0),
    text(retransmits, 0),
  ];
  return [
    `TCP on ${machineText(result)}: ${
      roundsText(result)
    } in one boot; busy: processors; µs each: processor ` +
    "time of a megabit or a transaction",
    "",
    formatTable(
      ["", "unit", "kernel", "ring3", "ratio", ...heads],
      rows.map((row) => [
        row.kind,
        KINDS[row.kind].unit,
        rangeText(row.kernel.rate),
        rangeText(row.ring3.rate),
        (row.ring3.rate.median / row.kernel.rate.median).toFixed(2),
        ...cellsOf(row, cells),
      ]),
    ),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** What ring3's driver did of each kind, as a share of what the kernel's did. */
export function plotTcpBench(result: TcpBench): string {
  const { rows } = result;
  const steps = (value: (row: Row) => number) =>
    rows.flatMap((row, index) => [[index - 0.5, value(row)], [index + 0.5, value(row)]] as const);
  const share = (of: keyof Spread) => steps(({ ring3, kernel }) => ring3.rate[of] / kernel.rate.median);
  return drawChart({
    title: "TCP",
    subtitle: `${machineText(result)}; ${roundsText(result)}`,
    x: { label: "", format: (index) => rows[index]?.kind ?? "" },
    y: { label: "rate, of the kernel's driver's median", domain: [0, 0] },
    series: [
      { name: OWNERS.kernel, points: steps(() => 1) },
      { name: OWNERS.ring3, points: share("median") },
      { name: "its slowest round", points: share("min") },
      { name: "its quickest", points: share("max") },
    ],
  });
}
