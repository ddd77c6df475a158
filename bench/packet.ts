/**
 * What a packet costs in the driver's process: the e1000 driver in the host's own code against the same in C
 * (`bench/reference/`), both over one kernel and one card that are made up, natively and without privileges.
 */
import { z } from "zod";
import { buildReference } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { checkout } from "../src/lab/checkout.ts";
import { lines } from "../src/lines.ts";
import { drawChart } from "../src/plot/mod.ts";
import type { Progress } from "../src/progress.ts";
import { v8Flags } from "../src/supervisor/compile.ts";
import { roundsText } from "./compare.ts";
import { formatTable, rangeText, type Spread, spreadOf } from "../src/table.ts";

/** What is done with packets: out of the card, into it, or both with each. */
export const PATHS = ["receive", "transmit", "forward"] as const;
type Path = typeof PATHS[number];

/** Packets that come at a time. */
export const BATCHES: readonly number[] = [1, 8, 32, 256];

/** What a new process does first, for so many times as long as it warms up before each point. */
const WARM_UP = ["forward", 32] as const;
const WARM_UP_TIMES = 4;

/** What is asked of the ratio of the costs, and where. */
const GOAL = { ratio: 1.5, batch: 32 };

/** What the library prints of an order; times are nanoseconds of a whole batch, as are instructions. */
const lineSchema = z.object({
  path: z.enum(PATHS),
  batch: z.number(),
  batches: z.number(),
  p50: z.number(),
  p99: z.number(),
  p999: z.number(),
  max: z.number(),
  mean: z.number(),
  /** Mean of all but the slowest hundredth. */
  typical: z.number(),
  /** 0 if they were not counted. */
  instructions: z.number(),
});

type Line = z.infer<typeof lineSchema>;

/** What the process of the driver in Deno prints at the end of what is timed. */
const heapSchema = z.object({ heap: z.number() });

/** How V8 tells of a collection of garbage. */
const COLLECTION = / ms: (Scavenge|Mark-Compact|Minor Mark)/;

/** What one order came to. */
interface Outcome extends Line {
  /** Collections of garbage meanwhile. */
  collections: number;
  /** Bytes by which the heap grew meanwhile. */
  heap: number;
}

/** One side at one batch; medians of the rounds with the least and the most. */
export interface Side {
  /** Nanoseconds of a packet, without the slowest hundredth of all batches. */
  cost: Spread;
  /** Nanoseconds of a packet, all batches. */
  mean: Spread;
  /** Nanoseconds of a batch. */
  p50: Spread;
  p99: Spread;
  p999: Spread;
  max: Spread;
  /** Instructions of a packet; null if they were not counted. */
  instructions: number | null;
}

/** One path at one batch. */
export interface Point {
  path: Path;
  /** Packets. */
  batch: number;
  c: Side;
  ring3: Side;
  /** Of the costs, of each round. */
  ratio: Spread;
  /** Bytes by which V8's heap grew for each packet; negative where more was collected. */
  heap: Spread;
  /** Collections of garbage in all rounds, and packets in them. */
  collections: number;
  packets: number;
}

/** What was measured. */
export interface PacketBench {
  bench: "packet";
  ok: true;
  processor: string;
  deno: string;
  v8: string;
  rounds: number;
  points: Point[];
}

/** How to measure. */
export interface PacketBenchOptions {
  paths?: readonly Path[];
  batches: readonly number[];
  /** Times that both sides take their turn, in new processes each. */
  rounds: number;
  /** Milliseconds before each measurement. */
  warm: number;
  /** Packets that are timed at each point in a round, about. */
  packets: number;
  /** How often instructions are counted, in the last round; 0 for never. */
  counts: number;
  progress: Progress;
}

/** A process that takes orders. */
class Driver implements AsyncDisposable {
  readonly #name: string;
  readonly #child: Deno.ChildProcess;
  readonly #orders: WritableStreamDefaultWriter<Uint8Array>;
  readonly #lines: AsyncGenerator<string>;

