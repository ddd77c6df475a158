/**
 * A model of an NVMe controller for tests, written from the specification (revision 1.4) and not from the
 * driver: offsets and bits are its own. It checks what the driver does: DMA only when it masters the bus and only
 * to what is mapped, queues set up while disabled, doorbells within them. What the driver gets wrong throws.
 */

import type { Clock } from "../../src/driver/clock.ts";
import type { BusMemory } from "./dma.ts";
import type { Hardware } from "./registers.ts";

const CAP = 0x00, CAP_HIGH = 0x04, CC = 0x14, CSTS = 0x1c;
const AQA = 0x24, ASQ = 0x28, ACQ = 0x30, DOORBELLS = 0x1000;
const EN = 1, RDY = 1, CFS = 2;
const READY_MS = 2;
const PAGE = 4096;

/** Misbehaviour that a test switches on, at any time. */
export interface Faults {
  /** CSTS.RDY stays set when disabled. */
  resetNeverEnds?: boolean;
  /** CSTS.RDY stays clear when enabled. */
  neverReady?: boolean;
  /** CSTS.CFS is set. */
  fatal?: boolean;
  /** CSTS.CFS is set once enabled. */
  fatalWhenEnabled?: boolean;
  /** Every register reads all ones. */
  gone?: boolean;
  /** I/O commands are kept until `finish()`. */
  completesLater?: boolean;
  /** Admin commands are not answered. */
  neverAnswers?: boolean;
  /** Status type and code of the next I/O commands, or of admin commands by opcode. */
  status?: number;
  adminStatus?: Record<number, number>;
  /** Added to the id of each completion. */
  idOffset?: number;
  /** Each completion comes twice. */
  twice?: boolean;
}

/** What the controller is. */
export interface NvmeOptions {
  blockBytes?: number;
  blocks?: number;
  /** MDTS. */
  mdts?: number;
  /** Most entries of a queue, less one. */
  mqes?: number;
  /** Pairs of I/O queues that it gives. */
  pairs?: number;
  dstrd?: number;
  mpsmin?: number;
  /** The first active namespace; 0: none. */
  namespace?: number;
  /** There is a volatile cache. */
  cache?: boolean;
  oncs?: number;
  metadata?: number;
  protection?: number;
  writeProtected?: boolean;
  /** NPWG; absent: not told. */
  granularity?: number;
}

/** An I/O command as the controller read it. */
export interface Command {
  queue: number;
  opcode: number;
  id: number;
  /** Block and blocks, where it has them. */
  block: number;
  blocks: number;
  fua: boolean;
}

interface Queue {
  base: number;
  entries: number;
  head: number;
  tail: number;
}

interface CompletionQueue extends Queue {
  phase: number;
  vector: number;
  interrupts: boolean;
}

/** The controller, with one namespace. */
export class FakeNvme implements Hardware {
  readonly faults: Faults = {};
  /** Set by the device's grant. */
  busMaster = false;
  /** What a read finds, and what survives a loss of power. */
  readonly disk: Uint8Array;
  readonly medium: Uint8Array;
  /** I/O commands, in the order in which they were read. */
  readonly commands: Command[] = [];
  /** Stores to the doorbells of I/O queues. */
  tailStores = 0;
  headStores = 0;
  readonly #options: Required<Omit<NvmeOptions, "granularity">> & Pick<NvmeOptions, "granularity">;
  readonly #clock: Clock;
  readonly #bus: BusMemory;
  readonly #values = new Map<number, number>();
  readonly #submissions = new Map<number, Queue>();
  readonly #completions = new Map<number, CompletionQueue>();
  readonly #cqOf = new Map<number, number>();
  /** Commands under way, by queue and id. */
  readonly #underWay = new Set<string>();
  #kept: { command: Command; entry: DataView }[] = [];
  #settles = -Infinity;

