/** A driver without a device, which calls what every driver calls. */
import {
  bit,
  bits,
  defineDriver,
  type Device,
  LAST,
  type NetPort,
  rc,
  registers,
  ro,
  row,
  rw,
  sleep,
  struct,
  u16,
  u64,
  u8,
  until,
  wo,
} from "../driver/mod.ts";

const REG = registers({
  CONTROL: rw(0x00, { GO: bit(0), MODE: bits(3, 2) }),
  STATUS: ro(0x04, { UP: bit(1) }),
  CAUSE: rc(0x08, { LINK: bit(2) }),
  DOORBELL: wo(0x0c),
  FILTER: row(rw(0x100), { count: 16 }),
});

const DESCRIPTOR = struct({ address: u64, length: u16, flags: u8, status: u8, special: u16, more: u16 }, {
  size: 16,
});

async function bringUp(device: Device, port: NetPort) {
  const regs = device.bar(0, REG);
  regs.set(REG.CONTROL.GO, 1);
  regs.set(REG.CONTROL.MODE, 2);
  await sleep(0.1);
  // Memory that is zero and stays so: awaited once at once, and once after a pause.
  await until(() => !regs.has(REG.STATUS.UP), { ms: 20, what: "nothing" });
  let looks = 0;
  await until(() => regs.get(REG.STATUS.UP) === 0 && looks++ > 0, { ms: 20, what: "nothing" });
  for (let i = 0; i < REG.FILTER.length; i++) regs.write(REG.FILTER.at(i), 0);
  const { words, low } = device.dma(4 * DESCRIPTOR.size, { align: 128 });
  words[DESCRIPTOR.address.word] = low;
  device.busMaster(true);
  const features = { txChecksum: true, tso4: true, rxChecksum: true };
  port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), maxMtu: 1500, features, maxSegments: 1 });
  port.report({ link: true, speed: 1000, fullDuplex: true });
  return { regs, port };
}

type State = Awaited<ReturnType<typeof bringUp>>;

export default defineDriver<State>({
  class: "net",
  bringUp,
  async configure({ regs }, config) {
    if (config.multicast.length === 0) regs.write(REG.DOORBELL, config.mtu);
    await sleep(0.1);
  },
  interrupt({ regs }) {
    if ((regs.read(REG.CAUSE) & REG.CAUSE.LINK.mask) !== 0) regs.write(REG.DOORBELL, 1);
  },
  poll({ port }) {
    for (const channel of [port.tx, port.rx]) {
      if (channel.available() > 0) channel.complete(channel.take(), LAST);
      channel.publish();
    }
    return false;
  },
});