  constructor(name: string, [command, ...args]: string[]) {
    this.#name = name;
    this.#child = new Deno.Command(command, {
      args,
      cwd: checkout(),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
      env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1" },
    }).spawn();
    this.#orders = this.#child.stdin.getWriter();
    this.#lines = lines(this.#child.stdout);
  }

  /** @throws {UserError} if the process ends instead. */
  async order(words: readonly (string | number)[]): Promise<Outcome> {
    await this.#orders.write(new TextEncoder().encode(`${words.join(" ")}\n`)).catch(() => {});
    const outcome = { collections: 0, heap: 0 };
    let timed = false;
    for (;;) {
      const { value: line, done } = await this.#lines.next();
      if (done) {
        const { code } = await this.#child.status;
        throw new UserError(`The driver in ${this.#name} ended with status ${code} at: ${words.join(" ")}`);
      }
      if (timed && COLLECTION.test(line)) outcome.collections++;
      if (!line.startsWith("{")) continue;
      const said = JSON.parse(line);
      if ("begin" in said) timed = true;
      else if ("heap" in said) {
        outcome.heap = heapSchema.parse(said).heap;
        timed = false;
      } else return { ...lineSchema.parse(said), ...outcome };
    }
  }

  /** Has it end, as it does when there are no more orders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#orders.close().catch(() => {});
    await this.#lines.return(undefined);
    await this.#child.status;
  }
}

/** V8 as the supervisor has it run a driver, and with a line for each collection. */
const V8_FLAGS = [...v8Flags({ heap: 64 * 2 ** 20, jit: true }), "--trace-gc"];

/**
 * Has both drivers move packets in turn.
 * @throws {UserError} if the reference does not build, or a driver does something wrong.
 */
export async function benchPacket(options: PacketBenchOptions): Promise<PacketBench> {
  const { paths = PATHS, batches, rounds, warm, packets, counts, progress } = options;
  const built = await buildReference();
  // deno-fmt-ignore
  const command = [
    Deno.execPath(), "run", "-A", "--quiet", "--no-code-cache", `--v8-flags=${V8_FLAGS.join()}`,
    `${checkout()}/bench/packet_driver.ts`, `${built}/libring3.so`,
  ];
  const cells = paths.flatMap((path) => batches.map((batch) => ({ path, batch })));
  const outcomes: { c: Outcome; ring3: Outcome }[] = [];
  for (let round = 1; round <= rounds; round++) {
    progress(`round ${round} of ${rounds}${round === rounds && counts > 0 ? ", counting instructions" : ""}`);
    await using c = new Driver("C", [`${built}/reference`]);
    await using ring3 = new Driver("Deno", command);
    for (const driver of [c, ring3]) await driver.order([...WARM_UP, warm * WARM_UP_TIMES, 1, 0]);
    for (const { path, batch } of cells) {
      const timed = Math.min(Math.ceil(packets / batch), Math.ceil(packets / 10));
      const order = [path, batch, warm, timed, round === rounds ? counts : 0];
      outcomes.push({ c: await c.order(order), ring3: await ring3.order(order) });
    }
  }
  return {
    bench: "packet",
    ok: true,
    processor: processorOf(await Deno.readTextFile("/proc/cpuinfo")),
    deno: Deno.version.deno,
    v8: Deno.version.v8,
    rounds,
    points: cells.map((cell) =>
      pointOf(outcomes.filter(({ c: { path, batch } }) => path === cell.path && batch === cell.batch))
    ),
  };
}

function processorOf(cpuinfo: string): string {
  return /^model name\s*: (.*)$/m.exec(cpuinfo)?.[1] ?? "unknown";
}

