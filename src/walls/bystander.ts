/**
 * Traffic of somebody who is not to be disturbed: numbered datagrams to an echo, one after the other, for as long
 * as standard input is open. A line there asks for an account of all that were sent before it, which is written
 * as a line of JSON when each of them has come back or is lost.
 *
 * `bystander.ts HOST PORT`
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { datagram, equalBytes, NUMBER_BYTES } from "../check/content.ts";
import { lines } from "../lines.ts";

/** What has become of the datagrams since the last account. */
export interface Account {
  sent: number;
  /** Came back, and as they were. */
  answered: number;
  /** Came back otherwise. */
  corrupt: number;
  /** Did not come back within `LOST_MS`. */
  lost: number;
  /** Longest time without an answer, milliseconds. */
  gap: number;
}

/** Milliseconds from one datagram to the next. */
const EVERY_MS = 20;
/** After so long a datagram is lost, milliseconds. */
const LOST_MS = 10_000;

const SEED = 7;

/** Sends, and keeps account. */
class Bystander {
  readonly #socket = createSocket("udp4");
  /** Under way, by number: when they were sent. */
  readonly #pending = new Map<number, number>();
  #next = 0;
  #account: Account = { sent: 0, answered: 0, corrupt: 0, lost: 0, gap: 0 };
  #heard = performance.now();

  static async start(host: string, port: number): Promise<Bystander> {
    const bystander = new Bystander();
    const socket = bystander.#socket;
    socket.bind(0);
    await once(socket, "listening");
    socket.on("message", (message) => bystander.#receive(message));
    setInterval(() => bystander.#send(host, port), EVERY_MS);
    bystander.#heard = performance.now();
    return bystander;
  }

  #send(host: string, port: number): void {
    const number = this.#next++;
    this.#account.sent++;
    this.#pending.set(number, performance.now());
    // A datagram that cannot be sent is lost.
    this.#socket.send(datagram(SEED, number), port, host, () => {});
  }

  #receive(message: Uint8Array): void {
    const now = performance.now();
    this.#account.gap = Math.max(this.#account.gap, now - this.#heard);
    this.#heard = now;
    for (const number of this.#pending.keys()) {
      if (!holdsNumber(message, number)) continue;
      this.#pending.delete(number);
      if (equalBytes(message, datagram(SEED, number))) this.#account.answered++;
      else this.#account.corrupt++;
      return;
    }
    this.#account.corrupt++;
  }

  /** Of all that have been sent by now. */
  async account(): Promise<Account> {
    const last = this.#next - 1;
    for (;;) {
      const now = performance.now();
      for (const [number, at] of this.#pending) {
        if (now - at < LOST_MS) break;
        this.#pending.delete(number);
        this.#account.lost++;
      }
      const [oldest = Infinity] = this.#pending.keys();
      if (oldest > last) break;
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS / 2));
    }
    const account = this.#account;
    // Those that are under way belong to the next one.
    const underWay = this.#pending.size;
    this.#account = { sent: underWay, answered: 0, corrupt: 0, lost: 0, gap: 0 };
    return { ...account, sent: account.sent - underWay };
  }
}

/** Whether a datagram is of that number, as far as it holds one. */
function holdsNumber(bytes: Uint8Array, number: number): boolean {
  const held = Math.min(bytes.length, NUMBER_BYTES);
  for (let i = 0; i < held; i++) if (bytes[i] !== (number >>> (8 * i) & 0xff)) return false;
  return held > 0;
}

if (import.meta.main) {
  const [host, port] = Deno.args;
  const bystander = await Bystander.start(host, Number(port));
  for await (const _ of lines(Deno.stdin.readable)) console.log(JSON.stringify(await bystander.account()));
  Deno.exit(0);
}
