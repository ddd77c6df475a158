/**
 * Workloads on the wire of `src/soak/wire.ts`, which is laid by then, from the card under test to the far end.
 * `buildFaults` has built what they run before the lab was booted.
 */
import type { Lab } from "../../lab/mod.ts";
import { OURS, PEER } from "../../soak/wire.ts";
import { built, followIn, start, untilInputEnds } from "./programs.ts";
import type { Workload } from "./workload.ts";

/** Ports at the far end. */
const PORTS = { udp: 7001, tcp: 7002, http: 7003 };

/** Where the files are that the far end serves. */
const FILES = "/tmp/workload-files";

/** The client of requests: what it fetches goes to standard output. */
const CLIENT = ["busybox", "wget", "-q", "-O", "-"];

/** What all of them may be told: which wire, if there are several. */
export interface WireOptions {
  /** Address of the card under test; default that of the wire. */
  from?: string;
  /** Address of the far end; default that of the wire. */
  to?: string;
  /** The network namespace that the far end is in; default `peer`. */
  namespace?: string;
  /** What contents follow from, from 0 to 2³² − 1; default 1. */
  seed?: number;
}

interface Wire extends Required<WireOptions> {
  /** A command at the far end. */
  far(argv: readonly string[]): string[];
}

function wireOf({ from = OURS, to = PEER, namespace = "peer", seed = 1 }: WireOptions): Wire {
  return { from, to, namespace, seed, far: (argv) => ["ip", "netns", "exec", namespace, ...argv] };
}

/** How datagrams are sent. */
export interface UdpOptions extends WireOptions {
  /** A second; default 200. */
  rate?: number;
}

/**
 * Datagrams of 1,024 bytes that the far end sends back, by the clock. An operation is one that is back with the
 * content that it was sent with. One that never comes back makes a gap and is no error; one that comes back twice
 * counts once.
 * @throws {UserError} if none comes back in time.
 */
export async function startUdp(lab: Lab, options: UdpOptions = {}): Promise<Workload> {
  const { rate = 200 } = options;
  const { from, to, seed, far } = wireOf(options);
  const echo = untilInputEnds([built("echo"), `${PORTS.udp}`, to]);
  const udp = [built("udp"), from, to, `${PORTS.udp}`, `${seed}`, `${rate}`];
  return await followIn(lab, [
    start(lab, far(echo), { name: "the echo of datagrams", tells: false }),
    start(lab, udp, { name: "the sender of datagrams", tells: true }),
  ]);
}

/** How streams are carried. */
export interface TcpOptions extends WireOptions {
  /** Bytes a second each way, at most; default 2 MB. */
  rate?: number;
  /** Bytes of a connection each way, a multiple of 64 KiB; default 32 MiB. */
  bytes?: number;
}

/**
 * One TCP connection after the other with a stream each way, whose content both ends know beforehand and compare
 * byte by byte. An operation is a block of 64 KiB that has come in, at either end. A connection that is reset, or
 * in which nothing moves for 30 s, has failed, and another is made.
 * @throws {UserError} if nothing comes through in time.
 */
export async function startTcp(lab: Lab, options: TcpOptions = {}): Promise<Workload> {
  const { rate = 2_000_000, bytes = 32 * 2 ** 20 } = options;
  const { from, to, seed, far } = wireOf(options);
  const listen = [built("tcp"), "listen", to, `${PORTS.tcp}`, `${rate}`];
  const connect = [built("tcp"), from, to, `${PORTS.tcp}`, `${seed}`, `${rate}`, `${bytes}`];
  return await followIn(lab, [
    start(lab, far(listen), { name: "the far end of the streams", tells: true }),
    start(lab, connect, { name: "the near end of the streams", tells: true }),
  ]);
}

/** How requests are made. */
export interface HttpOptions extends Omit<WireOptions, "from" | "seed"> {
  /** A second, at most; default 20. */
  rate?: number;
}

/**
 * Requests by busybox's wget to busybox's httpd at the far end, a connection for each, for files of 1 B to 64 KiB
 * with fixed contents. An operation is a request. It has failed if the client says so, or has not ended after 10 s.
 * @throws {UserError} if none ends well in time.
 */
export async function startHttp(lab: Lab, options: HttpOptions = {}): Promise<Workload> {
  const { rate = 20 } = options;
  const { to, far } = wireOf(options);
  const serve = `${built("http")} files ${FILES} && exec busybox httpd -f -p ${to}:${PORTS.http} -h ${FILES}`;
  const fetch = [built("http"), `http://${to}:${PORTS.http}`, `${rate}`, ...CLIENT];
  return await followIn(lab, [
    start(lab, far(untilInputEnds(["dash", "-c", serve])), { name: "the server of files", tells: false }),
    start(lab, fetch, { name: "the client of requests", tells: true }),
  ]);
}
