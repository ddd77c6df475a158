/**
 * What a driver's death costs those who use its interface: how long nothing comes through and what is lost, with a
 * spare to take over and without, under UDP echo from outside and in a TCP stream.
 */
import { z } from "zod";
import { buildBench, buildOutside } from "../src/build.ts";
import { UserError } from "../src/error.ts";
import { CHECKOUT } from "../src/lab/guest.ts";
import { type FrameSockets, type Lab, nicAddress, nicNetwork } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";
import { drawChart, empirical } from "../src/plot/mod.ts";
import { type LabOptions, startLab } from "../src/run/lab.ts";
import { grouped } from "../src/size.ts";
import { KilledDriver, type RecoveryParts } from "../src/soak/killed_driver.ts";
import { DEVICE, joinWire, keepQuiet, layWire, OURS } from "../src/soak/wire.ts";
import { type Distribution, distribution } from "../src/statistics.ts";
import { temporaryFolder } from "../src/temporary_folder.ts";
import { layOut, startEcho } from "./card.ts";
import { compared, type Comparison, machineText, roundsText, type Taken, takeTurnsOf } from "./compare.ts";
import { LOAD_MAC, putLoad, wireSockets } from "./load.ts";
import { formatTable, rangeText, spreadOf } from "../src/table.ts";
import { pause } from "../src/pause.ts";

/** Programs in the guest: `bench/inside/`. */
const [RECEIVE, SEND] = ["receive", "send"].map((name) => `${CHECKOUT}/build/bench/${name}`);

/** The port of the stream. */
const STREAM_PORT = 5003;

/** The card with the load at its other end; the first and the second are on one wire, for TCP. */
const LOADED = { index: 2, device: nicAddress(2) };

/** Bytes of a datagram's payload. */
const SIZE = 1024;

/** How long there is traffic before a kill and after its recovery, milliseconds. */
const LEAD_MS = 500;
const TAIL_MS = 300;

/** How long it is looked at without a kill: about as long as with one. */
const QUIET_MS = 1000;

/** Longest time that a load goes on by itself, milliseconds. */
const LONGEST_MS = 120_000;

/** What is asked of the median outage with a spare, milliseconds. */
const GOAL_MS = 100;

/** Datagrams a second. */
export const RATES: readonly number[] = [1000, 4000];

/** Ways to recover, as a line tells of each. */
const KINDS = { spare: "with a spare", alone: "without" } as const;

type KindName = keyof typeof KINDS;

/** What was seen of the kills of one kind under one load. */
export interface Kind {
  kills: number;
  /** In order; as `gap` and `frame` tell of them. */
  gaps: number[];
  frames: number[];
  /** Longest time in which nothing came through, as the application saw it, milliseconds. */
  gap: Distribution | null;
  /** The kernel's word of death to the first frame through the next driver, milliseconds. */
  frame: Distribution | null;
  /** Where that time went: medians, of the kills with a first frame; null without one. */
  parts: RecoveryParts | null;
  /** Datagrams that were due and did not come back; of TCP, segments that were sent again. */
  lost: Distribution | null;
}

/** One load. */
export interface Row {
  /** Datagrams a second; null: a TCP stream. */
  rate: number | null;
  /** The same without a kill: what the machine does by itself. */
  quiet: Pick<Kind, "gap" | "lost">;
  spare: Kind;
  alone: Kind;
}

/** What was measured. */
export interface RecoveryBench extends Comparison {
  bench: "recovery";
  rows: Row[];
}

/** How to measure. */
export interface RecoveryBenchOptions extends LabOptions {
  rates: readonly number[];
  /** Times that drivers with a spare and without take their turn. */
  rounds: number;
  /** Kills of each kind under each load, in each round. */
  kills: number;
}

/** What the application saw of one death, or of nothing. */
interface Outage {
  /** Milliseconds. */
  gap: number;
  lost: number;
}

/** One kill. */
interface Kill extends Outage {
  frame: number | null;
  parts: RecoveryParts;
}

/** What one load saw of one driver. */
interface Seen {
  quiet: Outage;
  kills: Kill[];
}

/** Traffic: calls `moving` when it flows, and goes on until that is over. */
type Traffic = (moving: () => Promise<void>) => Promise<Outage>;

/**
 * Boots a lab and kills drivers in it, with a spare and without in turn.
 * @throws {UserError} if the lab or a driver does not come up, a driver does not recover, or there is no traffic.
 */
