/**
 * Intel 82540EM (8086:100e) and 82545EM (8086:100f). Section numbers are those of Intel's "PCI/PCI-X Family
 * of Gigabit Ethernet Controllers Software Developer's Manual" (317453).
 */

import {
  defineDriver,
  type Device,
  DeviceError,
  every,
  type NetConfig,
  type NetPort,
  type Register,
  type Registers,
  sleep,
  until,
} from "../../src/driver/mod.ts";
import { Counter } from "./counter.ts";
import { ReceiveRing } from "./receive.ts";
import { EEPROM, MDIC_OP, PHY, REG, RX_DESC, RX_SIZES, TX_DESC } from "./registers.ts";
import { ALL, BUDGET, TransmitRing, WAIT } from "./transmit.ts";

/** What a register of a device that is no longer there reads as. */
const GONE = 0xffffffff;
/** Ethernet header, and a VLAN tag that may come with it. */
const FRAME_OVERHEAD = 14 + 4;
/** Causes of an interrupt, §13.4.17. */
const LSC = REG.ICR.LSC.mask;
const TXDW = REG.IMS.TXDW.mask;
/** STATUS.SPEED in Mb/s, §13.4.2. */
const SPEEDS = [10, 100, 1000, 1000];

interface State {
  readonly device: Device;
  readonly regs: Registers;
  readonly port: NetPort;
  readonly receiver: ReceiveRing;
  readonly sender: TransmitRing;
  readonly counters: Readonly<Record<"rxMissed" | "rxCrcErrors" | "rxLengthErrors" | "collisions", Counter>>;
  up: boolean;
  linkChanged: boolean;
  /** There was an interrupt since the last report of every second. */
  active: boolean;
  /** Reports every second; undefined while the card is idle. */
  reports: Disposable | undefined;
  /** The interrupt for sent frames is enabled. */
  sentArmed: boolean;
  /** What RCTL holds, and the part of it that never changes. */
  rctl: number;
  readonly rctlSize: number;
  /** What the MTA holds. */
  readonly groups: Uint32Array;
}

// ---- bring-up ----

/** Bring-up, §14.3 to §14.5. Bus mastering is off until the rings are in place. */
async function bringUp(device: Device, port: NetPort): Promise<State> {
  const rings = option(device, "rings", {
    fallback: 256,
    valid: (n) => n >= 64 && n <= 4096 && (n & (n - 1)) === 0,
    must: "a power of two from 64 to 4096",
  });
  const rate = option(device, "interruptsPerSecond", {
    fallback: 8000,
    valid: (n) => n === 0 || (n >= 60 && n <= 1_000_000),
    must: "0, for no limit, or from 60 to 1000000",
  });
  const size = RX_SIZES.find(({ bytes }) => bytes <= port.rxBufferSize);
  if (size === undefined) {
    throw new DeviceError(
      `Cannot use ${device.address}: receive buffers of ${port.rxBufferSize} bytes, not 256 or more`,
    );
  }

  const regs = device.bar(0, REG);
  await reset(device, regs);
  const mac = await permanentAddress(device, regs);
  regs.fill(REG.MTA, 0);
  regs.fill(REG.RAH, 0); // no address; configure() gives it one
  for (const pause of [REG.FCAL, REG.FCAH, REG.FCT, REG.FCTTV]) regs.write(pause, 0);
  regs.write(REG.ITR, rate === 0 ? 0 : Math.round(1e9 / 256 / rate));
  const memory = device.dma(rings * RX_DESC.size, { align: 128 });
  const receiver = new ReceiveRing(regs, port, { memory, bufferSize: size.bytes });
  const sender = new TransmitRing(regs, port, device.dma(rings * TX_DESC.size, { align: 128 }));
  await startLink(regs);
  device.busMaster(true);
  regs.write(REG.IMS, REG.IMS.LSC.mask | REG.IMS.RXT0.mask);

  const state: State = {
    device,
    regs,
    port,
    receiver,
    sender,
    counters: {
      rxMissed: new Counter(regs, [REG.MPC]),
      rxCrcErrors: new Counter(regs, [REG.CRCERRS]),
      rxLengthErrors: new Counter(regs, [REG.RLEC, REG.RUC, REG.ROC]),
      collisions: new Counter(regs, [REG.COLC]),
    },
    up: false,
    linkChanged: false,
    active: false,
    reports: undefined,
    sentArmed: false,
    // A reset clears RCTL on real cards and not on the emulated one, which hears nothing for a second after
    // it is written. Nothing can arrive yet either way: the ring is empty.
    rctl: regs.read(REG.RCTL),
    rctlSize: REG.RCTL.BSIZE.of(size.BSIZE) | REG.RCTL.BSEX.of(size.BSEX),
    groups: new Uint32Array(REG.MTA.length),
  };
  // No tso6: segments over IPv6 leave the emulated card with a wrong payload length.
  const features = { txChecksum: true, tso4: true, rxChecksum: true };
  port.attach({ mac, maxMtu: 9000, features, maxSegments: 18 });
  report(state);
  return state;
}

