/**
 * The data path: one command at a time, by DMA. The clauses are those of T13 1410D, the sections of the
 * bus master's programming interface, see `registers.ts`.
 */

import {
  BLOCK_ERROR,
  type Channel,
  completeBlock,
  type Device,
  DeviceError,
  type DmaMemory,
  ENTRY,
  every,
  failBlock,
  isForced,
  LENGTH_MASK,
  OPERATION,
  operationOf,
  requestEntries,
  sectorsOf,
  takeRequest,
} from "../../src/driver/mod.ts";
import { deviceByte, type IdeChannel } from "./channel.ts";
import { blockError, commandText, type Failure, failureText } from "./failure.ts";
import { type Identity, identityOf } from "./identity.ts";
import { COMMAND, CONTROL, LBA28_END, LBA28_SECTORS, PRD, REGION, TASK } from "./registers.ts";

/** Bytes of the table of regions, one for each segment. An emulated controller reads no more than a page of it. */
export const TABLE_BYTES = 4096;
export const TABLE_REGIONS = TABLE_BYTES / PRD.SIZE;

/** How often a command is begun anew after an error on the cable. */
const RETRIES = 3;
/** How often it is looked whether a command takes too long, milliseconds. */
const TICK_MS = 1000;

/** Words of the request that the drive has; `DIRECTION` is the bus master's, without data NO_DATA. */
const TOKEN = 0, SECTORS = 1, LOW = 2, HIGH = 3, CODE = 4, EXT = 5, DIRECTION = 6, RETRIED = 7, TICKS = 8;
const WORDS = 9;
const NO_DATA = 0xff;

/** Not a command: the request asks for what the drive does not do. */
const NONE = 0;

const { BSY, DRQ, ERR, DF } = TASK.STATUS;

/** The disk, its requests, and the command that it has. */
export class Disk {
  readonly #device: Device;
  readonly #channel: IdeChannel;
  readonly #drive: number;
  readonly #identity: Identity;
  readonly #queue: Channel;
  /** The table of regions, and its address. */
  readonly #table: Uint32Array;
  readonly #tableAddress: number;
  /** Longest that a command may take, in ticks. */
  readonly #patience: number;
  readonly #request: Uint32Array = new Uint32Array(WORDS);
  /** The drive has a command, or is reset because of one. */
  #busy = false;
  #resetting = false;
  /** Requests were completed and not shown yet. */
  #completed = false;
  /** Commands that failed since the last tick: the log has the first of them, and how many more. */
  #failures = 0;
  /** What ends the driver, to be thrown from where the host is told of it. */
  #failure: { error: unknown } | undefined;
  /** Ticks while there is work. */
  #ticks: Disposable | undefined;
  /** There was nothing to do at the last of them. */
  #idleTick = false;

  constructor({ device, channel, drive, identity, queue, table, seconds }: {
    device: Device;
    channel: IdeChannel;
    drive: number;
    identity: Identity;
    queue: Channel;
    table: DmaMemory;
    seconds: number;
  }) {
    this.#device = device;
    this.#channel = channel;
    this.#drive = drive;
    this.#identity = identity;
    this.#queue = queue;
    this.#table = table.words;
    this.#tableAddress = table.low;
    this.#patience = Math.ceil(seconds * 1000 / TICK_MS);
  }

  // ---- poll: requests to commands ----

