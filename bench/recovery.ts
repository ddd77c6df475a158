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
import { sh } from "../src/soak/lab.ts";
import { DEVICE, keepQuiet, layWire, OURS, PEER } from "../src/soak/wire.ts";
import { type Distribution, distribution } from "../src/statistics.ts";
import { temporaryFolder } from "../src/temporary_folder.ts";
import { layOut, startEcho } from "./card.ts";
import { compared, type Comparison, machineText, roundsText } from "./compare.ts";
import { LOAD_MAC, putLoad, wireSockets } from "./load.ts";
import { formatTable, rangeText, spreadOf } from "./table.ts";
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

/** Ways to recover. */
const KINDS = ["spare", "alone"] as const;

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

/** All of one load. */
interface Seen {
  quiet: Outage[];
  spare: Kill[];
  alone: Kill[];
}

/** Traffic: calls `moving` when it flows, and goes on until that is over. */
type Traffic = (moving: () => Promise<void>) => Promise<Outage>;

/**
 * Boots a lab and kills drivers in it, with a spare and without in turn.
 * @throws {UserError} if the lab or a driver does not come up, a driver does not recover, or there is no traffic.
 */
export async function benchRecovery(options: RecoveryBenchOptions): Promise<RecoveryBench> {
  const { hardware, rates, rounds, kills, progress } = options;
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
  const problems: string[] = [];
  const udp = rates.map((rate) => ({ rate, seen: nothing() }));
  const tcp = nothing();
  for (let round = 1; round <= rounds; round++) {
    for (const kind of KINDS) {
      const told = `round ${round} of ${rounds}, ${kind === "spare" ? "with a spare" : "without"}`;
      progress(`${told}: UDP`);
      problems.push(
        ...await withDriver(lab, { kind, device: LOADED.device }, async (driver, name) => {
          const { mac } = await layOut(lab, name, loadedCard());
          const echo = { program, sockets, mac };
          for (const { rate, seen } of udp) {
            await killInTraffic(driver, { kind, kills, seen, traffic: datagrams({ ...echo, rate }) });
          }
        }),
      );
      progress(`${told}: TCP`);
      problems.push(
        ...await withDriver(lab, { kind, device: DEVICE }, async (driver) => {
          if (round === 1 && kind === KINDS[0]) await layWire(lab);
          else await sh(lab, `ip address add ${OURS}/24 dev r3n0; ping -q -c 1 -w 20 ${PEER}`);
          await killInTraffic(driver, { kind, kills, seen: tcp, traffic: stream(lab) });
        }),
      );
    }
  }
  return {
    bench: "recovery",
    ...compared(lab, { rounds, problems }),
    rows: [...udp.map(({ rate, seen }) => rowOf(rate, seen)), rowOf(null, tcp)],
  };
}

function nothing(): Seen {
  return { quiet: [], spare: [], alone: [] };
}

/** How the card with the load at its other end is laid out. */
function loadedCard() {
  const { host, guest } = nicNetwork(LOADED.index);
  return { device: LOADED.device, address: guest, neighbours: { [host]: LOAD_MAC }, index: 0 };
}

/** Has a driver serve a card while `use` runs, which gets its interface's name. What did not hold, a line each. */
async function withDriver(
  lab: Lab,
  { kind, device }: { kind: typeof KINDS[number]; device: string },
  use: (driver: KilledDriver, name: string) => Promise<void>,
): Promise<string[]> {
  const args = ["--device", device, "--take", "--no-dhcp"];
  await using driver = await KilledDriver.start(lab, { spare: kind === "spare", args });
  const { interface: name } = await driver.run.next("interface");
  await driver.run.next("ready");
  await use(driver, name);
  return await driver.stop({ name: kind === "spare" ? "with a spare" : "without" });
}

/** Kills it again and again, each time in traffic that is there for this kill only. */
async function killInTraffic(
  driver: KilledDriver,
  { kind, kills, seen, traffic }: {
    kind: typeof KINDS[number];
    kills: number;
    seen: Seen;
    traffic: Traffic;
  },
): Promise<void> {
  await driver.prepared();
  seen.quiet.push(await traffic(() => pause(QUIET_MS)));
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
    seen[kind].push({ ...outage, ...recovery });
  }
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

function rowOf(rate: number | null, { quiet, ...kinds }: Seen): Row {
  const outages = (found: readonly Outage[]) => ({
    gap: distribution(found.map(({ gap }) => gap)),
    lost: distribution(found.map(({ lost }) => lost)),
  });
  const kind = (kills: readonly Kill[]): Kind => {
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
  return { rate, quiet: outages(quiet), spare: kind(kinds.spare), alone: kind(kinds.alone) };
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
      rows.flatMap(({ rate, quiet, spare, alone }) => [
        [loadName(rate), "undisturbed", "0", ms(quiet.gap), p90(quiet.gap), "", "", ms(quiet.lost)],
        ...([["with a spare", spare], ["without", alone]] as const).map(([name, kind]) => [
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
    "Where the time to the first frame went, ms, medians: from the supervisor's word of the end until the next " +
    "process had its grant, until that was ready, and the rest: before that word, and from being ready to the frame",
    "",
    formatTable(
      ["load", "", "handed over", "brought up", "rest"],
      rows.flatMap(({ rate, spare, alone }) =>
        ([["with a spare", spare], ["without", alone]] as const).flatMap(([name, { parts }]) => {
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
