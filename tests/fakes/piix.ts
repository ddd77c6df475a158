/**
 * A PIIX IDE function with its drives, written from the standards with numbers of its own. It throws at what
 * they forbid.
 */

import type { Clock } from "../../src/driver/clock.ts";
import type { BusMemory } from "./dma.ts";
import type { PortHardware } from "./ports.ts";
import type { Hardware } from "./registers.ts";

/** Bits of STATUS. */
const BSY = 0x80, DRDY = 0x40, DF = 0x20, DSC = 0x10, DRQ = 0x08, ERR = 0x01;
/** Bits of ERROR. */
export const UNC = 0x40, IDNF = 0x10, ABRT = 0x04, NM = 0x02, ICRC = 0x80;
/** Bits of DEVICE_CONTROL. */
const NIEN = 0x02, SRST = 0x04, HOB = 0x80;
/** Bits of the bus master's STATUS. */
const ACTIVE = 0x01, MASTER_ERROR = 0x02, INT = 0x04;

/** A drive is busy for so long after a reset, and with IDENTIFY, milliseconds. */
export const RESET_MS = 40;
const IDENTIFY_MS = 1;

/** What a drive is made of. */
export interface DriveOptions {
  sectors?: number;
  lba48?: boolean;
  cache?: boolean;
  fua?: boolean;
  /** A CD drive. */
  packet?: boolean;
  serial?: string;
  model?: string;
}

/** A command as the drive received it. */
export interface DriveCommand {
  code: number;
  lba: number;
  count: number;
}

/** One drive. */
export class FakeDrive {
  /** Its answer to IDENTIFY; `seal` after a change. */
  readonly identity = new Uint16Array(256);
  readonly sectors: number;
  readonly packet: boolean;
  /** By number; what is not there is zeroes. */
  readonly content = new Map<number, Uint8Array>();
  /** Bits of ERROR for a sector. */
  readonly bad = new Map<number, number>();
  readonly commands: DriveCommand[] = [];
  status = 0;
  error = 0;
  busyUntil = -Infinity;
  /** Command block registers 2 to 6 as last written, and as written before. */
  readonly now = new Uint8Array(7);
  readonly before = new Uint8Array(7);
  /** Words that IDENTIFY still has to give. */
  data: number[] = [];
  /** A transfer that waits for the bus master. */
  transfer: { lba: number; count: number; writes: boolean } | undefined;

  constructor(options: DriveOptions = {}) {
    const { sectors = 4096, lba48 = true, cache = true, fua = false, packet = false } = options;
    this.sectors = sectors;
    this.packet = packet;
    const words = this.identity;
    words[0] = 0x0040;
    this.#text(10, 10, options.serial ?? "QM00001");
    this.#text(27, 20, options.model ?? "FAKE HARDDISK");
    words[49] = 0x0300;
    words[53] = 0x0006;
    const small = Math.min(sectors, 0x0fffffff);
    words[60] = small & 0xffff;
    words[61] = small >>> 16;
    words[63] = 0x0007;
    words[82] = cache ? 0x4020 : 0x4000;
    words[83] = 0x4000 | 0x1000 | (lba48 ? 0x2400 : 0);
    words[84] = 0x4000 | (fua ? 0x0040 : 0);
    words[85] = words[82];
    words[88] = 0x203f;
    if (lba48) { for (let i = 0; i < 4; i++) words[100 + i] = Math.floor(sectors / 2 ** (16 * i)) % 2 ** 16; }
    this.seal();
  }

  /** Makes the checksum right. */
  seal(): void {
    this.identity[255] = 0xa5;
    const sum = new Uint8Array(this.identity.buffer).reduce((a, b) => a + b, 0);
    this.identity[255] |= (-sum & 0xff) << 8;
  }

  /** What a range of sectors holds. */
  read(lba: number, count: number): Uint8Array {
    const bytes = new Uint8Array(count * 512);
    for (let i = 0; i < count; i++) bytes.set(this.content.get(lba + i) ?? [], i * 512);
    return bytes;
  }