/** What the rounds of one path at one batch come to. */
function pointOf(rounds: readonly { c: Outcome; ring3: Outcome }[]): Point {
  const [{ c: { path, batch, batches } }] = rounds;
  const packets = rounds.length * batches * batch;
  return {
    path,
    batch,
    c: sideOf(rounds.map(({ c }) => c)),
    ring3: sideOf(rounds.map(({ ring3 }) => ring3)),
    ratio: spreadOf(rounds.map(({ c, ring3 }) => ring3.typical / c.typical)),
    heap: spreadOf(rounds.map(({ ring3 }) => ring3.heap / (batches * batch))),
    collections: rounds.reduce((sum, { ring3 }) => sum + ring3.collections, 0),
    packets,
  };
}

function sideOf(rounds: readonly Outcome[]): Side {
  const spread = (value: (outcome: Outcome) => number) => spreadOf(rounds.map(value));
  const { instructions, batch } = rounds[rounds.length - 1];
  return {
    cost: spread(({ typical, batch }) => typical / batch),
    mean: spread(({ mean, batch }) => mean / batch),
    p50: spread(({ p50 }) => p50),
    p99: spread(({ p99 }) => p99),
    p999: spread(({ p999 }) => p999),
    max: spread(({ max }) => max),
    instructions: instructions > 0 ? instructions / batch : null,
  };
}

/** The figures as tables of Markdown. */
export function formatPacketBench(result: PacketBench): string {
  const { processor, deno, v8, points } = result;
  const count = (value: number | null) => value === null ? "–" : value.toFixed(1);
  const cost = points.map(({ path, batch, c, ring3, ratio, heap, collections, packets }) => [
    path,
    `${batch}`,
    rangeText(c.cost, 1),
    rangeText(ring3.cost, 1),
    rangeText(ratio, 2),
    count(c.instructions),
    count(ring3.instructions),
    c.instructions && ring3.instructions ? (ring3.instructions / c.instructions).toFixed(2) : "–",
    heap.median.toFixed(3),
    `${collections} in ${(packets / 1e6).toFixed(1)} M`,
  ]);
  const times = ({ p50, p99, p999, max }: Side) =>
    [p50, p99, p999, max].map(({ median }) => median.toFixed(0));
  return [
    `Cost of a packet in the driver's process, of e1000 in C (gcc -O2) and in TypeScript (Deno ${deno}, V8 ` +
    `${v8}) over a null card: ${roundsText(result)} (least–most), ${processor}`,
    "",
    // deno-fmt-ignore
    formatTable([
      "path", "batch", "C ns", "ring3 ns", "ratio", "C instr.", "ring3 instr.", "ratio", "heap B", "collections",
    ], cost),
    "",
    "Time of a whole batch, nanoseconds, medians of the rounds:",
    "",
    // deno-fmt-ignore
    formatTable([
      "path", "batch", "C p50", "p99", "p99.9", "most", "ring3 p50", "p99", "p99.9", "most",
    ], points.map(({ path, batch, c, ring3 }) => [path, `${batch}`, ...times(c), ...times(ring3)])),
    "",
    ...points.filter(({ batch }) => batch === GOAL.batch).map(({ path, ratio }) =>
      `${path} at ${GOAL.batch}: ${ratio.median.toFixed(2)} times C, ` +
      `${ratio.median <= GOAL.ratio ? "within" : "above"} the goal of ${GOAL.ratio}`
    ),
  ].join("\n");
}

/** Cost of a packet of both over the size of a batch. */
export function plotPacketBench(result: PacketBench): string {
  const series = (["receive", "transmit"] as const).flatMap((path) =>
    (["c", "ring3"] as const).map((side) => ({
      name: `${path}, ${side === "c" ? "C" : "ring3"}`,
      points: result.points.filter((point) => point.path === path)
        .map((point) => [point.batch, point[side].cost.median] as const),
    }))
  );
  return drawChart({
    title: "Cost of a packet in the driver's process, e1000",
    subtitle: `null card, ${result.processor}, Deno ${result.deno}; ${roundsText(result)}`,
    x: { label: "packets in a batch", scale: "log" },
    y: { label: "nanoseconds a packet", scale: "log" },
    series,
  });
}
