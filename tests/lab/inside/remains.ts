/** What is in receive buffers: for how long it is its reader's, and that nobody else sees what is left of it. */
import { assertEquals } from "@std/assert";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { ENTRY, LAST } from "../../../src/driver/rings.ts";
import { claimWithPort, FakeDriver, MAC, up } from "./fake_driver.ts";
import { eventually, libc, library, runCases, sleep } from "./harness.ts";

/** Registers of the 8254x, manual chapter 13. */
const REG = {
  CTRL: 0x0000,
  STATUS: 0x0008,
  MDIC: 0x0020,
  RCTL: 0x0100,
  TCTL: 0x0400,
  RDBAL: 0x2800,
  RDBAH: 0x2804,
  RDLEN: 0x2808,
  RDH: 0x2810,
  RDT: 0x2818,
  TDBAL: 0x3800,
  TDBAH: 0x3804,
  TDLEN: 0x3808,
  TDH: 0x3810,
  TDT: 0x3818,
} as const;

const CTRL_RST = 1 << 26;
const STATUS_LU = 1 << 1;
/** The PHY's control register: what is sent comes back. */
const MDIC_LOOPBACK = 1 << 14 | 0 << 16 | 1 << 21 | 1 << 26;
/** Enabled, everything accepted, buffers of 2048 bytes, CRC stripped. */
const RCTL = 1 << 1 | 1 << 3 | 1 << 15 | 1 << 26;
const TCTL = 1 << 1 | 1 << 3;
/** End of packet, append the CRC, report. */
const COMMAND = 1 << 24 | 1 << 25 | 1 << 27;
const DONE = 1;

/** Descriptors in each ring; the memory below holds them, and a frame to send. */
const RING = 8;
const FRAME_AT = 4096;

/** Where datagrams are sent to. */
const PORT = 9999;
const HEADERS = 42;
const PAYLOAD = 1400;

/** A driver that has its card receive what it sends, into buffers of its choice. */
class Loopback {
  readonly driver: FakeDriver;
  readonly #registers: Uint32Array;
  readonly #words: Uint32Array;
  readonly #bytes: Uint8Array;
  readonly #bus: number;
  #turn = 0;

  private constructor(driver: FakeDriver) {
    this.driver = driver;
    this.#registers = driver.grant.registers();
    const { address, mmapOffset, length } = driver.grant.dmaAlloc(2 * FRAME_AT);
    const memory = driver.grant.view(mmapOffset, length);
    this.#words = new Uint32Array(memory);
    this.#bytes = new Uint8Array(memory);
    this.#bus = Number(address);
  }