  /** Begins the next request if the drive is free, in the same call as what ends the one before it. */
  poll(): boolean {
    if (this.#failure) throw this.#failure.error;
    const queue = this.#queue;
    for (let left = queue.available(); left > 0 && !this.#busy;) {
      const entries = requestEntries(queue, left);
      if (entries === 0) break; // the kernel is still submitting this one
      left -= entries;
      this.#take(entries);
    }
    this.#channel.run();
    if (this.#completed) {
      this.#completed = false;
      queue.publish();
    }
    return false;
  }

  #take(entries: number): void {
    const queue = this.#queue;
    const request = this.#request;
    const at = queue.peek(0);
    const word = queue.submissions[at + ENTRY.LENGTH_FLAGS];
    request[TOKEN] = queue.submissions[at + ENTRY.TOKEN];
    request[LOW] = queue.submissions[at + ENTRY.ADDRESS_LOW];
    request[HIGH] = queue.submissions[at + ENTRY.ADDRESS_HIGH];
    request[SECTORS] = sectorsOf(word);
    request[RETRIED] = 0;
    request[CODE] = this.#choose(word);
    if (request[CODE] === NONE) {
      this.#fail(BLOCK_ERROR.UNSUPPORTED);
    } else if (request[HIGH] * 2 ** 32 + request[LOW] + request[SECTORS] > this.#identity.sectors) {
      this.#fail(BLOCK_ERROR.IO); // an address that does not fit the command would mean another sector
    } else {
      if (request[DIRECTION] !== NO_DATA) this.#writeTable(entries);
      this.#start();
    }
    takeRequest(queue, entries);
  }