  constructor(clock: Clock, bus: BusMemory, options: NvmeOptions = {}) {
    this.#clock = clock;
    this.#bus = bus;
    this.#options = {
      blockBytes: 512,
      blocks: 4096,
      mdts: 7,
      mqes: 2047,
      pairs: 64,
      dstrd: 0,
      mpsmin: 0,
      namespace: 1,
      cache: true,
      oncs: 0x0c,
      metadata: 0,
      protection: 0,
      writeProtected: false,
      ...options,
    };
    this.disk = new Uint8Array(this.#options.blocks * this.#options.blockBytes);
    this.medium = new Uint8Array(this.disk.length);
    // What a driver that died leaves behind.
    this.#values.set(CC, 0x00460001);
    this.#values.set(AQA, 0x001f001f);
    this.#values.set(ASQ, 0xdead0000);
    this.#values.set(ACQ, 0xdeae0000);
  }

  /** Vectors of completion queues that hold something not given back: a level, as INTx would have it. */
  get vectors(): number {
    let bits = 0;
    for (const { head, tail, vector, interrupts } of this.#completions.values()) {
      if (interrupts && head !== tail) bits |= 1 << vector;
    }
    return bits;
  }

  /** What a register holds. */
  peek(offset: number): number {
    return this.#values.get(offset) ?? 0;
  }

