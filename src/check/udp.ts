/** The UDP part of a check: datagrams to an echo, a window of them under way, each compared byte for byte. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { datagram, equalBytes, NUMBER_BYTES } from "./content.ts";
import { type UdpResult, WINDOW } from "./result.ts";

/** Datagrams lost in a row after which the rest is not tried. */
const HOPELESS = 2 * WINDOW;

/**
 * Has datagrams echoed. One that has not come back after `stall` milliseconds is lost: none is sent twice.
 * @throws {Error} if the socket fails.
 */
export async function checkUdp(
  host: string,
  port: number,
  options: { datagrams: number; seed: number; stall: number; progress: (answered: number) => void },
): Promise<UdpResult> {
  const { datagrams, seed, stall } = options;
  const result: UdpResult = { sent: 0, equal: 0, corrupt: 0, late: 0, lost: 0, bytes: 0, seconds: 0 };
  /** Under way, by number, oldest first. */
  const pending = new Map<number, { bytes: Uint8Array; at: number }>();
  let lostInRow = 0;

  const socket = createSocket("udp4");
  socket.bind(0);
  await once(socket, "listening");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.on("error", reject);

  const advance = () => {
    // The window is over numbers: an answer's low bits tell which of those under way it is.
    while (result.sent < datagrams && result.sent - (first(pending) ?? result.sent) < WINDOW) {
      const bytes = datagram(seed, result.sent);
      pending.set(result.sent++, { bytes, at: performance.now() });
      socket.send(bytes, port, host, (error) => error && reject(error));
    }
    if (pending.size === 0) resolve();
  };
  socket.on("message", (answer) => {
    const number = among(pending.keys(), answer);
    const sent = number === undefined ? undefined : pending.get(number);
    if (sent && equalBytes(sent.bytes, answer)) {
      result.equal++;
      result.bytes += answer.length;
      lostInRow = 0;
      options.progress(result.equal);
    } else if (wasSent(seed, result.sent, answer)) {
      result.late++;
      return;
    } else {
      result.corrupt++;
    }
    if (number !== undefined) pending.delete(number);
    advance();
  });
  const watch = setInterval(() => {
    const now = performance.now();
    for (const [number, { at }] of pending) {
      if (now - at < stall) break;
      pending.delete(number);
      result.lost++;
      lostInRow++;
    }
    if (lostInRow >= HOPELESS) resolve();
    else advance();
  }, Math.min(50, stall));

  const start = performance.now();
  try {
    advance();
    await promise;
  } finally {
    clearInterval(watch);
    const closed = once(socket, "close");
    socket.close();
    await closed;
  }
  result.lost += pending.size;
  result.seconds = (performance.now() - start) / 1000;
  return result;
}

function first(pending: ReadonlyMap<number, unknown>): number | undefined {
  return pending.keys().next().value;
}

/** The number as far as the datagram holds it, and how many numbers apart those are that look the same. */
function numberIn(bytes: Uint8Array): { low: number; apart: number } {
  let low = 0;
  const held = Math.min(bytes.length, NUMBER_BYTES);
  for (let i = 0; i < held; i++) low += bytes[i] * 2 ** (8 * i);
  return { low, apart: 2 ** (8 * held) };
}

/** Which of some numbers an answer is of. */
function among(numbers: Iterable<number>, answer: Uint8Array): number | undefined {
  const { low, apart } = numberIn(answer);
  // No answer of none: an empty datagram was never sent.
  if (answer.length === 0) return undefined;
  for (const number of numbers) if (number % apart === low) return number;
}

/** Whether an answer is, byte for byte, a datagram that was sent before: a duplicate, or one given up. */
function wasSent(seed: number, sent: number, answer: Uint8Array): boolean {
  const { low, apart } = numberIn(answer);
  for (let number = low; number < sent && apart > 1; number += apart) {
    if (equalBytes(datagram(seed, number), answer)) return true;
  }
  return false;
}