/** An integer of the manifest's `options`. */
function option(
  { options, address }: Device,
  name: string,
  rule: { fallback: number; valid: (n: number) => boolean; must: string },
): number {
  const value = options[name] ?? rule.fallback;
  if (Number.isInteger(value) && rule.valid(value as number)) return value as number;
  throw new DeviceError(
    `Cannot use ${address}: option ${name} is ${JSON.stringify(value)}, not ${rule.must}`,
  );
}

/** Interrupts off, then a full reset of the MAC, §14.3 and §13.4.1. */
async function reset(device: Device, regs: Registers): Promise<void> {
  present(device, REG.STATUS, regs.read(REG.STATUS));
  regs.write(REG.IMC, GONE);
  regs.set(REG.CTRL.RST, 1);
  // The registers rest for a microsecond, and the card takes up to 5 ms to load its EEPROM.
  await sleep(5);
  await until(() => !regs.has(REG.CTRL.RST), { ms: 20, what: "CTRL.RST to clear after reset" });
  regs.write(REG.IMC, GONE);
  present(device, REG.ICR, regs.read(REG.ICR));
}

/** Throws if `value`, read from a register that never holds all ones, says that the device is gone. */
function present(device: Device, register: Register, value: number): number {
  if (value !== GONE) return value;
  throw new DeviceError(`Cannot use ${device.address}: the device is gone, ${register.name} reads all ones`);
}

/** The address in the EEPROM, §5.6.1; where that cannot be read, the one the card loaded, §13.5.2. */
async function permanentAddress(device: Device, regs: Registers): Promise<Uint8Array> {
  const words = new Uint16Array(EEPROM.WORDS);
  try {
    await readEeprom(regs, words);
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    device.log(`${error.message}; taking the address from RAL and RAH`);
    return loadedAddress(device, regs);
  }
  const sum = words.reduce((a, b) => (a + b) & 0xffff, 0);
  if (sum !== EEPROM.SUM) {
    throw new DeviceError(
      `Cannot use ${device.address}: its EEPROM adds up to ${hex(sum)}, not ${hex(EEPROM.SUM)}`,
    );
  }
  return Uint8Array.from({ length: 6 }, (_, i) => words[i >> 1] >> ((i & 1) * 8));
}

function hex(n: number): string {
  return `0x${n.toString(16)}`;
}

/** The first words of the EEPROM, §13.4.4. */
async function readEeprom(regs: Registers, words: Uint16Array): Promise<void> {
  const { START, ADDR, DONE, DATA } = REG.EERD;
  for (let i = 0; i < words.length; i++) {
    regs.write(REG.EERD, START.mask | ADDR.of(i));
    // To await what is there already takes longer than all else here, and a recovery waits for it.
    if (!regs.has(DONE)) {
      await until(() => regs.has(DONE), { ms: 20, what: `EERD.DONE of EEPROM word ${i}` });
    }
    words[i] = regs.get(DATA);
  }
}

function loadedAddress(device: Device, regs: Registers): Uint8Array {
  const low = regs.read(REG.RAL.at(0));
  const high = regs.read(REG.RAH.at(0));
  const mac = Uint8Array.from({ length: 6 }, (_, i) => i < 4 ? low >>> (i * 8) : high >>> ((i - 4) * 8));
  if ((high & REG.RAH.at(0).AV.mask) === 0 || mac.every((byte) => byte === 0) || (mac[0] & 1) !== 0) {
    throw new DeviceError(`Cannot use ${device.address}: neither its EEPROM nor RAL and RAH hold an address`);
  }
  return mac;
}

/**
 * Link set-up with the internal PHY, §14.6 and §11.6. A link that stands is kept: whoever takes over from a
 * driver that died must not lose the seconds that negotiation takes.
 */
async function startLink(regs: Registers): Promise<void> {
  const { LRST, ASDE, SLU, ILOS, FRCSPD, FRCDPLX, VME, PHY_RST } = REG.CTRL;
  const off = LRST.mask | ILOS.mask | FRCSPD.mask | FRCDPLX.mask | VME.mask | PHY_RST.mask;
  regs.write(REG.CTRL, (regs.read(REG.CTRL) & ~off) | SLU.mask | ASDE.mask);
  // The link bit latches a loss until it is read: the second look is the present.
  await mdic(regs, MDIC_OP.READ, { reg: PHY.STATUS.REG });
  const status = await mdic(regs, MDIC_OP.READ, { reg: PHY.STATUS.REG });
  if ((status & PHY.STATUS.LINK) !== 0) return;
  await mdic(regs, MDIC_OP.WRITE, { reg: PHY.CONTROL.REG, data: PHY.CONTROL.AUTO | PHY.CONTROL.RESTART });
}

