/**
 * A model of the 8254x for tests, written from Intel's manual (317453) and not from the driver: offsets and
 * bits are its own. It checks what the driver does: DMA only when it masters the bus and only to what is
 * mapped, rings set up as the manual says, tails within them. What the driver gets wrong throws.
 */

import { concat } from "../../src/bytes.ts";
import type { Clock } from "../../src/driver/clock.ts";
import type { BusMemory } from "./dma.ts";
import type { Hardware } from "./registers.ts";

const CTRL = 0x0000, STATUS = 0x0008, EERD = 0x0014, MDIC = 0x0020;
const ICR = 0x00c0, ITR = 0x00c4, ICS = 0x00c8, IMS = 0x00d0, IMC = 0x00d8;
const RCTL = 0x0100, TCTL = 0x0400;
const RDBAL = 0x2800, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818;
const TDBAL = 0x3800, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818;
const CRCERRS = 0x4000, MPC = 0x4010, GPTC = 0x4080, STATISTICS_END = 0x4100;
const RXCSUM = 0x5000, MTA = 0x5200, RA = 0x5400;

const RST = 2 ** 26, SLU = 2 ** 6;
const LU = 2, FD = 1, SPEED_1000 = 2 << 6;
const RESET_MS = 0.5;
const CAUSE = { TXDW: 0x01, TXQE: 0x02, LSC: 0x04, RXDMT0: 0x10, RXO: 0x40, RXT0: 0x80 };

/** Misbehaviour that a test switches on, at any time. */
export interface Faults {
  /** CTRL.RST stays set. */
  resetNeverEnds?: boolean;
  /** EERD.DONE stays clear. */
  eepromNeverDone?: boolean;
  /** MDIC.R stays clear. */
  phyNeverReady?: boolean;
  /** MDIC.E is set. */
  phyError?: boolean;
  /** Every register reads all ones. */
  gone?: boolean;
  /** As the emulated card: a reset changes nothing. */
  resetKeepsState?: boolean;
  /** As the emulated card: reading statistics does not clear them. */
  statisticsKeep?: boolean;
  /** Nothing is sent until `transmit()` is called. */
  sendsLater?: boolean;
  /** Sent frames are never reported. */
  neverReports?: boolean;
  /** Written back instead of the length received. */
  lengthClaimed?: number;
  /** No descriptor ends a frame. */
  neverEnds?: boolean;
  /** No descriptor says that it is filled. */
  neverFilled?: boolean;
  /** Sent frames are reported, and are on no wire. */
  sendsNothing?: boolean;
  /** Stores to the tails are lost. */
  losesTails?: boolean;
}

interface Context {
  ipStart: number;
  ipOffset: number;
  ipEnd: number;
  sumStart: number;
  sumOffset: number;
  payload: number;
  header: number;
  segment: number;
  ipv4: boolean;
  tcp: boolean;
}

/** The card. Frames have no CRC here, neither those given to `receive` nor those in `wire`. */
export class Fake8254x implements Hardware {
  readonly faults: Faults = {};
  /** Set by the device's grant. */
  busMaster = false;
  /** Frames sent, as they are on the wire: segmented, checksums in place. */
  readonly wire: Uint8Array[] = [];
  /** Context descriptors processed, and stores to the tails: costs that tests put bounds to. */
  contexts = 0;
  tailStores = 0;
  /** Stores to RCTL. */
  rctlStores = 0;
  /** PHY: link partner present, and how often negotiation was restarted. */
  negotiations = 0;
  readonly eeprom = new Uint16Array(64);
  readonly #clock: Clock;
  readonly #bus: BusMemory;
  readonly #values = new Map<number, number>();
  #link = true;
  #linkLatch = true;
  #resetEnds = -Infinity;
  #parts: Uint8Array[] = [];
  #options = 0;
  #segmenting = false;
  #afterSegments = false;
  readonly #contexts: { plain?: Context; segment?: Context } = {};