  static async open(driver: FakeDriver): Promise<Loopback> {
    const card = new Loopback(driver);
    card.#write(REG.CTRL, CTRL_RST);
    await sleep(10);
    card.#base(REG.RDBAL, card.#bus);
    card.#base(REG.TDBAL, card.#bus + RING * 16);
    driver.grant.busMaster(true);
    card.#write(REG.MDIC, MDIC_LOOPBACK);
    card.#write(REG.RCTL, RCTL);
    card.#write(REG.TCTL, TCTL);
    await eventually(() => (card.#registers[REG.STATUS >> 2] & STATUS_LU) !== 0, "a link");
    // QEMU's card drops what comes within a second of being enabled.
    await sleep(1200);
    return card;
  }

  /** Has the card write a frame into a posted buffer. */
  async receive(address: bigint, frame: Uint8Array): Promise<void> {
    const at = this.#turn % RING;
    this.#words.set([Number(address & 0xffffffffn), Number(address >> 32n), 0, 0], at * 4);
    this.#bytes.set(frame, FRAME_AT);
    const send = this.#words.subarray((RING + at) * 4);
    send.set([(this.#bus + FRAME_AT) >>> 0, Math.floor(this.#bus / 2 ** 32), COMMAND | frame.length, 0]);
    this.#turn++;
    this.#write(REG.RDT, this.#turn % RING);
    this.#write(REG.TDT, this.#turn % RING);
    await eventually(() => (this.#words[at * 4 + 3] & DONE) !== 0, "the frame that was sent");
  }

  #write(register: number, value: number): void {
    this.#registers[register >> 2] = value;
  }

  #base(register: number, address: number): void {
    this.#write(register, address >>> 0);
    this.#write(register + 4, Math.floor(address / 2 ** 32));
    this.#write(register + 8, RING * 16);
  }
}

/** An Ethernet frame of a datagram to us. @param size Bytes of it that are there. */
function datagram(fill: number, size: number): Uint8Array {
  const frame = new Uint8Array(HEADERS + PAYLOAD).fill(fill, HEADERS);
  const view = new DataView(frame.buffer);
  frame.set(MAC, 0);
  frame.set([2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0], 6);
  view.setUint16(16, 28 + PAYLOAD);
  frame.set([64, 17, 0, 0, 10, 9, 9, 2, 10, 9, 9, 1], 22);
  let sum = 0;
  for (let at = 14; at < 34; at += 2) sum += view.getUint16(at);
  view.setUint16(24, ~((sum & 0xffff) + (sum >> 16)));
  view.setUint16(34, PORT);
  view.setUint16(36, PORT);
  view.setUint16(38, 8 + PAYLOAD);
  return frame.subarray(0, size);
}

/** Buffers that the kernel has posted: token and address of each. */
function posted({ rx }: FakeDriver): { token: number; address: bigint }[] {
  return Array.from({ length: rx.available() }, () => {
    const at = rx.take();
    const word = (field: number) => rx.submissions[at + field];
    return {
      token: word(ENTRY.TOKEN),
      address: BigInt(word(ENTRY.ADDRESS_LOW)) | BigInt(word(ENTRY.ADDRESS_HIGH)) << 32n,
    };
  });
}

/** The datagrams that a socket holds, in turn; then it is closed. */
function unread(fd: number): Uint8Array[] {
  const held: Uint8Array[] = [];
  for (;;) {
    const { result, bytes } = libc.read(fd, HEADERS + PAYLOAD);
    if (result < 0) break;
    held.push(bytes.subarray(0, result));
  }
  library.r3_close(fd);
  return held;
}

await runCases({
  "a socket has room for a burst that it does not read": async () => {
    const BURST = 60;
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    const card = await Loopback.open(driver);
    const fd = libc.datagrams(PORT);
    for (const [i, { token, address }] of posted(driver).slice(0, BURST).entries()) {
      await card.receive(address, datagram(i, HEADERS + PAYLOAD));
      driver.rx.complete(token, HEADERS + PAYLOAD | LAST);
    }
    driver.kick();
    assertEquals(unread(fd).map(([fill]) => fill), Array.from({ length: BURST }, (_, i) => i));
  },

  "what a socket has not read is not written over, and its page not used up": async () => {
    /** Of these slots of the pool what comes is for the socket; of the others nothing comes. */
    const SLOTS = 20;
    const HALF = 2048n;
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    const card = await Loopback.open(driver);
    const addresses: bigint[][] = Array.from({ length: SLOTS }, () => []);
    let sent = 0;
    const receive = async (turns: number) => {
      while (addresses.some((of) => of.length < turns)) {
        for (const { token, address } of posted(driver)) {
          const of = addresses[token & 0xffff];
          if (of && of.length < turns) {
            of.push(address);
            await card.receive(address, datagram(sent++, HEADERS + PAYLOAD));
            driver.rx.complete(token, HEADERS + PAYLOAD | LAST);
          } else driver.rx.complete(token, 0 | LAST);
        }
        driver.kick();
      }
    };
    const held = libc.datagrams(PORT, { room: 2 ** 20 });
    await receive(4);
    assertEquals(unread(held), Array.from({ length: sent }, (_, i) => new Uint8Array(PAYLOAD).fill(i)));
    for (const [first, second, third, fourth] of addresses) {
      assertEquals(second, first + HALF);
      assertEquals([third === first, third === second, third % (2n * HALF)], [false, false, 0n]);
      assertEquals(fourth, third + HALF);
    }
    await receive(6);
    for (const [, , third, , fifth, sixth] of addresses) assertEquals([fifth, sixth], [third, third]);
  },

  "a short frame that is said to be long shows nothing of the one before it in its buffer": async () => {
    using claim = claimWithPort();
    using driver = new FakeDriver(claim);
    await up(driver);
    const card = await Loopback.open(driver);
    const socket = createSocket("udp4").bind(PORT, "10.9.9.1");
    const messages: Uint8Array[] = [];
    socket.on("message", (message) => messages.push(new Uint8Array(message)));
    await once(socket, "listening");
    const received = async (count: number) => {
      for (let i = 0; i < 200 && messages.length < count; i++) await sleep(10);
      assertEquals(messages.length, count);
      return messages[count - 1];
    };
    try {
      let [first, ...rest] = posted(driver);
      await card.receive(first.address, datagram(0xa5, HEADERS + PAYLOAD));
      driver.rx.complete(first.token, HEADERS + PAYLOAD | LAST);
      driver.kick();
      assertEquals(await received(1), new Uint8Array(PAYLOAD).fill(0xa5));

      // Buffers come again in turn.
      const { address } = first;
      for (let again = false; !again;) {
        for (const { token } of rest) driver.rx.complete(token, 0 | LAST);
        driver.kick();
        rest = posted(driver);
        const found = rest.findIndex((buffer) => buffer.address === address);
        again = found >= 0;
        if (again) [first] = rest.splice(found, 1);
      }
      await card.receive(address, datagram(0x5a, 60));
      driver.rx.complete(first.token, HEADERS + PAYLOAD | LAST);
      driver.kick();
      const told = 60 - HEADERS;
      const shown = await received(2);
      assertEquals(shown.subarray(0, told), new Uint8Array(told).fill(0x5a));
      assertEquals(shown.subarray(told).every((byte) => byte === 0), true, "the rest is nobody's");
    } finally {
      socket.close();
    }
  },
});