  /** Pairs of I/O queues that there are now, and their entries. */
  get queues(): { id: number; entries: number; vector: number }[] {
    return [...this.#submissions].filter(([id]) => id > 0).map(([id, { entries }]) => ({
      id,
      entries,
      vector: this.#completions.get(this.#cqOf.get(id)!)!.vector,
    }));
  }

  load(offset: number): number {
    if (this.faults.gone) return 0xffffffff;
    const { mqes, dstrd, mpsmin } = this.#options;
    switch (offset) {
      case CAP:
        return (mqes | 1 << 16 | 4 << 24) >>> 0; // 2 s to become ready
      case CAP_HIGH:
        return dstrd | 1 << 5 | mpsmin << 16;
      case CSTS:
        return (this.#ready ? RDY : 0) | (this.#failed ? CFS : 0);
    }
    if (offset >= DOORBELLS) throw new Error("A doorbell is read");
    return this.peek(offset);
  }

  get #enabled(): boolean {
    return (this.peek(CC) & EN) !== 0;
  }

  get #failed(): boolean {
    return this.faults.fatal === true || (this.faults.fatalWhenEnabled === true && this.#enabled);
  }

  get #ready(): boolean {
    const settled = this.#clock.now() >= this.#settles;
    if (this.#enabled) return settled && !this.faults.neverReady && !this.#failed;
    return !settled || this.faults.resetNeverEnds === true;
  }

  store(offset: number, value: number): void {
    if (this.faults.gone) return;
    if (offset >= DOORBELLS) return this.#doorbell(offset, value);
    if (offset === CC) return this.#configure(value);
    if (![AQA, ASQ, ASQ + 4, ACQ, ACQ + 4].includes(offset)) {
      throw new Error(`A store to 0x${offset.toString(16)}`);
    }
    if (this.#enabled || this.#ready) throw new Error("The admin queues are set while it is enabled");
    this.#values.set(offset, value);
  }

  #configure(value: number): void {
    const enables = (value & EN) !== 0;
    if (enables === this.#enabled) throw new Error("CC is stored without a change of EN");
    if (enables === this.#ready && !this.#failed) throw new Error("EN changes before RDY has followed it");
    this.#values.set(CC, value);
    this.#settles = this.#clock.now() + READY_MS;
    this.#submissions.clear();
    this.#completions.clear();
    this.#underWay.clear();
    this.#kept = [];
    if (!enables) return;
    if ((value >>> 4 & 0x3ff) !== 0) throw new Error("CC asks for another command set, page or arbitration");
    if ((value >>> 16 & 0xff) !== 0x46) throw new Error("CC has wrong sizes of entries");
    const aqa = this.peek(AQA);
    const base = (low: number) => this.#page(this.peek(low) + this.peek(low + 4) * 2 ** 32, "an admin queue");
    this.#submissions.set(0, { base: base(ASQ), entries: (aqa & 0xfff) + 1, head: 0, tail: 0 });
    const entries = (aqa >>> 16 & 0xfff) + 1;
    this.#completions.set(0, {
      base: base(ACQ),
      entries,
      head: 0,
      tail: 0,
      phase: 1,
      vector: 0,
      interrupts: true,
    });
    this.#cqOf.set(0, 0);
  }

  #page(address: number, what: string): number {
    if (address % PAGE !== 0) throw new Error(`0x${address.toString(16)} of ${what} is not on a page`);
    return address;
  }

  #reach(address: number, length: number, write: boolean): Uint8Array {
    if (!this.busMaster) throw new Error("DMA while bus mastering is off");
    return this.#bus.reach(address, length, write);
  }

  // ---- doorbells and queues ----

  #doorbell(offset: number, value: number): void {
    if (!this.#enabled || !this.#ready) throw new Error("A doorbell of a controller that is not ready");
    const n = (offset - DOORBELLS) / (4 << this.#options.dstrd);
    const id = n >> 1;
    const queue = (n % 2 === 0 ? this.#submissions : this.#completions).get(id);
    if (!Number.isInteger(n) || queue === undefined) throw new Error(`Doorbell ${n} is of no queue`);
    if (value >= queue.entries) throw new Error(`Doorbell ${n}: ${value} lies outside the queue`);
    if (n % 2 === 1) {
      if (id > 0) this.headStores++;
      const held = (queue.tail - queue.head + queue.entries) % queue.entries;
      const given = (value - queue.head + queue.entries) % queue.entries;
      if (given > held) throw new Error("More completions are given back than there were");
      queue.head = value;
      return;
    }
    if (id > 0) this.tailStores++;
    if (value === queue.tail) throw new Error("A tail that does not move");
    queue.tail = value;
    while (queue.head !== queue.tail) {
      const bytes = this.#reach(queue.base + queue.head * 64, 64, false).slice();
      queue.head = (queue.head + 1) % queue.entries;
      this.#execute(id, new DataView(bytes.buffer));
    }
  }

  #execute(queue: number, entry: DataView): void {
    const opcode = entry.getUint8(0);
    const commandId = entry.getUint16(2, true);
    if (entry.getUint8(1) !== 0) throw new Error("A fused command, or one with SGLs");
    const key = `${queue}/${commandId}`;
    if (this.#underWay.has(key)) throw new Error(`Command ${commandId} is under way already`);
    this.#underWay.add(key);
    if (queue === 0) {
      if (this.faults.neverAnswers) return;
      const failure = this.faults.adminStatus?.[opcode];
      const { status, result } = failure !== undefined
        ? { status: failure, result: 0 }
        : this.#admin(opcode, entry);
      return this.#complete(queue, { id: commandId, status, result });
    }
    const command: Command = {
      queue,
      opcode,
      id: commandId,
      block: entry.getUint32(40, true) + entry.getUint32(44, true) * 2 ** 32,
      blocks: (entry.getUint32(48, true) & 0xffff) + 1,
      fua: (entry.getUint32(48, true) >>> 30 & 1) === 1,
    };
    this.commands.push(command);
    if (this.faults.completesLater) this.#kept.push({ command, entry });
    else this.#finish(command, entry);
  }

  /** Does the commands that were kept, all or the first `count`; the last first if `reversed`. */
  finish(options: { count?: number; reversed?: boolean } = {}): void {
    const some = this.#kept.splice(0, options.count ?? Infinity);
    for (const { command, entry } of options.reversed ? some.reverse() : some) this.#finish(command, entry);
  }

  #finish(command: Command, entry: DataView): void {
    const status = this.faults.status ?? this.#io(command, entry);
    this.#complete(command.queue, { id: command.id, status, result: 0 });
  }

  #complete(queue: number, { id, status, result }: { id: number; status: number; result: number }): void {
    this.#underWay.delete(`${queue}/${id}`);
    const to = this.#completions.get(this.#cqOf.get(queue)!)!;
    for (let i = 0; i < (this.faults.twice ? 2 : 1); i++) {
      const next = (to.tail + 1) % to.entries;
      if (next === to.head) throw new Error("The completion queue overruns");
      const bytes = this.#reach(to.base + to.tail * 16, 16, true);
      const view = new DataView(bytes.buffer, bytes.byteOffset, 16);
      view.setUint32(0, result, true);
      view.setUint16(8, this.#submissions.get(queue)!.head, true);
      view.setUint16(10, queue, true);
      view.setUint16(12, id + (this.faults.idOffset ?? 0), true);
      view.setUint16(14, to.phase | status << 1, true);
      to.tail = next;
      if (next === 0) to.phase ^= 1;
    }
  }

  // ---- admin commands ----

  #admin(opcode: number, entry: DataView): { status: number; result: number } {
    const ok = (result = 0) => ({ status: 0, result });
    const refuse = (status: number) => ({ status, result: 0 });
    const dword10 = entry.getUint32(40, true), dword11 = entry.getUint32(44, true);
    const address = entry.getUint32(24, true) + entry.getUint32(28, true) * 2 ** 32;
    const id = dword10 & 0xffff, entries = (dword10 >>> 16) + 1;
    switch (opcode) {
      case 0x06:
        this.#identify(dword10, { namespace: entry.getUint32(4, true), address });
        return ok();
      case 0x09: {
        if (dword10 !== 7) return refuse(0x002);
        const wanted = Math.max(dword11 & 0xffff, dword11 >>> 16);
        const given = Math.min(wanted, this.#options.pairs - 1);
        return ok((given | given << 16) >>> 0);
      }
      case 0x05:
        if (id === 0 || this.#completions.has(id)) return refuse(0x101);
        if (entries < 2 || entries > this.#options.mqes + 1) return refuse(0x102);
        if ((dword11 & 1) === 0) throw new Error("A queue that is not contiguous");
        this.#completions.set(id, {
          base: this.#page(address, "a completion queue"),
          entries,
          head: 0,
          tail: 0,
          phase: 1,
          vector: dword11 >>> 16,
          interrupts: (dword11 & 2) !== 0,
        });
        return ok();
      case 0x01:
        if (!this.#completions.has(dword11 >>> 16)) return refuse(0x100);
        if (id === 0 || this.#submissions.has(id)) return refuse(0x101);
        if (entries < 2 || entries > this.#options.mqes + 1) return refuse(0x102);
        this.#submissions.set(id, {
          base: this.#page(address, "a submission queue"),
          entries,
          head: 0,
          tail: 0,
        });
        this.#cqOf.set(id, dword11 >>> 16);
        return ok();
    }
    return refuse(0x001);
  }

  #identify(cns: number, { namespace, address }: { namespace: number; address: number }): void {
    const options = this.#options;
    const bytes = this.#reach(this.#page(address, "IDENTIFY's data"), 4096, true);
    const view = new DataView(bytes.buffer, bytes.byteOffset, 4096);
    bytes.fill(0);
    const text = (at: number, length: number, value: string) =>
      bytes.set(new TextEncoder().encode(value.padEnd(length)), at);
    switch (cns) {
      case 1:
        text(4, 20, "SN-0042");
        text(24, 40, "A model of a disk");
        view.setUint8(77, options.mdts);
        view.setUint16(520, options.oncs, true);
        view.setUint8(525, options.cache ? 1 : 0);
        return;
      case 2:
        view.setUint32(0, options.namespace, true);
        return;
      case 0:
        if (namespace !== options.namespace) throw new Error(`IDENTIFY of namespace ${namespace}`);
        view.setBigUint64(0, BigInt(options.blocks), true);
        view.setUint8(24, options.granularity === undefined ? 0 : 0x10);
        view.setUint8(26, 2);
        view.setUint8(29, options.protection);
        view.setUint16(64, options.granularity ?? 0, true);
        view.setUint8(99, options.writeProtected ? 1 : 0);
        view.setUint32(128 + 4 * 2, options.metadata | Math.log2(options.blockBytes) << 16, true);
        return;
    }
    throw new Error(`IDENTIFY with CNS ${cns}`);
  }

  // ---- I/O commands ----

  #io({ opcode, block, blocks, fua }: Command, entry: DataView): number {
    const { blockBytes, mdts, cache, oncs, writeProtected, namespace } = this.#options;
    if (entry.getUint32(4, true) !== namespace) return 0x00b;
    const writes = opcode !== 0x00 && opcode !== 0x02;
    if (writes && writeProtected) return 0x020;
    const bytes = blocks * blockBytes;
    const at = block * blockBytes;
    const persist = (start: number, length: number) =>
      this.medium.set(this.disk.subarray(start, start + length), start);
    switch (opcode) {
      case 0x00:
        this.medium.set(this.disk);
        return 0;
      case 0x01:
      case 0x02: {
        if (mdts > 0 && bytes > PAGE << mdts) return 0x002;
        if (at + bytes > this.disk.length) return 0x080;
        let to = at;
        for (const { address, length } of this.#pages(entry, bytes)) {
          if (opcode === 0x02) this.#reach(address, length, true).set(this.disk.subarray(to, to + length));
          else this.disk.set(this.#reach(address, length, false), to);
          to += length;
        }
        if (opcode === 0x01 && (fua || !cache)) persist(at, bytes);
        return 0;
      }
      case 0x08:
        if ((oncs & 8) === 0) return 0x001;
        if (at + bytes > this.disk.length) return 0x080;
        this.disk.fill(0, at, at + bytes);
        if (fua || !cache) persist(at, bytes);
        return 0;
      case 0x09: {
        if ((oncs & 4) === 0) return 0x001;
        if ((entry.getUint32(40, true) & 0xff) !== 0 || entry.getUint32(44, true) !== 4) {
          throw new Error("A DATASET MANAGEMENT of something else than to deallocate one range");
        }
        const [{ address }] = this.#pages(entry, 16);
        const range = this.#reach(address, 16, false);
        const view = new DataView(range.buffer, range.byteOffset, 16);
        const start = Number(view.getBigUint64(8, true)) * blockBytes;
        const length = view.getUint32(4, true) * blockBytes;
        if (start + length > this.disk.length) return 0x080;
        // Deallocated blocks of this one read as ones.
        this.disk.fill(0xff, start, start + length);
        return 0;
      }
    }
    return 0x001;
  }

  /** The pieces of memory that the PRPs of a command name, §4.3. */
  #pages(entry: DataView, bytes: number): { address: number; length: number }[] {
    const prp = (view: DataView, at: number) =>
      view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
    const first = prp(entry, 24), second = prp(entry, 32);
    if (first % 4 !== 0) throw new Error("PRP 1 is not aligned to a dword");
    const pieces = [{ address: first, length: Math.min(bytes, PAGE - first % PAGE) }];
    let left = bytes - pieces[0].length;
    if (left === 0) {
      if (second !== 0) throw new Error("PRP 2 of a command that has no need of it");
      return pieces;
    }
    if (left <= PAGE) return [...pieces, { address: this.#page(second, "PRP 2"), length: left }];
    if (second % 8 !== 0) throw new Error("A PRP list that is not aligned");
    for (let list = second; left > 0;) {
      const read = this.#reach(list, 8, false);
      const address = this.#page(prp(new DataView(read.buffer, read.byteOffset, 8), 0), "a PRP list");
      if (list % PAGE === PAGE - 8 && left > PAGE) {
        list = address; // the last of a page points to the next
        continue;
      }
      pieces.push({ address, length: Math.min(left, PAGE) });
      left -= Math.min(left, PAGE);
      list += 8;
    }
    return pieces;
  }
}