export async function benchRecovery(options: RecoveryBenchOptions): Promise<RecoveryBench> {
  const { hardware, rates, kills, progress } = options;
  await buildBench();
  const program = `${await buildOutside()}/load`;
  await using cleaning = new AsyncDisposableStack();
  const { path } = cleaning.use(await temporaryFolder(options.signal));
  const sockets = wireSockets(path);
  const lab = cleaning.use(
    await startLab({
      ...options,
      hardware: {
        ...hardware,
        nic: ["e1000", "e1000", "e1000"],
        oneWire: [0, 1],
        sockets: { [LOADED.index]: sockets },
        disk: [],
      },
    }),
  );
  await keepQuiet(lab);
  await startEcho(lab);
  let laid = false;
  const { result: turns, problems } = await takeTurnsOf(KINDS, async (kind) => {
    const udp = await withDriver(lab, { kind, device: LOADED.device }, async (driver, name) => {
      const { mac } = await layOut(lab, name, loadedCard());
      const seen: Seen[] = [];
      for (const rate of rates) {
        seen.push(
          await killInTraffic(driver, { kills, traffic: datagrams({ program, sockets, mac, rate }) }),
        );
      }
      return seen;
    });
    progress(`${KINDS[kind]}: TCP`);
    const tcp = await withDriver(lab, { kind, device: DEVICE }, async (driver) => {
      await (laid ? joinWire(lab) : layWire(lab));
      laid = true;
      return await killInTraffic(driver, { kills, traffic: stream(lab) });
    });
    return { result: [...udp.result, tcp.result], problems: [...udp.problems, ...tcp.problems] };
  }, options);
  const load = (i: number) => ({
    spare: turns.spare.map((seen) => seen[i]),
    alone: turns.alone.map((seen) => seen[i]),
  });
  return {
    bench: "recovery",
    ...compared(lab, { rounds: options.rounds, problems }),
    rows: [...rates, null].map((rate, i) => rowOf(rate, load(i))),
  };
}

/** How the card with the load at its other end is laid out. */
function loadedCard() {
  const { host, guest } = nicNetwork(LOADED.index);
  return { device: LOADED.device, address: guest, neighbours: { [host]: LOAD_MAC }, index: 0 };
}

/** Has a driver serve a card while `use` runs, which gets its interface's name. */
async function withDriver<T>(
  lab: Lab,
  { kind, device }: { kind: KindName; device: string },
  use: (driver: KilledDriver, name: string) => Promise<T>,
): Promise<Taken<T>> {
  const args = ["--device", device, "--take", "--no-dhcp"];
  await using driver = await KilledDriver.start(lab, { spare: kind === "spare", args });
  const { interface: name } = await driver.run.next("interface");
  await driver.run.next("ready");
  return { result: await use(driver, name), problems: await driver.stop({ name: KINDS[kind] }) };
}

/** Kills it again and again, each time in traffic that is there for this kill only. */
async function killInTraffic(
  driver: KilledDriver,
  { kills, traffic }: { kills: number; traffic: Traffic },
): Promise<Seen> {
  await driver.prepared();
  const seen: Seen = { quiet: await traffic(() => pause(QUIET_MS)), kills: [] };
  for (let i = 0; i < kills; i++) {
    // A process that starts takes time from the one that serves.
    await driver.prepared();
    let recovery: Pick<Kill, "frame" | "parts"> | undefined;
    const outage = await traffic(async () => {
      await pause(LEAD_MS);
      const { ms, parts } = await driver.kill();
      recovery = { frame: ms, parts };
      await pause(TAIL_MS);
    });
    if (!recovery) throw new UserError("The traffic ended before the driver was killed");
    seen.kills.push({ ...outage, ...recovery });
  }
  return seen;
}

/** Datagrams from outside that are echoed. */
function datagrams(
  { program, sockets, mac, rate }: { program: string; sockets: FrameSockets; mac: string; rate: number },
): Traffic {
  const { host: from, guest: to } = nicNetwork(LOADED.index);
  return async (moving) => {
    const over = new AbortController();
    let moved: Promise<void> | undefined;
    const { gap_us, offered, echoed } = await putLoad({
      ...{ program, sockets, mac, from, to, rate, size: SIZE, warm: LEAD_MS, measured: LONGEST_MS },
      over: over.signal,
      begin: () => {
        // Not waited for here: it is what the end of the load waits for.
        moved = moving().finally(() => over.abort());
        moved.catch(() => {});
        return Promise.resolve();
      },
    });
    await moved;
    return { gap: gap_us / 1000, lost: offered - echoed };
  };
}

const receivedSchema = z.object({ bytes: z.number(), seconds: z.number(), gap_us: z.number() });
const sentSchema = z.object({ retransmits: z.number() });

/** A TCP stream from the other end of the wire. */
function stream(lab: Lab): Traffic {
  return async (moving) => {
    const options = { stdout: "piped", stderr: "inherit" } as const;
    const receiver = lab.spawn([RECEIVE, `${STREAM_PORT}`, OURS], { ...options, stdin: "null" });
    const received = lines(receiver.stdout);
    if ((await received.next()).value !== "ready") {
      throw new UserError("The stream's receiver does not start");
    }
    const sender = lab.spawn(["ip", "netns", "exec", "peer", SEND, OURS, `${STREAM_PORT}`], {
      ...options,
      stdin: "piped",
    });
    const sent = lines(sender.stdout);
    try {
      await moving();
    } finally {
      await sender.stdin.close();
    }
    const [last, told] = [await received.next(), await sent.next()];
    if (last.done || told.done) throw new UserError("The TCP stream broke off; why is above");
    await Promise.all([receiver.status, sender.status]);
    const { gap_us } = receivedSchema.parse(JSON.parse(last.value));
    const { retransmits } = sentSchema.parse(JSON.parse(told.value));
    return { gap: gap_us / 1000, lost: retransmits };
  };
}

