/**
 * The inside of a check: runs where the interface is, sends traffic through it to the outside, and prints
 * what it found as JSON. Progress goes to standard error.
 */
import { choice, defineCommand, integer, size, text } from "../cli/args.ts";
import { exitStatus } from "../cli/exit.ts";
import { UserError } from "../error.ts";
import { grouped } from "../size.ts";
import { checkPing } from "./ping.ts";
import {
  type CheckResult,
  type InterfaceTraffic,
  pingProblem,
  tcpProblem,
  type TcpResult,
  trafficProblem,
  udpProblem,
} from "./result.ts";
import {
  ContentReader,
  type Direction,
  DIRECTIONS,
  parseAccount,
  sendContent,
  type TransferRequest,
  writeLine,
} from "./stream.ts";
import { checkUdp } from "./udp.ts";

/** What to check. */
export interface InsideOptions {
  /** Address of the outside. */
  host: string;
  /** Ports of `startOutside`. */
  udp: number;
  tcp: number;
  /** The interface that all of it has to pass. */
  interface: string;
  /** Echo requests; 0 leaves ping out. */
  pings: number;
  /** Datagrams to have echoed; 0 leaves them out. */
  datagrams: number;
  /** Bytes to transfer each way; 0 leaves streams out. */
  bytes: number;
  /** Transfer one way only; default both, one after the other. */
  direction?: Direction;
  /** Milliseconds without any progress after which a part is given up. */
  stall: number;
  /** What sizes and contents follow from. */
  seed: number;
  /** Where interfaces are described; default `/sys/class/net`. */
  interfaces?: string;
  /** Called with a line about how far it is, as often as there is something to say. */
  progress?: (line: string) => void;
}

/**
 * Runs the check. A part that fails does not keep the others from being tried.
 * @throws {UserError} if there is no such interface.
 */
export async function checkInside(options: InsideOptions): Promise<CheckResult> {
  const { host, stall, progress = () => {} } = options;
  const counters = () => interfaceCounters(options.interface, options.interfaces ?? "/sys/class/net");
  const before = await counters();
  const start = performance.now();
  const result: CheckResult = {
    ok: false,
    problems: [],
    interface: options.interface,
    host,
    ping: null,
    udp: null,
    tcpOut: null,
    tcpIn: null,
    traffic: null,
    seconds: 0,
  };
  const note = (problem: string | undefined) => {
    if (problem !== undefined) result.problems.push(problem);
  };
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | null> => {
    try {
      return await work();
    } catch (error) {
      note(`${what}: ${error instanceof Error ? error.message : error}`);
      return null;
    }
  };

  if (options.pings > 0) {
    progress(`ping: ${options.pings} packets`);
    const { interface: name, pings: count } = options;
    result.ping = await attempt("ping", () => checkPing(host, { count, interface: name }));
    if (result.ping) note(pingProblem(result.ping));
  }
  if (options.datagrams > 0) {
    const { udp: port, datagrams, seed } = options;
    const told = (count: number) => progress(`UDP: ${grouped(count)} of ${grouped(datagrams)} datagrams`);
    result.udp = await attempt("UDP", () => checkUdp(host, port, { datagrams, seed, stall, progress: told }));
    if (result.udp) note(udpProblem(result.udp, datagrams));
  }
  if (options.bytes > 0) {
    const { tcp: port, bytes } = options;
    for (const direction of options.direction ? [options.direction] : DIRECTIONS) {
      const what = `TCP ${direction}`;
      const told = (count: number) => progress(`${what}: ${grouped(count)} of ${grouped(bytes)} bytes`);
      const request = { direction, bytes, seed: options.seed + (direction === "out" ? 1 : 2) };
      const done = await attempt(what, () => transfer(request, { host, port, stall, progress: told }));
      if (done) note(tcpProblem(what, done, bytes));
      if (direction === "out") result.tcpOut = done;
      else result.tcpIn = done;
    }
  }

  const after = await attempt(options.interface, counters);
  if (after) {
    result.traffic = {
      rxPackets: after.rxPackets - before.rxPackets,
      txPackets: after.txPackets - before.txPackets,
      rxBytes: after.rxBytes - before.rxBytes,
      txBytes: after.txBytes - before.txBytes,
    };
    note(trafficProblem(result, options.interface));
  }
  result.seconds = (performance.now() - start) / 1000;
  result.ok = result.problems.length === 0;
  return result;
}

