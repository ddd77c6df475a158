/** Datagrams in bursts, from the other end of a card's wire: the next burst when all of the last are back. */
import type { FrameSockets } from "../src/lab/mod.ts";
import { foldSum, sumWords, UDP_AT, UDP_HEADERS, udpHeaders } from "../src/udp_frame.ts";

/** MAC address and port that they are sent from. */
export const BURST_MAC = "52:55:00:00:00:03";
const OUR_PORT = 40_001;

/** A burst that is not back after this is lost as far as it is missing, milliseconds. */
const LOST_MS = 500;

/** Who sends to whom. */
export interface BurstOptions {
  sockets: FrameSockets;
  /** The card's MAC address. */
  mac: string;
  /** IPv4 addresses of this end and of the card. */
  from: string;
  to: string;
  /** Where the program listens that echoes. */
  port: number;
  /** Bytes of a datagram's payload, 4 or more. */
  size: number;
}

/** What came of some bursts. */
export interface Echoes {
  echoed: number;
  /** Not back in time. */
  lost: number;
  /** Frames from the port that echoes which were not as sent. */
  wrong: number;
}

/** The other end of the wire. */
export class BurstSender implements AsyncDisposable {
  readonly #incoming: Deno.DatagramConn;
  /** Of its own: Deno does not send on a socket while it waits for something to receive there. */
  readonly #outgoing: Deno.DatagramConn;
  readonly #card: Deno.UnixAddr;
  readonly #frame: Uint8Array;
  readonly #view: DataView;
  readonly #port: number;
  /** Sum of all that the UDP checksum covers but the datagram's number. */
  readonly #sum: number;
  readonly #receiving: Promise<void>;
  #next = 0;
  /** The present burst: its first number, and which of it are not back. */
  #first = 0;
  readonly #missing = new Set<number>();
  #complete: () => void = () => {};
  #wrong = 0;

  constructor({ sockets, mac, from, to, port, size }: BurstOptions) {
    this.#port = port;
    this.#frame = makeFrame({ mac, from, to, port, size });
    this.#view = new DataView(this.#frame.buffer);
    this.#sum = sumWords(this.#frame.subarray(UDP_AT - 8)) + 17 + 8 + size;
    this.#card = { transport: "unixpacket", path: sockets.card };
    this.#incoming = Deno.listenDatagram({ transport: "unixpacket", path: sockets.outside });
    this.#outgoing = Deno.listenDatagram({ transport: "unixpacket", path: `${sockets.outside}-out` });
    this.#receiving = this.#receive();
  }

  /** Sends as many bursts as make up `datagrams`. */
  async send({ burst, datagrams }: { burst: number; datagrams: number }): Promise<Echoes> {
    let [sent, lost] = [0, 0];
    this.#wrong = 0;
    while (sent < datagrams) {
      lost += await this.#burst(burst);
      sent += burst;
    }
    return { echoed: sent - lost, lost, wrong: this.#wrong };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#incoming.close();
    this.#outgoing.close();
    await this.#receiving;
    for (const { path } of [this.#incoming, this.#outgoing].map(({ addr }) => addr as Deno.UnixAddr)) {
      await Deno.remove(path);
    }
  }

  /** Sends a burst; how many of it did not come back. */
  async #burst(count: number): Promise<number> {
    const complete = Promise.withResolvers<void>();
    this.#complete = complete.resolve;
    this.#first = this.#next;
    for (let i = 0; i < count; i++) this.#missing.add(this.#next + i);
    for (let i = 0; i < count; i++) await this.#send(this.#next++);
    const timer = setTimeout(complete.resolve, LOST_MS);
    await complete.promise;
    clearTimeout(timer);
    const lost = this.#missing.size;
    this.#missing.clear();
    return lost;
  }

  async #send(number: number): Promise<void> {
    this.#view.setUint32(UDP_HEADERS, number);
    const checksum = foldSum(this.#sum + (number >>> 16) + (number & 0xffff));
    // Zero would say that there is none; its other form means the same sum.
    this.#view.setUint16(UDP_AT + 6, checksum || 0xffff);
    await this.#outgoing.send(this.#frame, this.#card);
  }

  async #receive(): Promise<void> {
    for await (const [frame] of this.#incoming) {
      const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
      const ours = frame.length >= UDP_HEADERS + 4 && view.getUint16(12) === 0x0800 && frame[23] === 17 &&
        view.getUint16(UDP_AT) === this.#port;
      if (!ours) continue;
      const number = view.getUint32(UDP_HEADERS);
      if (!this.#same(frame)) this.#wrong++;
      // One of a burst that was given up may still come.
      else if (!this.#missing.delete(number)) this.#wrong += number >= this.#first ? 1 : 0;
      if (this.#missing.size === 0) this.#complete();
    }
  }

  /** Whether it holds what was sent, but for the number. Shorter frames than this are padded. */
  #same(frame: Uint8Array): boolean {
    if (frame.length < this.#frame.length) return false;
    for (let i = UDP_HEADERS + 4; i < this.#frame.length; i++) if (frame[i] !== this.#frame[i]) return false;
    return true;
  }
}

/** A frame with everything but the datagram's number and the UDP checksum. */
function makeFrame({ mac, from, to, port, size }: Omit<BurstOptions, "sockets">): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(UDP_HEADERS + size);
  const ends = [{ mac: BURST_MAC, address: from, port: OUR_PORT }, { mac, address: to, port }] as const;
  frame.set(udpHeaders(...ends, size));
  for (let i = 4; i < size; i++) frame[UDP_HEADERS + i] = i * 7 + 1;
  return frame;
}
