/** One channel of the controller: its ports, reset, and IDENTIFY DEVICE. */

import {
  type Device,
  DeviceError,
  type Ports,
  type ReadablePort,
  sleep,
  until,
} from "../../src/driver/mod.ts";
import { BUS_MASTER, BUS_MASTER_BAR, COMMAND, CONTROL, PACKET_SIGNATURE, TASK } from "./registers.ts";

/** What ports read as that nothing answers at; the upper bit may be pulled down. */
const FLOATING = 0xff;
const PULLED_DOWN = 0x7f;

/** Longest that a drive may take until it is ready after a reset, and to give its identity, milliseconds. */
const READY_MS = 31_000;
const IDENTIFY_MS = 5_000;

const { BSY, DRQ } = TASK.STATUS;

/** The ports of a channel share one queue with all others of the device. */
export class IdeChannel {
  readonly index: number;
  readonly task: Ports;
  readonly control: Ports;
  readonly master: Ports;
  readonly registers: typeof BUS_MASTER[number];
  /** Clears the bus master's ERROR and INTERRUPT, and leaves what says that the drives are set up. */
  acknowledge = 0;
  readonly #address: string;

  constructor(device: Device, index: 0 | 1) {
    this.index = index;
    this.task = device.ports(2 * index, TASK);
    this.control = device.ports(2 * index + 1, CONTROL);
    this.registers = BUS_MASTER[index];
    this.master = device.ports(BUS_MASTER_BAR, this.registers);
    this.#address = device.address;
  }

  /** Runs what is queued. */
  run(): void {
    this.task.run();
  }

  /** Stops the bus master and resets both drives, clause 9.2; interrupts stay off. */
  async reset(): Promise<void> {
    const { COMMAND, STATUS } = this.registers;
    const { NIEN, SRST } = CONTROL.DEVICE_CONTROL;
    this.master.write(COMMAND, 0);
    const status = this.#look(this.master, STATUS);
    this.present(status);
    this.acknowledge = status & (STATUS.CAPABLE_0.mask | STATUS.CAPABLE_1.mask) |
      STATUS.ERROR.mask | STATUS.INTERRUPT.mask;
    this.master.write(STATUS, this.acknowledge);
    this.control.write(CONTROL.DEVICE_CONTROL, SRST.mask | NIEN.mask);
    this.run();
    await sleep(0.01); // at least 5 µs
    this.control.write(CONTROL.DEVICE_CONTROL, NIEN.mask);
    this.run();
    await sleep(2);
  }

  /** Throws if what the bus master's STATUS reads as says that nothing is there: two of its bits are always 0. */
  present(status: number): void {
    if (status !== FLOATING) return;
    throw new DeviceError(
      `Cannot use ${this.#address}: the device is gone, STATUS of bus master ${this.index} reads all ones`,
    );
  }

  /** Selects a drive after a reset and waits until it is ready. What answers, and with what signature. */
  async select(drive: number): Promise<"disk" | "packet" | "none"> {
    const first = this.#look(this.control, CONTROL.ALT_STATUS);
    if (first === FLOATING || first === PULLED_DOWN) return "none";
    // The one that is selected must be ready before another one can be.
    const ready = { ms: READY_MS, what: `the drive at ${this.where(drive)} to be ready after reset` };
    await this.#idle(ready);
    this.task.write(TASK.DEVICE, deviceByte(drive));
    this.#pause();
    await this.#idle(ready);
    const mid = this.task.read(TASK.LBA_MID);
    const high = this.task.read(TASK.LBA_HIGH);
    const status = this.#look(this.control, CONTROL.ALT_STATUS);
    if ((this.task.value(mid) | this.task.value(high) << 8) === PACKET_SIGNATURE) return "packet";
    return status === 0 ? "none" : "disk"; // where there is one drive only, it answers 0 for the other
  }

  /** What the selected drive says of itself, 256 words; undefined if it does not. */
  async identify(drive: number): Promise<Uint16Array | undefined> {
    this.task.write(TASK.DEVICE, deviceByte(drive));
    this.task.write(TASK.COMMAND, COMMAND.IDENTIFY_DEVICE);
    this.#pause();
    await this.#idle({ ms: IDENTIFY_MS, what: `IDENTIFY DEVICE of the drive at ${this.where(drive)}` });
    const status = this.#look(this.task, TASK.STATUS);
    if ((status & DRQ.mask) === 0) return undefined;
    const bytes = new Uint8Array(512);
    this.task.readInto(TASK.DATA, bytes);
    this.#pause();
    if ((this.#look(this.task, TASK.STATUS) & DRQ.mask) !== 0) {
      throw new DeviceError(`Cannot use the drive at ${this.where(drive)}: its IDENTIFY data does not end`);
    }
    return new Uint16Array(bytes.buffer);
  }

  /** Lets drives interrupt. Reading STATUS has taken back what IDENTIFY DEVICE asked for. */
  enableInterrupts(): void {
    this.control.write(CONTROL.DEVICE_CONTROL, 0);
    this.run();
  }

  where(drive: number): string {
    return `channel ${this.index}, drive ${drive}`;
  }

  /** A read that takes longer than the 400 ns after which status holds. */
  #pause(): void {
    this.control.read(CONTROL.ALT_STATUS);
  }

  async #idle(options: { ms: number; what: string }): Promise<void> {
    await until(() => (this.#look(this.control, CONTROL.ALT_STATUS) & BSY.mask) === 0, options);
  }

  /** Runs what is queued, and one read after it. */
  #look(ports: Ports, port: ReadablePort): number {
    const read = ports.read(port);
    ports.run();
    return ports.value(read);
  }
}

/** Two bits are set for the sake of drives older than LBA. */
const ALWAYS = 0xa0;

/** What selects a drive, with addresses by sector. */
export function deviceByte(drive: number): number {
  return ALWAYS | TASK.DEVICE.LBA.mask | TASK.DEVICE.DEV.of(drive);
}