  constructor(clock: Clock, bus: BusMemory, mac: number[] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]) {
    this.#clock = clock;
    this.#bus = bus;
    for (let i = 0; i < 3; i++) this.eeprom[i] = mac[2 * i] | mac[2 * i + 1] << 8;
    for (let i = 3; i < 63; i++) this.eeprom[i] = i * 0x1357;
    this.sealEeprom(0xbaba);
    this.#reset();
    // What a driver that died leaves behind.
    for (const [offset, value] of [[IMS, 0xff], [RDT, 7], [TDT, 9], [MTA + 8, 0xffff], [RA + 12, 2 ** 31]]) {
      this.#values.set(offset, value);
    }
  }

  /** Makes the EEPROM's words add up to `sum`. */
  sealEeprom(sum: number): void {
    const others = this.eeprom.subarray(0, 63).reduce((a, b) => a + b, 0);
    this.eeprom[63] = sum - others;
  }

  /** The interrupt line. */
  get interrupting(): boolean {
    return (this.#get(ICR) & this.#get(IMS)) !== 0;
  }

  /** Plugs the cable or pulls it. */
  set link(up: boolean) {
    if (up === this.#link) return;
    this.#link = up;
    if (!up) this.#linkLatch = false;
    this.#cause(CAUSE.LSC);
  }

  /** What a register holds, without side effects. */
  peek(offset: number): number {
    return this.#get(offset);
  }

  /** Adds to a statistics register. */
  count(offset: number, n: number): void {
    this.#values.set(offset, this.#get(offset) + n);
  }

  load(offset: number): number {
    if (this.faults.gone) return 0xffffffff;
    if (this.#clock.now() < this.#resetEnds - RESET_MS + 0.001) {
      throw new Error(`A load from 0x${offset.toString(16)} within a microsecond of reset`);
    }
    const value = this.#get(offset);
    switch (offset) {
      case CTRL:
        if (this.faults.resetNeverEnds && this.#resetEnds > -Infinity) return value | RST;
        return this.#clock.now() < this.#resetEnds ? value | RST : value;
      case STATUS:
        return this.#link && (this.#get(CTRL) & SLU) !== 0 ? LU | FD | SPEED_1000 : FD;
      case ICR:
        this.#values.set(ICR, 0);
        return value;
    }
    if (offset >= CRCERRS && offset < STATISTICS_END && !this.faults.statisticsKeep) {
      this.#values.set(offset, 0);
    }
    return value;
  }

  store(offset: number, value: number): void {
    if (this.faults.gone) return;
    if (this.#clock.now() < this.#resetEnds && offset !== IMC) {
      throw new Error(`A store to 0x${offset.toString(16)} while the card is in reset`);
    }
    switch (offset) {
      case CTRL:
        if ((value & RST) !== 0) return this.#startReset();
        break;
      case ICS:
        return this.#cause(value);
      case IMS:
        value |= this.#get(IMS);
        break;
      case IMC:
        offset = IMS;
        value = this.#get(IMS) & ~value;
        break;
      case EERD:
        if ((value & 1) !== 0 && !this.faults.eepromNeverDone) {
          value = (value & 0xff00) | 0x10 | this.eeprom[value >>> 8 & 0x3f] << 16;
        }
        break;
      case MDIC:
        value = this.#mdic(value);
        break;
      case RCTL:
        this.rctlStores++;
        break;
      case RDT:
      case TDT:
        this.tailStores++;
        if (this.faults.losesTails) return;
        if (value * 16 >= this.#get(offset === RDT ? RDLEN : TDLEN) && value !== 0) {
          throw new Error(`Tail ${value} lies outside its ring`);
        }
        break;
      case RDLEN:
      case TDLEN:
        if (value % 128 !== 0 || value > 65536) throw new Error(`${value} is no length of a ring`);
        break;
    }
    this.#values.set(offset, value >>> 0);
    if ((offset === TDT || offset === TCTL) && !this.faults.sendsLater) this.transmit(Infinity);
  }

  #get(offset: number): number {
    return this.#values.get(offset) ?? 0;
  }

  #cause(bits: number): void {
    this.#values.set(ICR, this.#get(ICR) | bits);
  }

  #startReset(): void {
    if (this.#get(IMS) !== 0) throw new Error("Reset with interrupts enabled");
    this.#resetEnds = this.#clock.now() + RESET_MS;
    if (this.faults.resetKeepsState) return;
    const dirty = this.#get(CTRL);
    this.#reset();
    if ((dirty & RST) !== 0) throw new Error("Reset within reset");
  }

  #reset(): void {
    this.#values.clear();
    this.#contexts.plain = this.#contexts.segment = undefined;
    const [a, b, c] = this.eeprom;
    this.#values.set(RA, (a | b << 16) >>> 0);
    this.#values.set(RA + 4, (c | 2 ** 31) >>> 0);
  }

  #mdic(value: number): number {
    if (this.faults.phyNeverReady) return value & ~(1 << 28);
    const ready = value | 1 << 28;
    if (this.faults.phyError || (value >>> 21 & 31) !== 1) return ready | 1 << 30;
    const register = value >>> 16 & 31;
    if ((value >>> 26 & 3) === 2) {
      let data = 0;
      if (register === 1) {
        data = 0x7949 | (this.#linkLatch ? 4 : 0) | (this.#link ? 0x20 : 0);
        this.#linkLatch = this.#link;
      }
      return (ready & ~0xffff) | data;
    }
    if (register === 0 && (value & 0x1200) === 0x1200) this.negotiations++;
    return ready;
  }

  // ---- receive ----

  /** A frame arrives. False if the card dropped it. `errors` and `verified` are what the card finds. */
  receive(frame: Uint8Array, options: { errors?: number; verified?: boolean } = {}): boolean {
    const rctl = this.#get(RCTL);
    if ((rctl & 2) === 0 || !this.busMaster || !this.#link || !this.#accepts(frame, rctl)) return false;
    if (frame.length + 4 > ((rctl & 0x20) !== 0 ? 16384 : 1522)) {
      this.count(0x40ac, 1);
      return false;
    }
    if ((rctl & 2 ** 26) === 0) frame = concat([frame, new Uint8Array(4)]);
    const size = (2048 >> (rctl >>> 16 & 3)) * ((rctl & 2 ** 25) !== 0 ? 16 : 1);
    if (size === 2048 * 16) throw new Error("BSIZE 0 is reserved with BSEX");
    const slots = this.#get(RDLEN) / 16;
    const needed = Math.ceil(frame.length / size);
    let head = this.#get(RDH);
    if ((this.#get(RDT) - head + slots) % slots < needed) {
      this.count(MPC, 1);
      this.#cause(CAUSE.RXO);
      return false;
    }
    for (let at = 0; at < frame.length; at += size) {
      const descriptor = this.#reach(RDBAL, head);
      const part = frame.subarray(at, at + size);
      this.#bus.reach(address(descriptor), part.length, true).set(part);
      const end = at + size >= frame.length && !this.faults.neverEnds;
      const summed = (this.#get(RXCSUM) & 0x200) !== 0 && options.verified !== undefined;
      descriptor.setUint16(8, this.faults.lengthClaimed ?? part.length, true);
      descriptor.setUint8(13, (end ? options.errors ?? 0 : 0) | (summed && !options.verified ? 0x20 : 0));
      const done = this.faults.neverFilled ? 0 : 1;
      descriptor.setUint8(12, done | (end ? 2 : 0) | (summed ? 0x20 : 4));
      head = (head + 1) % slots;
    }
    this.#values.set(RDH, head);
    this.#cause(CAUSE.RXT0);
    if ((this.#get(RDT) - head + slots) % slots <= slots / 2) this.#cause(CAUSE.RXDMT0);
    return true;
  }

  #accepts(frame: Uint8Array, rctl: number): boolean {
    const to = frame.subarray(0, 6);
    if (to.every((byte) => byte === 0xff)) return (rctl & 0x8000) !== 0;
    const group = (to[0] & 1) !== 0;
    if ((rctl & (group ? 0x10 : 0x08)) !== 0) return true;
    for (let i = 0; i < 16; i++) {
      const low = this.#get(RA + 8 * i), high = this.#get(RA + 8 * i + 4);
      const bytes = [low, low >>> 8, low >>> 16, low >>> 24, high, high >>> 8].map((byte) => byte & 0xff);
      if (high >>> 31 === 1 && bytes.every((byte, j) => byte === to[j])) return true;
    }
    if (!group) return false;
    const shift = [4, 3, 2, 0][rctl >>> 12 & 3];
    const hash = (to[5] << 8 | to[4]) >>> shift & 0xfff;
    return (this.#get(MTA + 4 * (hash >>> 5)) >>> (hash & 31) & 1) === 1;
  }

  /** A descriptor of the ring whose registers begin at `ring`. */
  #reach(ring: number, slot: number): DataView {
    if (!this.busMaster) throw new Error("DMA while bus mastering is off");
    const base = this.#get(ring) + this.#get(ring + 4) * 2 ** 32;
    const bytes = this.#bus.reach(base + slot * 16, 16, true);
    return new DataView(bytes.buffer, bytes.byteOffset, 16);
  }

  // ---- transmit ----

  /** Sends what is in the ring, up to and with `frames` ends of frames. */
  transmit(frames: number): void {
    if ((this.#get(TCTL) & 2) === 0) return;
    const slots = this.#get(TDLEN) / 16;
    let cause = 0;
    while (frames > 0 && this.#get(TDH) !== this.#get(TDT)) {
      const descriptor = this.#reach(TDBAL, this.#get(TDH));
      const command = descriptor.getUint8(11);
      if ((command & 0x20) === 0) throw new Error("A legacy descriptor");
      if ((descriptor.getUint8(10) & 0xf0) === 0x10) {
        if (this.#data(descriptor, command)) frames--;
      } else {
        this.#readContext(descriptor, command);
      }
      if ((command & 0x08) !== 0 && !this.faults.neverReports) {
        descriptor.setUint8(12, descriptor.getUint8(12) | 1);
        cause |= CAUSE.TXDW;
      }
      this.#values.set(TDH, (this.#get(TDH) + 1) % slots);
      cause |= CAUSE.TXQE;
    }
    this.#cause(cause);
  }

  #readContext(d: DataView, command: number): void {
    if (this.#parts.length > 0) throw new Error("A context within a frame");
    this.contexts++;
    this.#contexts[(command & 4) !== 0 ? "segment" : "plain"] = {
      ipStart: d.getUint8(0),
      ipOffset: d.getUint8(1),
      ipEnd: d.getUint16(2, true),
      sumStart: d.getUint8(4),
      sumOffset: d.getUint8(5),
      payload: d.getUint32(8, true) & 0xfffff,
      header: d.getUint8(13),
      segment: d.getUint16(14, true),
      ipv4: (command & 2) !== 0,
      tcp: (command & 1) !== 0,
    };
  }

  /** One data descriptor. True if it ends a frame. */
  #data(d: DataView, command: number): boolean {
    const length = d.getUint32(8, true) & 0xfffff;
    if (length === 0 || length > 16288) throw new Error(`A data descriptor of ${length} bytes`);
    if ((command & 2) === 0) throw new Error("A frame without CRC");
    if (this.#parts.length === 0) {
      this.#options = d.getUint8(13);
      this.#segmenting = (command & 4) !== 0;
    } else if (this.#segmenting !== ((command & 4) !== 0)) {
      throw new Error("TSE changes within a frame");
    }
    if (this.#segmenting && Math.ceil(length / this.#contexts.segment!.segment) > 4) {
      throw new Error("More segments in a descriptor than the card has room for");
    }
    this.#parts.push(this.#bus.reach(address(d), length, false).slice());
    if ((command & 1) === 0) return false;
    if ((this.#segmenting || this.#afterSegments) && length > 8) {
      throw new Error("Erratum: a report that comes before the end of the frame was fetched");
    }
    this.#afterSegments = this.#segmenting;
    const frame = concat(this.#parts);
    this.#parts = [];
    if (this.#segmenting) this.#cut(frame);
    else this.#send(frame, this.#contexts.plain);
    return true;
  }

  #cut(frame: Uint8Array): void {
    const context = this.#contexts.segment!;
    const { header, segment, payload } = context;
    if (header + payload !== frame.length) throw new Error("PAYLEN is not the payload's length");
    for (let at = 0, i = 0; at < payload; at += segment, i++) {
      const packet = concat([frame.subarray(0, header), frame.subarray(header + at, header + at + segment)]);
      const view = new DataView(packet.buffer);
      const ip = context.ipStart;
      if (!context.ipv4 || !context.tcp) throw new Error("Segments of what is not TCP over IPv4");
      view.setUint16(ip + 2, packet.length - ip);
      view.setUint16(ip + 4, view.getUint16(ip + 4) + i);
      view.setUint32(context.sumStart + 4, view.getUint32(context.sumStart + 4) + at);
      if (at + segment < payload) packet[context.sumStart + 13] &= ~0x09; // FIN and PSH are for the last
      const sum = view.getUint16(context.sumOffset) + packet.length - context.sumStart;
      view.setUint16(context.sumOffset, (sum & 0xffff) + (sum >>> 16));
      this.#send(packet, context);
    }
  }

  #send(frame: Uint8Array, context: Context | undefined): void {
    if (this.faults.sendsNothing) return;
    this.count(GPTC, 1);
    if ((this.#options & 2) !== 0) insert(frame, context!.sumStart, context!.sumOffset, frame.length);
    if ((this.#options & 1) !== 0) insert(frame, context!.ipStart, context!.ipOffset, context!.ipEnd + 1);
    this.wire.push(frame);
  }

  /** ITR, for tests of the option. */
  get throttle(): number {
    return this.#get(ITR);
  }
}

function address(descriptor: DataView): number {
  return descriptor.getUint32(0, true) + descriptor.getUint32(4, true) * 2 ** 32;
}

/** Sums `start` to `end`, and puts the Internet checksum at `offset`. */
function insert(frame: Uint8Array, start: number, offset: number, end: number): void {
  new DataView(frame.buffer, frame.byteOffset).setUint16(
    offset,
    ~internetSum(frame.subarray(start, end)) & 0xffff,
  );
}

/** The sum that Internet checksums are the complement of, RFC 1071. */
export function internetSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i++) sum += (i & 1) === 0 ? bytes[i] << 8 : bytes[i];
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return sum;
}