  write(lba: number, bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length / 512; i++) {
      this.content.set(lba + i, bytes.slice(i * 512, i * 512 + 512));
    }
  }

  #text(word: number, words: number, text: string): void {
    const padded = text.padEnd(words * 2);
    for (let i = 0; i < words; i++) {
      this.identity[word + i] = padded.charCodeAt(2 * i) << 8 | padded.charCodeAt(2 * i + 1);
    }
  }
}

/** Misbehaviour that a test switches on, at any time. */
export interface PiixFaults {
  /** Everything reads all ones. */
  gone?: boolean;
  /** Drives stay busy after a reset. */
  resetNeverEnds?: boolean;
  /** IDENTIFY stays busy. */
  identifyNeverEnds?: boolean;
  /** IDENTIFY gives words without end. */
  identityWithoutEnd?: boolean;
  /** Commands are not done before `finish`. */
  later?: boolean;
  /** Says that a command is done without having moved anything. */
  noTransfer?: boolean;
  /** The bus master reports an error of the bus. */
  masterError?: boolean;
  /** A command ends with DRQ set. */
  keepsAsking?: boolean;
  /** A command ends with DF set. */
  deviceFault?: boolean;
  /** So many commands end with an error on the cable. */
  cableErrors?: number;
}

/** One channel. */
class Channel {
  readonly drives: (FakeDrive | undefined)[];
  control = NIEN;
  selected = 0;
  /** INTRQ. */
  line = false;
  /** Since when SRST is set, and when it was cleared. */
  resetSince = -Infinity;
  resetEnd = -Infinity;
  command = 0;
  status = 0x60; // the firmware has set both drives up
  table = 0;

  constructor(drives: (FakeDrive | undefined)[]) {
    this.drives = drives;
  }

  get drive(): FakeDrive | undefined {
    return this.drives[this.selected];
  }
}

/** The function. BARs 0 and 2 are command blocks, 1 and 3 control blocks, 4 is the bus master. */
export class FakePiix implements PortHardware, Hardware {
  readonly faults: PiixFaults = {};
  busMaster = false;
  readonly #clock: Clock;
  readonly #bus: BusMemory;
  readonly #channels: Channel[];
  #edges = 0;

  /** @param drives Of both channels, the first of each and then the second. */
  constructor(clock: Clock, bus: BusMemory, drives: (FakeDrive | undefined)[]) {
    this.#clock = clock;
    this.#bus = bus;
    this.#channels = [0, 2].map((at) => new Channel([drives[at], drives[at + 1]]));
    // What a driver that died leaves behind: a transfer under way, interrupts on, an error.
    for (const channel of this.#channels) {
      channel.command = 0x09;
      channel.status |= ACTIVE | MASTER_ERROR | INT;
      channel.control = 0;
      channel.table = 0xdead0000;
      for (const drive of channel.drives) if (drive) drive.status = DRDY | DRQ;
    }
  }

  /** Edges of the interrupt lines since the last time, a bit each. */
  takeEdges(): number {
    const edges = this.#edges;
    this.#edges = 0;
    return edges;
  }

  /** An interrupt that nobody asked for. */
  interruptFromNowhere(channel: number): void {
    this.#edges |= 1 << channel;
  }

  /** The selected drive interrupts, with its command not done. */
  interruptEarly(channel: number): void {
    this.#interrupt(channel);
  }

  /** Ends what `faults.later` has left. */
  finish(channel: number): void {
    const { drive } = this.#channels[channel];
    if (!drive || (drive.status & (BSY | DRQ)) === 0) throw new Error("There is no command to finish");
    this.#done(channel);
  }

  /** What a channel's bus master and interrupts are set to. */
  state(channel: number): { active: boolean; interrupts: boolean; capable: number; line: boolean } {
    const { command, control, status, line } = this.#channels[channel];
    return {
      active: (command & 1) !== 0,
      interrupts: (control & NIEN) === 0,
      capable: status & 0x60,
      line,
    };
  }

  load(): number {
    throw new Error("The function has no memory");
  }

  store(): void {
    this.load();
  }