  /** The command for a request, clause 8: with 28 bits of address where they do, as they take fewer ports. */
  #choose(word: number): number {
    const request = this.#request;
    const { lba48, fua, flush, flushExt } = this.#identity;
    const read = operationOf(word) === OPERATION.READ;
    const end = request[HIGH] * 2 ** 32 + request[LOW] + request[SECTORS];
    const ext = lba48 && (end >= LBA28_END || request[SECTORS] > LBA28_SECTORS);
    request[EXT] = ext ? 1 : 0;
    request[DIRECTION] = read ? this.#channel.registers.COMMAND.TO_MEMORY.mask : 0;
    switch (operationOf(word)) {
      case OPERATION.READ:
        return ext ? COMMAND.READ_DMA_EXT : COMMAND.READ_DMA;
      case OPERATION.WRITE:
        if (!isForced(word)) return ext ? COMMAND.WRITE_DMA_EXT : COMMAND.WRITE_DMA;
        request[EXT] = 1;
        return fua ? COMMAND.WRITE_DMA_FUA_EXT : NONE;
      case OPERATION.FLUSH:
        request[DIRECTION] = NO_DATA;
        return flushExt ? COMMAND.FLUSH_CACHE_EXT : flush ? COMMAND.FLUSH_CACHE : NONE;
    }
    return NONE;
  }

  /** The segments as regions, §1.2: what is attached has each of them fit one. */
  #writeTable(entries: number): void {
    const queue = this.#queue;
    const words = queue.submissions;
    const table = this.#table;
    if (entries - 1 > TABLE_REGIONS) {
      throw new RangeError("Cannot read the ring: a request of too many segments");
    }
    let bytes = 0;
    let slot = 0;
    for (let i = 1; i < entries; i++) {
      const at = queue.peek(i);
      const low = words[at + ENTRY.ADDRESS_LOW];
      const length = words[at + ENTRY.LENGTH_FLAGS] & LENGTH_MASK;
      if (words[at + ENTRY.ADDRESS_HIGH] !== 0) {
        throw new DeviceError(
          `Cannot use ${this.#device.address}: a request lies above 4 GiB; grant it "addressBits": 32`,
        );
      }
      if (length === 0 || length > REGION - (low & (REGION - 1)) || ((low | length) & 1) !== 0) {
        throw new RangeError("Cannot read the ring: a segment is not within the limits that were given");
      }
      table[slot + PRD.ADDRESS] = low;
      table[slot + PRD.LENGTH] = length & PRD.LENGTH_MASK;
      slot += PRD.WORDS;
      bytes += length;
    }
    if (bytes !== this.#request[SECTORS] * 512) {
      throw new RangeError("Cannot read the ring: the segments of a request do not come to its length");
    }
    table[slot - PRD.WORDS + PRD.LENGTH] |= PRD.LAST;
  }

  /** Queues the command: the bus master's part of it, §3.1, around the drive's, clause 9.6. */
  #start(): void {
    const { task, master, registers, acknowledge } = this.#channel;
    const request = this.#request;
    const low = request[LOW];
    const direction = request[DIRECTION];
    master.write(registers.STATUS, acknowledge);
    if (direction === NO_DATA) {
      task.write(TASK.DEVICE, deviceByte(this.#drive));
      task.write(TASK.COMMAND, request[CODE]);
    } else {
      master.write(registers.TABLE, this.#tableAddress);
      master.write(registers.COMMAND, direction);
      if (request[EXT] === 1) {
        task.write(TASK.DEVICE, deviceByte(this.#drive));
        // Each of these holds two bytes: the one written first is the upper.
        task.write(TASK.COUNT, request[SECTORS] >>> 8);
        task.write(TASK.LBA_LOW, low >>> 24);
        task.write(TASK.LBA_MID, request[HIGH]);
        task.write(TASK.LBA_HIGH, request[HIGH] >>> 8);
      } else {
        task.write(TASK.DEVICE, deviceByte(this.#drive) | low >>> 24);
      }
      task.write(TASK.COUNT, request[SECTORS]);
      task.write(TASK.LBA_LOW, low & 0xff); // else it is boxed
      task.write(TASK.LBA_MID, low >>> 8);
      task.write(TASK.LBA_HIGH, low >>> 16);
      task.write(TASK.COMMAND, request[CODE]);
      master.write(registers.COMMAND, direction | registers.COMMAND.START.mask);
    }
    request[TICKS] = 0;
    this.#busy = true;
    if (this.#ticks === undefined) this.#watch();
  }

  /** Apart from `#start`, which would make a closure's context at each call. */
  #watch(): void {
    this.#ticks = every(TICK_MS, () => this.#tick());
  }

  // ---- interrupt: commands to completions ----

  /** The other channel's is off, and has a vector of its own. */
  interrupt(vectors: number): void {
    if ((vectors & (1 << this.#channel.index)) !== 0 && !this.#resetting) this.#look();
  }

  /** Whether the command is done; what ends it is queued, so that the next one can be begun with it. */
  #look(): void {
    const { task, control, master, registers, acknowledge } = this.#channel;
    const masterRead = master.read(registers.STATUS);
    const statusRead = control.read(CONTROL.ALT_STATUS);
    this.#channel.run();
    const found = master.value(masterRead);
    const status = control.value(statusRead);
    this.#channel.present(found);
    const { INTERRUPT, ERROR, ACTIVE } = registers.STATUS;
    // Neither the interrupt of a command that is over, nor one that came from nowhere, may end this one.
    if (this.#busy && ((found & (INTERRUPT.mask | ERROR.mask)) === 0 || (status & BSY.mask) !== 0)) return;
    master.write(registers.COMMAND, 0);
    task.read(TASK.STATUS);
    master.write(registers.STATUS, acknowledge);
    if (!this.#busy) return;
    const data = this.#request[DIRECTION] !== NO_DATA;
    // A bus master that is still active has not moved all that the request is about.
    const broken = data ? found & (ERROR.mask | ACTIVE.mask) : 0;
    if ((status & (ERR.mask | DF.mask | DRQ.mask)) !== 0 || broken !== 0) this.#failed(status, found);
    else this.#complete();
  }

  #complete(): void {
    completeBlock(this.#queue, this.#request[TOKEN], this.#request[SECTORS]);
    this.#busy = false;
    this.#completed = true;
  }

  /** @param error One of `BLOCK_ERROR`. */
  #fail(error: number): void {
    failBlock(this.#queue, this.#request[TOKEN], error);
    this.#busy = false;
    this.#completed = true;
  }

  // ---- what goes wrong ----

  /** A command ended with an error. A drive that says so is ready for the next one, clause 9.6; others are reset. */
  #failed(status: number, master: number): void {
    const said = (status & (ERR.mask | DF.mask)) !== 0 && (status & DRQ.mask) === 0;
    const failure: Failure = { ...this.#asked(), status, master, ...this.#readError() };
    const cable = said && (status & ERR.mask) !== 0 && (failure.error & TASK.ERROR.ICRC.mask) !== 0;
    if (this.#failures++ === 0) this.#device.log(failureText(failure));
    if (cable && this.#request[RETRIED]++ < RETRIES) this.#start();
    else if (said) this.#fail(blockError(failure));
    else this.#reset(blockError(failure));
  }

  #asked(): Pick<Failure, "command" | "sector" | "sectors" | "writes"> {
    const request = this.#request;
    return {
      command: request[CODE],
      sector: request[HIGH] * 2 ** 32 + request[LOW],
      sectors: request[SECTORS],
      writes: request[DIRECTION] === 0,
    };
  }

  /** The error, and the sector that it is about, clause 8: with 48 bits, DEVICE_CONTROL.HOB shows the upper bytes. */
  #readError(): { error: number; at: number } {
    const { task, control } = this.#channel;
    const ports = [TASK.LBA_LOW, TASK.LBA_MID, TASK.LBA_HIGH];
    const error = task.read(TASK.ERROR);
    const lower = ports.map((port) => task.read(port));
    const device = task.read(TASK.DEVICE);
    control.write(CONTROL.DEVICE_CONTROL, CONTROL.DEVICE_CONTROL.HOB.mask);
    const upper = ports.map((port) => task.read(port));
    control.write(CONTROL.DEVICE_CONTROL, 0);
    this.#channel.run();
    const number = (reads: number[]) =>
      reads.reduce((sum, read, i) => sum + task.value(read) * 2 ** (8 * i), 0);
    const high = this.#request[EXT] === 1 ? number(upper) : task.value(device) & 0xf;
    return { error: task.value(error), at: number(lower) + high * 2 ** 24 };
  }

  /** Looks for an interrupt that was lost, and gives up a command that takes too long; ends when nothing is to do. */
  #tick(): void {
    if (this.#failures > 1) this.#device.log(`${this.#failures - 1} more commands failed`);
    this.#failures = 0;
    if (!this.#busy) {
      if (this.#idleTick) {
        this.#ticks?.[Symbol.dispose]();
        this.#ticks = undefined;
      }
      this.#idleTick = !this.#idleTick;
      return;
    }
    this.#idleTick = false;
    if (this.#resetting || ++this.#request[TICKS] === 1) return;
    this.#look();
    if (!this.#busy) this.#device.log(`${commandText(this.#asked())}: the interrupt was lost`);
    else if (!this.#resetting && this.#request[TICKS] > this.#patience) {
      this.#device.log(
        `${commandText(this.#asked())}: no answer within ${this.#patience} s; the channel is reset`,
      );
      this.#reset(BLOCK_ERROR.TIMEOUT);
    }
  }

  /** Resets the drive. Only then is it known that the request's memory is left alone, and the request fails. */
  #reset(error: number): void {
    this.#resetting = true;
    this.#revive().then(() => {
      this.#resetting = false;
      this.#fail(error);
    }).catch((error) => this.#failure = { error });
  }

  /** @throws {DeviceError} if it does not come back as it was. */
  async #revive(): Promise<void> {
    const channel = this.#channel;
    const where = channel.where(this.#drive);
    await channel.reset();
    const words = await channel.select(this.#drive) === "disk"
      ? await channel.identify(this.#drive)
      : undefined;
    if (!words) throw new DeviceError(`Cannot use the drive at ${where}: it does not answer after a reset`);
    const { serial, sectors } = identityOf(words, where);
    if (serial !== this.#identity.serial || sectors !== this.#identity.sectors) {
      throw new DeviceError(`Cannot use the drive at ${where}: it is another one since the reset`);
    }
    channel.enableInterrupts();
  }
}