/** One transfer, given up when nothing moves for `stall` milliseconds. */
async function transfer(
  request: TransferRequest,
  options: { host: string; port: number; stall: number; progress: (bytes: number) => void },
): Promise<TcpResult> {
  let moved = performance.now();
  const progress = (bytes: number) => {
    moved = performance.now();
    options.progress(bytes);
  };
  let stalled = false;
  let close: () => void = () => {};
  const giveUp = new AbortController();
  const watch = setInterval(() => {
    if (performance.now() - moved < options.stall) return;
    // On a slow machine the next look may come before the end of the stream: only one may close it.
    clearInterval(watch);
    stalled = true;
    giveUp.abort();
    close();
  }, 100);
  try {
    const { host: hostname, port } = options;
    using connection = await Deno.connect({ hostname, port, signal: giveUp.signal });
    close = () => connection.close();
    moved = performance.now();
    const start = performance.now();
    await writeLine(connection, request);
    const reader = new ContentReader(connection);
    const own = request.direction === "out"
      ? await sendContent(connection, request, { sent: progress })
      : await reader.content(request.bytes, { received: progress });
    const other = parseAccount(await reader.line());
    if (!other) throw new Error("the outside gave no account of the transfer");
    const seconds = (performance.now() - start) / 1000;
    return request.direction === "out"
      ? { sent: own, received: other, seconds }
      : { sent: other, received: own, seconds };
  } catch (error) {
    if (stalled) throw new Error(`nothing moved for ${options.stall / 1000} s`, { cause: error });
    throw error;
  } finally {
    clearInterval(watch);
  }
}

/** Counters of an interface, from sysfs. */
async function interfaceCounters(name: string, interfaces: string): Promise<InterfaceTraffic> {
  const read = async (counter: string) => {
    try {
      return Number(await Deno.readTextFile(`${interfaces}/${name}/statistics/${counter}`));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      throw new UserError(`There is no network interface ${name}`, { cause: error });
    }
  };
  const [rxPackets, txPackets, rxBytes, txBytes] = await Promise.all(
    ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"].map(read),
  );
  return { rxPackets, txPackets, rxBytes, txBytes };
}

/** Lets a line through when it is of another part than the last, or a second has passed. */
function atMostEverySecond(print: (line: string) => void): (line: string) => void {
  let part = "";
  let last = -Infinity;
  return (line) => {
    const now = performance.now();
    const next = line.slice(0, line.indexOf(":"));
    if (next === part && now - last < 1000) return;
    part = next;
    last = now;
    print(line);
  };
}

const PORT = { min: 1, max: 65535, value: "PORT" };

const insideCommand = defineCommand({
  name: "deno run -A src/check/inside.ts",
  summary: "send a check's traffic through an interface, and print what was found as JSON",
  options: {
    host: text("Address of the outside", { value: "ADDRESS" }),
    udp: integer("Port of its datagram echo", PORT),
    tcp: integer("Port of its stream source and sink", PORT),
    interface: text("The interface that the traffic has to pass", { value: "NAME" }),
    pings: integer("Echo requests; 0 leaves them out", { value: "N", min: 0, max: 1000, default: 5 }),
    datagrams: integer("Datagrams; 0 leaves them out", {
      value: "N",
      min: 0,
      max: 10_000_000,
      default: 10_000,
    }),
    bytes: size("To transfer each way; 0 leaves streams out", { default: "64MiB" }),
    direction: choice("Transfer one way only; default both", { of: DIRECTIONS }),
    stall: integer("Seconds without progress that end a part", { value: "S", min: 1, max: 600, default: 20 }),
    seed: integer("What sizes and contents follow from", {
      value: "N",
      min: 0,
      max: 2 ** 31 - 1,
      default: 1,
    }),
  },
  async main({ options }) {
    const { host, udp, tcp, interface: name, bytes } = options;
    if (host === undefined || udp === undefined || tcp === undefined || name === undefined) {
      throw new UserError("--host, --udp, --tcp and --interface are needed", { code: 2 });
    }
    const progress = atMostEverySecond((line) => console.error(line));
    const result = await checkInside({
      ...options,
      host,
      udp,
      tcp,
      interface: name,
      bytes: bytes ?? 0,
      stall: options.stall * 1000,
      progress,
    });
    console.log(JSON.stringify(result));
    return result.ok ? 0 : 1;
  },
});

if (import.meta.main) Deno.exit(await exitStatus(() => insideCommand.run(Deno.args)));