  in(bar: number, offset: number, width: number): number {
    if (this.faults.gone) return 2 ** (8 * width) - 1;
    if (bar === 4) return this.#masterIn(offset, width);
    const index = bar >> 1;
    return bar % 2 === 1 ? this.#status(index) : this.#taskIn(index, offset, width);
  }

  out(bar: number, offset: number, { width, value }: { width: number; value: number }): void {
    if (this.faults.gone) return;
    if (bar === 4) return this.#masterOut(offset, { width, value });
    if (width !== 1) throw new Error(`A write of ${width} bytes to a drive`);
    if (bar % 2 === 1) this.#control(bar >> 1, value);
    else this.#taskOut(bar >> 1, offset, value);
  }

  // ---- drives ----

  #status(index: number): number {
    const channel = this.#channels[index];
    if (channel.drives.every((drive) => !drive)) return 0xff;
    const now = this.#clock.now();
    if ((channel.control & SRST) !== 0) return BSY;
    if (now < channel.resetEnd + 2) throw new Error("Status was read within 2 ms of a reset");
    const { drive } = channel;
    if (!drive) return 0;
    return now < drive.busyUntil ? BSY | (drive.status & ~DRQ) : drive.status;
  }

  #taskIn(index: number, offset: number, width: number): number {
    const channel = this.#channels[index];
    if (offset === 7) {
      const status = this.#status(index);
      channel.line = false;
      return status;
    }
    const drive = channel.drive ?? channel.drives.find((other) => other);
    if (!drive) return 2 ** (8 * width) - 1;
    if (offset === 0) {
      if (width !== 2) throw new Error("The data register is 16 bits wide");
      if ((this.#status(index) & (BSY | DRQ)) !== DRQ) throw new Error("Data was read that is not there");
      const word = drive.data.shift()!;
      if (this.faults.identityWithoutEnd) drive.data.push(word);
      if (drive.data.length === 0) drive.status &= ~DRQ;
      return word;
    }
    if ((this.#status(index) & BSY) !== 0) {
      throw new Error(`Register ${offset} was read while the drive is busy`);
    }
    if (offset === 1) return drive.error;
    const block = (channel.control & HOB) !== 0 && offset < 6 ? drive.before : drive.now;
    return block[offset];
  }

  #taskOut(index: number, offset: number, value: number): void {
    const channel = this.#channels[index];
    channel.control &= ~HOB;
    const status = this.#status(index);
    if (status !== 0xff && (status & (BSY | DRQ)) !== 0) {
      throw new Error(`Register ${offset} was written with status 0x${status.toString(16)}`);
    }
    if (offset === 6) channel.selected = value >> 4 & 1;
    if (offset === 7) return this.#command(index, value);
    if (offset === 0) throw new Error("Nothing is written by programmed transfers");
    for (const drive of channel.drives) {
      if (!drive) continue;
      drive.before[offset] = drive.now[offset];
      drive.now[offset] = value;
    }
  }

  #control(index: number, value: number): void {
    const channel = this.#channels[index];
    const now = this.#clock.now();
    const resets = (channel.control & SRST) !== 0;
    const enabled = (channel.control & ~value & NIEN) !== 0;
    channel.control = value;
    if (enabled && channel.line) this.#signal(index);
    if ((value & SRST) !== 0) {
      if ((channel.command & 1) !== 0) throw new Error("Reset while the bus master is active");
      channel.resetSince = now;
    } else if (resets) {
      if (now - channel.resetSince < 0.005) throw new Error("Reset for less than 5 µs");
      channel.resetEnd = now;
      channel.selected = 0;
      channel.line = false;
      for (const drive of channel.drives) {
        if (!drive) continue;
        drive.status = drive.packet ? 0 : DRDY | DSC;
        drive.error = 1;
        drive.transfer = undefined;
        drive.data = [];
        drive.busyUntil = this.faults.resetNeverEnds ? Infinity : now + RESET_MS;
        drive.now.set([0, 0, 1, 1, drive.packet ? 0x14 : 0, drive.packet ? 0xeb : 0, 0]);
      }
    }
  }

  #command(index: number, code: number): void {
    const channel = this.#channels[index];
    const { drive } = channel;
    if (!drive) return;
    channel.line = false;
    const { now, before } = drive;
    const ext = [0x25, 0x35, 0x3d].includes(code);
    if ((now[6] & 0x40) === 0 && code !== 0xec) throw new Error("An address that is not one of a sector");
    const lba = ext
      ? now[3] + now[4] * 2 ** 8 + now[5] * 2 ** 16 + before[3] * 2 ** 24 + before[4] * 2 ** 32 +
        before[5] * 2 ** 40
      : now[3] + now[4] * 2 ** 8 + now[5] * 2 ** 16 + (now[6] & 15) * 2 ** 24;
    const count = ext ? (now[2] | before[2] << 8) || 65536 : now[2] || 256;
    const moves = ext || code === 0xc8 || code === 0xca;
    drive.commands.push({ code, lba: moves ? lba : 0, count: moves ? count : 0 });
    drive.error = 0;
    drive.status = DRDY | DSC;
    const has48 = (drive.identity[83] & 0x0400) !== 0;
    const known = ext || code === 0xea ? has48 : [0xc8, 0xca, 0xe7, 0xec].includes(code);
    const hasFua = (drive.identity[84] & 0x0040) !== 0;
    if (!known || (code === 0x3d && !hasFua) || drive.packet) return this.#fail(index, ABRT, lba);
    if (code === 0xec) {
      drive.data = [...drive.identity];
      drive.status |= DRQ;
      drive.busyUntil = this.faults.identifyNeverEnds ? Infinity : this.#clock.now() + IDENTIFY_MS;
      this.#interrupt(index);
      return;
    }
    drive.status |= moves ? DRQ : BSY;
    if (moves) drive.transfer = { lba, count, writes: code !== 0xc8 && code !== 0x25 };
    else if (!this.faults.later) this.#done(index);
  }

  /** The selected drive interrupts, if it may. */
  #interrupt(index: number): void {
    const channel = this.#channels[index];
    if (!channel.line) this.#signal(index);
    channel.line = true;
  }

  #signal(index: number): void {
    const channel = this.#channels[index];
    if ((channel.control & NIEN) !== 0) return;
    this.#edges |= 1 << index;
    channel.status |= INT;
  }

  #fail(index: number, error: number, lba: number): void {
    const { drive } = this.#channels[index];
    if (!drive) return;
    drive.status = DRDY | DSC | ERR;
    drive.error = error;
    drive.transfer = undefined;
    const part = (at: number) => Math.floor(lba / 2 ** at) & 0xff;
    drive.now.set([part(0), part(8), part(16), (drive.now[6] & 0xf0) | part(24) & 15], 3);
    drive.before.set([part(24), part(32), part(40)], 3);
    this.#interrupt(index);
  }

  // ---- the bus master ----

  #masterIn(offset: number, width: number): number {
    const channel = this.#channels[offset >> 3];
    switch (offset & 7) {
      case 0:
        return channel.command;
      case 2:
        return channel.status;
      case 4:
        if (width === 4) return channel.table;
    }
    throw new Error(`A read of ${width} bytes at ${offset} of the bus master`);
  }

  #masterOut(offset: number, { width, value }: { width: number; value: number }): void {
    const index = offset >> 3;
    const channel = this.#channels[index];
    switch (offset & 7) {
      case 0: {
        const started = (value & 1) !== 0 && (channel.command & 1) === 0;
        if ((channel.command & value & 1) !== 0 && value !== channel.command) {
          throw new Error("The direction changes while the bus master is active");
        }
        channel.command = value & 0x09;
        if ((value & 1) === 0) channel.status &= ~ACTIVE;
        if (started) this.#startMaster(index);
        return;
      }
      case 2:
        channel.status = (channel.status & ~(value & (MASTER_ERROR | INT)) & ~0x60) | (value & 0x60);
        return;
      case 4:
        if (width !== 4 || value % 4 !== 0) {
          throw new Error(`0x${value.toString(16)} is no address of a table`);
        }
        channel.table = value;
        return;
    }
    throw new Error(`A write of ${width} bytes at ${offset} of the bus master`);
  }

  #startMaster(index: number): void {
    const channel = this.#channels[index];
    if (!this.busMaster) throw new Error("The bus master was started while the function may not be one");
    if ((channel.status & (INT | MASTER_ERROR)) !== 0) {
      throw new Error("The bus master was started unacknowledged");
    }
    if (!channel.drive?.transfer) throw new Error("The bus master was started without a command");
    channel.status |= ACTIVE;
    if (!this.faults.later) this.#done(index);
  }

  /** Regions of the table. */
  #regions(table: number): { address: number; length: number }[] {
    const regions: { address: number; length: number }[] = [];
    for (let at = table;; at += 8) {
      if (Math.floor(at / 0x10000) !== Math.floor(table / 0x10000)) {
        throw new Error("The table crosses 64 KiB");
      }
      if (at - table >= 4096) throw new Error("The table is longer than an emulated controller reads");
      const bytes = this.#bus.reach(at, 8, false);
      const view = new DataView(bytes.buffer, bytes.byteOffset);
      const address = view.getUint32(0, true);
      const flags = view.getUint32(4, true);
      const length = (flags & 0xffff) || 0x10000;
      if (address % 2 !== 0 || length % 2 !== 0) throw new Error("A region that is not whole words");
      if ((flags & 0x7fff0000) !== 0) throw new Error("Reserved bits of a region are set");
      if (Math.floor(address / 0x10000) !== Math.floor((address + length - 1) / 0x10000)) {
        throw new Error("A region crosses 64 KiB");
      }
      regions.push({ address, length });
      if ((flags & 2 ** 31) !== 0) return regions;
    }
  }

  /** The drive does what it was told. */
  #done(index: number): void {
    const channel = this.#channels[index];
    const drive = channel.drive!;
    const { transfer } = drive;
    drive.transfer = undefined;
    drive.status = DRDY | DSC;
    if (transfer) {
      if (this.faults.masterError) {
        channel.status = (channel.status & ~ACTIVE) | MASTER_ERROR;
        return this.#interrupt(index);
      }
      if ((this.faults.cableErrors ?? 0) > 0) {
        this.faults.cableErrors!--;
        return this.#fail(index, ICRC | ABRT, transfer.lba);
      }
      const failed = this.faults.noTransfer ? undefined : this.#move(index, transfer);
      if (failed) return this.#fail(index, failed.error, failed.lba);
    }
    if (this.faults.keepsAsking) drive.status |= DRQ;
    if (this.faults.deviceFault) {
      drive.status |= DF;
      drive.error = UNC; // of no account without ERR
    }
    this.#interrupt(index);
  }

  /** Moves data between the drive and the regions, up to a sector that is bad. */
  #move(
    index: number,
    { lba, count, writes }: { lba: number; count: number; writes: boolean },
  ): { error: number; lba: number } | undefined {
    const channel = this.#channels[index];
    const drive = channel.drive!;
    if (writes === ((channel.command & 8) !== 0)) throw new Error("The bus master goes the other way");
    let failed: { error: number; lba: number } | undefined;
    for (let i = 0; i < count && !failed; i++) {
      const error = lba + i >= drive.sectors ? IDNF : drive.bad.get(lba + i);
      if (error !== undefined) failed = { error, lba: lba + i };
    }
    const bytes = (failed ? failed.lba - lba : count) * 512;
    const regions = this.#regions(channel.table);
    const room = regions.reduce((sum, { length }) => sum + length, 0);
    if (room < bytes) throw new Error(`${room} bytes of regions for ${bytes} bytes of data`);
    const data = writes ? new Uint8Array(bytes) : drive.read(lba, bytes / 512);
    let at = 0;
    for (const { address, length } of regions) {
      const part = Math.min(length, bytes - at);
      if (part === 0) break;
      const memory = this.#bus.reach(address, part, !writes);
      if (writes) data.set(memory, at);
      else memory.set(data.subarray(at, at + part));
      at += part;
    }
    if (writes) drive.write(lba, data);
    if (room === bytes) channel.status &= ~ACTIVE;
    return failed;
  }
}