/** Reads or writes a PHY register, §13.4.6. */
async function mdic(
  regs: Registers,
  op: number,
  { reg, data = 0 }: { reg: number; data?: number },
): Promise<number> {
  const { OP, PHY: ADDRESS, REG: NUMBER, DATA } = REG.MDIC;
  regs.write(REG.MDIC, OP.of(op) | ADDRESS.of(PHY.ADDRESS) | NUMBER.of(reg) | DATA.of(data));
  await until(() => regs.has(REG.MDIC.R), { ms: 20, what: `MDIC.R of PHY register ${reg}` });
  if (regs.has(REG.MDIC.E)) throw new DeviceError(`Cannot use the PHY: MDIC.E is set for register ${reg}`);
  return regs.get(REG.MDIC.DATA);
}

// ---- configuration ----

/** Filters, frame length, and whether traffic flows, §13.4.22, §13.4.33, §13.5. */
async function configure(state: State, config: NetConfig): Promise<void> {
  const { regs } = state;
  const { EN, UPE, MPE, LPE, MO, BAM, SECRC } = REG.RCTL;
  const [a, b, c, d, e, f] = config.mac;
  regs.write(REG.RAL.at(0), a | b << 8 | c << 16 | d << 24);
  regs.write(REG.RAH.at(0), REG.RAH.at(0).AV.mask | f << 8 | e);

  const groups = new Uint32Array(state.groups.length);
  for (const group of config.multicast) {
    const hash = (group[5] << 4 | group[4] >> 4) & 0xfff; // bits 47:36, as MO says
    groups[hash >> 5] |= 1 << (hash & 31);
  }
  for (let i = 0; i < groups.length; i++) {
    if (groups[i] !== state.groups[i]) regs.write(REG.MTA.at(i), groups[i]);
  }
  state.groups.set(groups);

  state.receiver.longest = config.mtu + FRAME_OVERHEAD;
  regs.write(REG.RXCSUM, config.features.rxChecksum ? REG.RXCSUM.IPOFL.mask | REG.RXCSUM.TUOFL.mask : 0);
  let rctl = state.rctlSize | MO.of(0) | BAM.mask | SECRC.mask;
  if (config.up) rctl |= EN.mask;
  if (config.promiscuous) rctl |= UPE.mask | MPE.mask;
  if (config.allMulticast) rctl |= MPE.mask;
  if (config.mtu > 1500) rctl |= LPE.mask;
  if (rctl !== state.rctl) regs.write(REG.RCTL, rctl);
  state.rctl = rctl;

  if (config.up === state.up) return;
  state.up = config.up;
  if (config.up) state.sender.start();
  else await state.sender.stop();
}

// ---- interrupt and poll ----

/** Asks why, §13.4.17: the one register read there is per interrupt. */
function interrupt(state: State): void {
  const causes = present(state.device, REG.ICR, state.regs.read(REG.ICR));
  if ((causes & LSC) !== 0) state.linkChanged = true;
  state.active = true;
  state.reports ??= startReports(state);
}

/** Its own function: one that makes a closure makes an object each time it is called. */
function startReports(state: State): Disposable {
  return every(1000, () => reportWhileActive(state));
}

/** Reports, and ends the reports after a second without an interrupt: a driver with nothing to do is not woken. */
function reportWhileActive(state: State): void {
  report(state);
  const { receiver, sender } = state;
  if (receiver.standsStill()) {
    throw new DeviceError("Cannot receive: the card is past a buffer that is not filled, or knows of none");
  }
  if (sender.standsStill()) throw new DeviceError("Cannot send: the card is done, and a frame is not");
  if (sender.sendsNothing()) throw new DeviceError("Cannot send: frames are done, and the card counts none");
  if (!state.active) {
    state.reports?.[Symbol.dispose]();
    state.reports = undefined;
  }
  state.active = false;
}

/**
 * Receives, refills, sends, and completes what was sent. The interrupt for sent frames is enabled when the
 * first one is seen that takes longer than this: the card keeps the cause meanwhile, so none is lost.
 */
function poll(state: State, budget: number): boolean {
  const { receiver, sender } = state;
  if (state.linkChanged) {
    state.linkChanged = false;
    report(state);
  }
  const moreToReceive = receiver.receive(budget);
  receiver.refill();
  let end = ALL;
  if (state.up) end = sender.transmit(budget);
  else state.port.tx.available(); // seen, and left until the interface is up
  const freed = sender.reclaim();
  if (!state.sentArmed && sender.busy) {
    state.sentArmed = true;
    state.regs.write(REG.IMS, TXDW);
  }
  return moreToReceive || end === BUDGET || (end === WAIT && freed);
}

/** Tells the kernel of the link, §13.4.2, and of what went wrong, §13.7. */
function report({ device, regs, port, counters }: State): void {
  const status = present(device, REG.STATUS, regs.read(REG.STATUS));
  const link = (status & REG.STATUS.LU.mask) !== 0;
  port.report({
    link,
    speed: link ? SPEEDS[REG.STATUS.SPEED.from(status)] : 0,
    fullDuplex: (status & REG.STATUS.FD.mask) !== 0,
    rxMissed: counters.rxMissed.read(),
    rxCrcErrors: counters.rxCrcErrors.read(),
    rxLengthErrors: counters.rxLengthErrors.read(),
    collisions: counters.collisions.read(),
  });
}

export default defineDriver({ class: "net", bringUp, configure, interrupt, poll });
