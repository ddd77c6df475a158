/** A network driver without a device, and an interface for it to serve. */
import { assert } from "@std/assert";
import { createSocket } from "node:dgram";
import { type Channel, CONTROL, ENTRY, LAST, LENGTH_MASK } from "../../../src/driver/rings.ts";
import { claimCard, eventually, grantOf, type RawClaim, type RawGrant } from "./harness.ts";

export const RING = 64;
export const MAC = new Uint8Array([0x02, 0, 0, 0, 0, 0x01]);
/** What a simple driver says of its device. */
export const ATTACH = { mac: MAC, reserved: 0, max_mtu: 1500, features: 0, max_segments: 18 };
export const REPORT = {
  link: 1,
  speed: 1000,
  full_duplex: 1,
  reserved: 0,
  rx_missed: 0n,
  rx_crc_errors: 0n,
  rx_length_errors: 0n,
  collisions: 0n,
};

/** Channel numbers of the port, and their kick bits. */
export const TX = 0;
export const RX = 1;

/** A claim with a port on it. */
export function claimWithPort({ ring = RING, name = "r3t%d" } = {}): RawClaim {
  const claim = claimCard();
  claim.portNet({ queues: 1, ring, name });
  return claim;
}

/** A frame to send: its token, its length, and the low words of its pieces' addresses. */
export interface Frame {
  token: number;
  length: number;
  addresses: number[];
}

/** A driver without a device: it takes what it is given and says what it is told to. */
export class FakeDriver implements Disposable {
  readonly grant: RawGrant;
  readonly tx: Channel;
  readonly rx: Channel;
  readonly #channels: ReturnType<RawGrant["channels"]>;
  #lied = false;

  constructor(claim: RawClaim, attach: Partial<typeof ATTACH> = {}, { stallMs = 0 } = {}) {
    this.grant = grantOf(claim, { irqs: 0, stallMs });
    this.#channels = this.grant.channels();
    [this.tx, this.rx] = [TX, RX].map((index) => this.#channels[index].channel);
    this.grant.attachNet({ ...ATTACH, ...attach });
  }

  /** Frames that the kernel wants sent. */
  takeFrames(): Frame[] {
    const frames: Frame[] = [];
    let addresses: number[] = [];
    let length = 0;
    for (let left = this.tx.available(); left > 0; left--) {
      const at = this.tx.take();
      const word = this.tx.submissions[at + ENTRY.LENGTH_FLAGS];
      length += word & LENGTH_MASK;
      addresses.push(this.tx.submissions[at + ENTRY.ADDRESS_LOW]);
      if ((word & LAST) === 0) continue;
      frames.push({ token: this.tx.submissions[at + ENTRY.TOKEN], length, addresses });
      [length, addresses] = [0, []];
    }
    return frames;
  }

  /** Tokens of the receive buffers that the kernel has posted. */
  takeBuffers(): number[] {
    return Array.from(
      { length: this.rx.available() },
      () => this.rx.submissions[this.rx.take() + ENTRY.TOKEN],
    );
  }

  /** Puts a counter where it cannot be. */
  claimCompleted(channel: number, count: number): void {
    Atomics.store(this.#channels[channel].control, CONTROL.COMPLETED, count);
    this.#lied = true;
  }

  /** Shows the kernel what has been completed, and has it look. */
  kick(): ReturnType<RawGrant["waitOnce"]> {
    // Publishing would put a counter right that a lie has put wrong.
    if (!this.#lied) {
      this.tx.publish();
      this.rx.publish();
    }
    return this.grant.waitOnce({ kick: 1 << TX | 1 << RX });
  }

  [Symbol.dispose](): void {
    this.grant[Symbol.dispose]();
  }
}

/** Runs ip(8). */
export async function ip(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ip", { args }).output();
  assert(success, new TextDecoder().decode(stderr));
}

/** A file of the interface's in sysfs. */
export async function sysfs(name: string, interfaceName = "r3t0"): Promise<string> {
  return (await Deno.readTextFile(`/sys/class/net/${interfaceName}/${name}`)).trim();
}

/** One of the interface's counters. */
export async function statistic(name: string): Promise<number> {
  return Number(await sysfs(`statistics/${name}`));
}

/** Brings the interface up, with a link and a neighbour at 10.9.9.2. */
export async function up(driver: FakeDriver): Promise<void> {
  driver.grant.reportNet(REPORT);
  await ip("address", "replace", "10.9.9.1/24", "dev", "r3t0");
  await ip("link", "set", "r3t0", "up");
  await ip("neighbour", "replace", "10.9.9.2", "lladdr", "02:00:00:00:00:02", "dev", "r3t0");
}

/** Sends datagrams to the neighbour. */
export async function send(count: number, bytes = 100): Promise<void> {
  const socket = createSocket("udp4");
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => socket.send(new Uint8Array(bytes), 9, "10.9.9.2", resolve));
  }
  socket.close();
}

/** Takes frames until there are so many. */
export async function frames(
  driver: FakeDriver,
  count: number,
): Promise<Frame[]> {
  const found: Frame[] = [];
  await eventually(() => {
    found.push(...driver.takeFrames());
    return found.length >= count;
  }, `${count} frames to send`);
  return found;
}

// Frames that no case has asked for would confuse its counting.
await Deno.writeTextFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
