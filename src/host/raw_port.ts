/**
 * The raw port: a network port with a program at its other end instead of the kernel. Frames lie in DMA memory of
 * the grant, which the program sees. The driver is not told: it has the same two channels.
 *
 * Each buffer is in one place at a time: with the driver to be received in, with the driver to be sent, or here.
 * A frame is sent from the buffer that it was received in, which then is received in again.
 */
import { every } from "../driver/clock.ts";
import type { Device } from "../driver/device.ts";
import { DeviceError } from "../driver/error.ts";
import * as rings from "../driver/rings.ts";
import type { NetAttach, NetConfig, NetPort, NetReport } from "../net/contract.ts";
import { type Program, RAW_BUFFER, rawBuffers, SHORTEST_FRAME } from "../net/raw.ts";
import type { TrafficMessage } from "./messages.ts";
import { RawChannel } from "./raw_channel.ts";

// Constants of this module's own are compiled in.
const { LAST, ERROR, LENGTH_MASK } = rings;
const { ADDRESS_LOW, ADDRESS_HIGH, LENGTH_FLAGS, TOKEN } = rings.ENTRY;
const BUFFER = RAW_BUFFER;
const SHORTEST = SHORTEST_FRAME;

/** Buffers of one piece of memory: 128 KiB, which can be had contiguous. */
const PIECE = 64;

/** Where a buffer is. */
const HERE = 0;
const RECEIVING = 1;
const SENDING = 2;

/** Places of counters, which are 64-bit floating point: more is counted than fits 32 bits. */
const RX_PACKETS = 0;
const RX_BYTES = 1;
const RX_DROPPED = 2;
const TX_PACKETS = 3;
const TX_BYTES = 4;
const TX_DROPPED = 5;
const COUNTERS = 6;

/** Polls of one round of the loop, which ends with a system call: under load many frames share it. */
const POLLS = 8;

/** What the host's loop calls a driver's `poll`. */
type Poll = (budget: number) => boolean;

/** What a raw port is made with. */
export interface RawPortOptions {
  /** Entries of each ring. */
  ring: number;
  program: Program;
  /** Called every second while frames come, and when the link changes. */
  onTraffic: (traffic: TrafficMessage) => void;
}

/** The port, and what runs the program. Nothing is allocated for a frame. */
export class RawPort implements NetPort {
  readonly kind = "raw";
  readonly tx: rings.Channel;
  readonly rx: rings.Channel;
  readonly rxBufferSize = RAW_BUFFER;
  readonly #tx: RawChannel;
  readonly #rx: RawChannel;
  readonly #program: Program;
  readonly #onTraffic: (traffic: TrafficMessage) => void;
  /** Unseen empty buffers that are worth a poll of their own; fewer ride along with other work. */
  readonly #refill: number;
  /** Memory of the buffers, `PIECE` in each. */
  readonly #pieces: Uint8Array[] = [];
  /** Bus addresses of the buffers, by number. */
  readonly #low: Int32Array;
  readonly #high: Int32Array;
  /** Where each is. */
  readonly #place: Uint8Array;
  /** Bytes of the frame in each that is being sent. */
  readonly #length: Uint16Array;
  /** A stack of those that are here: the one used last is in the caches. */
  readonly #free: Int32Array;
  #freed = 0;
  /** The last completion was not the end of its frame. */
  #amidFrame = false;
  readonly #counters = new Float64Array(COUNTERS);
  #told = 0;
  #telling: Disposable | undefined;
  #link = { up: false, speed: 0 };
  #missed = 0;
  #mac = new Uint8Array(6);

  /**
   * @param device Gives the memory: `rawMemory(ring)` bytes.
   * @throws {DeviceError} if the manifest grants less.
   */
  constructor(device: Device, { ring, program, onTraffic }: RawPortOptions) {
    const count = rawBuffers(ring);
    this.#tx = new RawChannel(ring);
    this.#rx = new RawChannel(ring);
    this.tx = this.#tx.channel;
    this.rx = this.#rx.channel;
    this.#program = program;
    this.#onTraffic = onTraffic;
    this.#refill = ring >>> 2;
    this.#low = new Int32Array(count);
    this.#high = new Int32Array(count);
    this.#place = new Uint8Array(count);
    this.#length = new Uint16Array(count);
    this.#free = new Int32Array(count);
    for (let first = 0; first < count; first += PIECE) {
      const { bytes, low, high } = device.dma(PIECE * BUFFER, { align: 4096 });
      this.#pieces.push(bytes);
      for (let i = 0; i < PIECE; i++) {
        const address = low + i * BUFFER;
        this.#low[first + i] = address;
        this.#high[first + i] = high + Math.floor(address / 2 ** 32);
        this.#free[this.#freed++] = first + i;
      }
    }
    this.#give();
  }

  attach({ mac }: NetAttach): void {
    this.#mac = mac.slice();
  }

  report({ link, speed, rxMissed = 0 }: NetReport): void {
    const changed = link !== this.#link.up || speed !== this.#link.speed;
    this.#link = { up: link, speed };
    this.#missed = rxMissed;
    if (changed) this.#tell();
  }

  /** What a kernel would want of a device that all frames are to reach. */
  config(): NetConfig {
    return {
      up: true,
      promiscuous: true,
      allMulticast: true,
      mac: this.#mac,
      multicast: [],
      mtu: 1500,
      features: {},
    };
  }

