/** What a check found, and how it is told. Shared by its two halves and by whoever runs them. */
import { formatSize, grouped } from "../size.ts";
import { type Finding, formatVerdict, verdictOf } from "../verdict.ts";

/** The smallest and largest payload of a datagram that fits a standard Ethernet frame over IPv4. */
export const DATAGRAM = { least: 1, most: 1472 } as const;

/** Datagrams that are under way at once. */
export const WINDOW = 32;

/** Answers to `ping`. */
export interface PingResult {
  sent: number;
  received: number;
  /** Round trips in milliseconds; absent if nothing came back. */
  milliseconds?: { least: number; mean: number; most: number };
}

/** Datagrams that an echo server sent back. */
export interface UdpResult {
  sent: number;
  /** Came back, once each, byte for byte as they were sent. */
  equal: number;
  /** Came back different from what was sent. */
  corrupt: number;
  /** Came back again, or after they had been given up: right in content. */
  late: number;
  /** Did not come back in time. */
  lost: number;
  /** Payload that came back right. */
  bytes: number;
  seconds: number;
}

/** One direction of a TCP transfer, each end's view of it. */
export interface TcpResult {
  sent: { bytes: number; sha256: string };
  received: { bytes: number; sha256: string };
  seconds: number;
}

/** How the interface's counters rose in the course of the check. */
export interface InterfaceTraffic {
  rxPackets: number;
  txPackets: number;
  rxBytes: number;
  txBytes: number;
}

/** What a check found. A part that could not be carried out, or was left out, is null. */
export interface CheckResult {
  /** All that was asked for was done, and all of it held. */
  ok: boolean;
  /** What did not hold, a line each. */
  problems: string[];
  interface: string;
  host: string;
  ping: PingResult | null;
  udp: UdpResult | null;
  tcpOut: TcpResult | null;
  tcpIn: TcpResult | null;
  traffic: InterfaceTraffic | null;
  seconds: number;
}

/** What is wrong with the answers to `ping`, or undefined. */
export function pingProblem({ sent, received }: PingResult): string | undefined {
  return received === sent ? undefined : `ping: ${sent - received} of ${sent} packets were not answered`;
}

/** What is wrong with the datagrams, or undefined. `asked` is how many there should have been. */
export function udpProblem(result: UdpResult, asked: number): string | undefined {
  if (result.equal === asked && result.corrupt === 0) return undefined;
  const parts = [
    result.lost > 0 && `${grouped(result.lost)} lost`,
    result.corrupt > 0 && `${grouped(result.corrupt)} corrupt`,
    result.sent < asked && `${grouped(asked - result.sent)} not sent`,
  ].filter((part) => part !== false);
  return `UDP: of ${grouped(asked)} datagrams ${parts.join(", ")}`;
}

/** What is wrong with a transfer, or undefined. `asked` is the bytes it should have had. */
export function tcpProblem(what: string, result: TcpResult, asked: number): string | undefined {
  const { sent, received } = result;
  if (sent.bytes !== asked || received.bytes !== asked) {
    return `${what}: ${grouped(asked)} bytes asked for, ${grouped(sent.bytes)} sent, ${
      grouped(received.bytes)
    } received`;
  }
  if (sent.sha256 !== received.sha256) {
    return `${what}: SHA-256 differs: sent ${sent.sha256.slice(0, 16)}…, received ${
      received.sha256.slice(0, 16)
    }…`;
  }
  return undefined;
}

/** What shows that the traffic took another way than the interface, or undefined. */
export function trafficProblem(result: CheckResult, name: string): string | undefined {
  const { traffic, udp, tcpOut, tcpIn } = result;
  if (!traffic) return undefined;
  const echoed = udp?.equal ?? 0;
  const least: InterfaceTraffic = {
    // A segment may be large where the device cuts it up, so of TCP only bytes can be demanded.
    rxPackets: echoed,
    txPackets: udp?.sent ?? 0,
    rxBytes: (udp?.bytes ?? 0) + (tcpIn?.received.bytes ?? 0),
    txBytes: (udp?.bytes ?? 0) + (tcpOut?.received.bytes ?? 0),
  };
  const short = (Object.keys(least) as (keyof InterfaceTraffic)[]).filter((key) => traffic[key] < least[key]);
  if (short.length === 0) return undefined;
  const each = short.map((key) =>
    `${grouped(traffic[key])} ${WORDS[key]} where the check had ${grouped(least[key])}`
  );
  return `${name} did not carry this traffic: it counted ${each.join(", ")}`;
}

const WORDS: Record<keyof InterfaceTraffic, string> = {
  rxPackets: "packets received",
  txPackets: "packets sent",
  rxBytes: "bytes received",
  txBytes: "bytes sent",
};

/** The result as a table for people, with what did not hold below it. */
export function formatCheck(result: CheckResult): string {
  const failed = (start: string) => result.problems.some((problem) => problem.startsWith(start));
  const findings: Finding[] = [];
  const add = (name: string, start: string, found: string | undefined) => {
    // A part that was left out without failing is not shown.
    if (found === undefined && !failed(start)) return;
    findings.push({ name, found: found ?? "not done", ok: !failed(start) });
  };
  const { ping, udp, tcpOut, tcpIn, traffic } = result;
  const times = ping?.milliseconds;
  add(
    "ping",
    "ping:",
    ping
      ? `${ping.received} of ${ping.sent} answered` + (times ? `, mean ${times.mean.toFixed(2)} ms` : "")
      : undefined,
  );
  add(
    "UDP echo",
    "UDP:",
    udp
      ? `${grouped(udp.equal)} of ${grouped(udp.sent)} datagrams equal, ${
        grouped(udp.equal / udp.seconds)
      }/s` +
        (udp.late > 0 ? `, ${grouped(udp.late)} more late` : "")
      : undefined,
  );
  add("TCP out", "TCP out:", tcpOut ? tcpText(tcpOut) : undefined);
  add("TCP in", "TCP in:", tcpIn ? tcpText(tcpIn) : undefined);
  add(
    "interface",
    `${result.interface} `,
    traffic
      ? `${grouped(traffic.rxPackets)} packets in, ${
        grouped(traffic.txPackets)
      } out through ${result.interface}`
      : undefined,
  );
  const { seconds, problems } = result;
  const title = `Check of ${result.interface} against ${result.host}: ${verdictOf(problems)}`;
  return formatVerdict(`${title}, in ${seconds.toFixed(1)} s`, findings, problems);
}

function tcpText({ received, seconds }: TcpResult): string {
  return `${formatSize(received.bytes)} in ${seconds.toFixed(1)} s, ${
    megabits({ received, seconds }).toFixed(1)
  } Mb/s, SHA-256 ${received.sha256.slice(0, 12)}…`;
}

/** Throughput of a transfer, Mb/s of payload. */
export function megabits({ received, seconds }: Pick<TcpResult, "received" | "seconds">): number {
  return received.bytes * 8 / 1e6 / seconds;
}