/** A load's row. @param seen In each turn of each kind. */
function rowOf(rate: number | null, { spare, alone }: Record<KindName, Seen[]>): Row {
  const outages = (found: readonly Outage[]) => ({
    gap: distribution(found.map(({ gap }) => gap)),
    lost: distribution(found.map(({ lost }) => lost)),
  });
  const kind = (turns: readonly Seen[]): Kind => {
    const kills = turns.flatMap(({ kills }) => kills);
    const recovered = kills.flatMap(({ frame, parts }) => frame === null ? [] : [{ frame, parts }]);
    const frames = recovered.map(({ frame }) => frame);
    const median = (part: keyof RecoveryParts) => spreadOf(recovered.map(({ parts }) => parts[part])).median;
    return {
      kills: kills.length,
      gaps: kills.map(({ gap }) => gap),
      frames,
      ...outages(kills),
      frame: distribution(frames),
      parts: recovered.length === 0 ? null : {
        handedOver: median("handedOver"),
        broughtUp: median("broughtUp"),
        rest: median("rest"),
      },
    };
  };
  const quiet = outages([...spare, ...alone].map(({ quiet }) => quiet));
  return { rate, quiet, spare: kind(spare), alone: kind(alone) };
}

/** Both kinds, each by its name. */
function named({ spare, alone }: Record<KindName, Kind>) {
  return [[KINDS.spare, spare], [KINDS.alone, alone]] as const;
}

/** What a load is called. */
function loadName(rate: number | null): string {
  return rate === null ? "TCP stream" : `UDP ${grouped(rate)}/s`;
}

/** The figures as a table of Markdown. */
export function formatRecoveryBench(result: RecoveryBench): string {
  const { rows, problems } = result;
  const ms = (found: Distribution | null) => found ? rangeText({ ...found, median: found.p50 }) : "";
  const p90 = (found: Distribution | null) => found?.p90.toFixed(0) ?? "";
  const [first] = rows;
  const median = first.spare.gap?.p50 ?? NaN;
  return [
    `Recovery of a killed driver on ${machineText(result)}: ${roundsText(result)} of each kind, ` +
    "with a spare and without in turn",
    "",
    `With a spare, under ${loadName(first.rate)}: nothing came through for ${median.toFixed(0)} ms in the ` +
    `median, ${median <= GOAL_MS ? "within" : "above"} the goal of ${GOAL_MS}.`,
    "",
    "Milliseconds in which nothing came through to the application, and from the kernel's word of death to the " +
    "first frame; datagrams that were lost, or segments that TCP sent again. Medians with the least and the most " +
    "of all kills",
    "",
    formatTable(
      ["load", "", "kills", "outage ms", "p90", "first frame ms", "p90", "lost"],
      rows.flatMap(({ rate, quiet, ...kinds }) => [
        [loadName(rate), "undisturbed", "0", ms(quiet.gap), p90(quiet.gap), "", "", ms(quiet.lost)],
        ...named(kinds).map(([name, kind]) => [
          loadName(rate),
          name,
          `${kind.kills}`,
          ms(kind.gap),
          p90(kind.gap),
          ms(kind.frame),
          p90(kind.frame),
          ms(kind.lost),
        ]),
      ]),
    ),
    "",
    "Where the time to the first frame went, ms, medians: from the kernel's word of the death until the next " +
    "process was given the device, until that was ready, and the rest: until the frame",
    "",
    formatTable(
      ["load", "", "handed over", "brought up", "rest"],
      rows.flatMap(({ rate, ...kinds }) =>
        named(kinds).flatMap(([name, { parts }]) => {
          if (!parts) return [];
          const cells = [parts.handedOver, parts.broughtUp, parts.rest].map((value) => value.toFixed(0));
          return [[loadName(rate), name, ...cells]];
        })
      ),
    ),
    ...problems.map((problem) => `\n${problem}`),
  ].join("\n");
}

/** How long outages were and what the kernel saw of them, under the first load. */
export function plotRecoveryBench(result: RecoveryBench): string {
  const [{ rate, spare, alone }] = result.rows;
  return drawChart({
    title: `Outage when a driver is killed under ${loadName(rate)}`,
    subtitle: machineText(result),
    x: { label: "milliseconds", scale: "log" },
    y: { label: "kills over by then", domain: [0, 100], format: (value) => `${value} %` },
    series: ([["spare", spare], ["no spare", alone]] as const).flatMap(([name, kind]) => [
      { name: `${name}, outage`, points: empirical(kind.gaps), draw: "step" as const },
      { name: `${name}, first frame`, points: empirical(kind.frames), draw: "step" as const },
    ]),
    marks: [{ x: GOAL_MS, label: `goal, ${GOAL_MS} ms` }],
  });
}