  /**
   * Polls the driver, runs the program on what has come, and has the driver send what that returned, until there
   * is nothing to do or it is time to look at everything else. True if there is more to do at once.
   */
  poll(driver: Poll, budget: number): boolean {
    let more = driver(budget);
    for (let polls = 1; this.#forward(); polls++) {
      if (polls === POLLS) return true;
      more = driver(budget);
    }
    return more;
  }

  /** Takes what the driver has completed, and gives it what follows from that. True if it should look at it now. */
  #forward(): boolean {
    this.#takeSent();
    this.#run();
    this.#give();
    return this.#tx.unseen > 0 || this.#rx.unseen >= this.#refill;
  }

  #takeSent(): void {
    const tx = this.#tx;
    const words = tx.completions;
    const counters = this.#counters;
    for (let left = tx.completed; left > 0; left--) {
      const at = tx.reap();
      const buffer = words[at + TOKEN];
      this.#takeBack(buffer, SENDING);
      if ((words[at + LENGTH_FLAGS] & ERROR) !== 0) {
        counters[TX_DROPPED]++;
      } else {
        counters[TX_PACKETS]++;
        counters[TX_BYTES] += this.#length[buffer];
      }
    }
  }

  /** Runs the program on received frames, as many as can be sent. The others stay, and the device runs out of buffers. */
  #run(): void {
    const rx = this.#rx;
    const tx = this.#tx;
    const program = this.#program;
    const counters = this.#counters;
    const from = rx.completions;
    const to = tx.submissions;
    const frames = Math.min(rx.completed, tx.room);
    if (frames <= 0) return;
    for (let i = 0; i < frames; i++) {
      const at = rx.reap();
      const word = from[at + LENGTH_FLAGS];
      const buffer = from[at + TOKEN];
      const length = word & LENGTH_MASK;
      this.#takeBack(buffer, RECEIVING);
      const whole = !this.#amidFrame && (word & (LAST | ERROR)) === (LAST | 0);
      this.#amidFrame = (word & LAST) === 0;
      if (!whole || length > BUFFER) {
        // One that does not fit a buffer comes in several, and is counted at its end.
        if (!this.#amidFrame) counters[RX_DROPPED]++;
        continue;
      }
      counters[RX_PACKETS]++;
      counters[RX_BYTES] += length;
      const send = program.frame(this.#pieces[(buffer / PIECE) | 0], (buffer % PIECE) * BUFFER, length);
      if (send === 0) continue;
      if (send !== (send | 0) || send < SHORTEST || send > BUFFER) refuse(send);
      this.#freed--;
      this.#place[buffer] = SENDING;
      this.#length[buffer] = send;
      const next = tx.submit();
      to[next + ADDRESS_LOW] = this.#low[buffer];
      to[next + ADDRESS_HIGH] = this.#high[buffer];
      to[next + LENGTH_FLAGS] = LAST | send;
      to[next + TOKEN] = buffer;
    }
    tx.show();
    if (this.#telling === undefined) this.#startTelling();
  }

  /** Gives the driver all the empty buffers that its ring has room for. */
  #give(): void {
    const rx = this.#rx;
    const words = rx.submissions;
    const count = Math.min(rx.room, this.#freed);
    if (count <= 0) return;
    for (let i = 0; i < count; i++) {
      const buffer = this.#free[--this.#freed];
      this.#place[buffer] = RECEIVING;
      const at = rx.submit();
      words[at + ADDRESS_LOW] = this.#low[buffer];
      words[at + ADDRESS_HIGH] = this.#high[buffer];
      words[at + LENGTH_FLAGS] = BUFFER;
      words[at + TOKEN] = buffer;
    }
    rx.show();
  }

  /** A buffer comes back from the driver. */
  #takeBack(buffer: number, place: number): void {
    // What is no number of a buffer is nowhere.
    if (this.#place[buffer] !== place) {
      throw new DeviceError(
        `Cannot take back buffer ${buffer}: the driver completed it and did not have it to ${
          place === SENDING ? "send" : "receive in"
        }`,
      );
    }
    this.#place[buffer] = HERE;
    this.#free[this.#freed++] = buffer;
  }

  /** Its own function: one that makes a closure makes an object each time it is called. */
  #startTelling(): void {
    this.#telling = every(1000, () => this.#tellWhileBusy());
  }

  /** Tells, and ends that after a second without a frame: a driver with nothing to do is not woken. */
  #tellWhileBusy(): void {
    const counted = this.#counters[RX_PACKETS];
    if (counted === this.#told) {
      this.#telling?.[Symbol.dispose]();
      this.#telling = undefined;
    }
    this.#told = counted;
    this.#tell();
  }

  #tell(): void {
    const counters = this.#counters;
    this.#onTraffic({
      type: "traffic",
      link: this.#link,
      counters: {
        rxPackets: counters[RX_PACKETS],
        rxBytes: counters[RX_BYTES],
        rxDropped: counters[RX_DROPPED] + this.#missed,
        txPackets: counters[TX_PACKETS],
        txBytes: counters[TX_BYTES],
        txDropped: counters[TX_DROPPED],
      },
    });
  }
}

function refuse(send: number): never {
  throw new RangeError(
    `Cannot send ${send} bytes: a program returns 0, or ${SHORTEST} to ${BUFFER} bytes of the frame`,
  );
}
