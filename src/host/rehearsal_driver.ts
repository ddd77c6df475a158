/** Drivers without a device, one of each class, which call what every driver calls. */
import {
  bit,
  bits,
  BLOCK_ERROR,
  type BlockPort,
  completeBlock,
  defineDriver,
  type Device,
  failBlock,
  LAST,
  type NetPort,
  ports,
  rc,
  type Registers,
  registers,
  requestEntries,
  ro,
  row,
  rw,
  sleep,
  struct,
  takeRequest,
  u16,
  u64,
  u8,
  until,
  wo,
  word,
} from "../driver/mod.ts";

const REG = registers({
  CONTROL: rw(0x00, { GO: bit(0), MODE: bits(3, 2) }),
  STATUS: ro(0x04, { UP: bit(1) }),
  CAUSE: rc(0x08, { LINK: bit(2) }),
  DOORBELL: wo(0x0c),
  FILTER: row(rw(0x100), { count: 16 }),
});

const PORTS = ports({ DATA: word(rw(0)), STATUS: ro(7, { BUSY: bit(7) }), COMMAND: wo(7) });

const DESCRIPTOR = struct({ address: u64, length: u16, flags: u8, status: u8, special: u16, more: u16 }, {
  size: 16,
});

async function prepare(device: Device) {
  const regs = device.bar(0, REG);
  regs.set(REG.CONTROL.GO, 1);
  regs.set(REG.CONTROL.MODE, 2);
  await sleep(0.1);
  // Memory that is zero and stays so: awaited once at once, and once after a pause.
  await until(() => !regs.has(REG.STATUS.UP), { ms: 20, what: "nothing" });
  let looks = 0;
  await until(() => regs.get(REG.STATUS.UP) === 0 && looks++ > 0, { ms: 20, what: "nothing" });
  regs.fill(REG.FILTER, 0);
  regs.write(REG.FILTER.at(1), 0);
  const { words, low } = device.dma(4 * DESCRIPTOR.size, { align: 128 });
  words[DESCRIPTOR.address.word] = low;
  device.busMaster(true);
  return regs;
}

function interrupt({ regs }: { regs: Registers }): void {
  if ((regs.read(REG.CAUSE) & REG.CAUSE.LINK.mask) !== 0) regs.write(REG.DOORBELL, 1);
}

async function bringUpNet(device: Device, port: NetPort) {
  const regs = await prepare(device);
  const features = { txChecksum: true, tso4: true, rxChecksum: true };
  port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), maxMtu: 1500, features, maxSegments: 1 });
  port.report({ link: true, speed: 1000, fullDuplex: true });
  return { regs, port };
}

/** A network card's. */
export const netDriver = defineDriver<Awaited<ReturnType<typeof bringUpNet>>>({
  class: "net",
  bringUp: bringUpNet,
  async configure({ regs }, config) {
    if (config.multicast.length === 0) regs.write(REG.DOORBELL, config.mtu);
    await sleep(0.1);
  },
  interrupt,
  poll({ port }) {
    for (const channel of [port.tx, port.rx]) {
      if (channel.available() > 0) channel.complete(channel.take(), LAST);
      channel.publish();
    }
    return false;
  },
});

async function bringUpBlock(device: Device, port: BlockPort) {
  const regs = await prepare(device);
  const io = device.ports(1, PORTS);
  io.readInto(PORTS.DATA, new Uint8Array(2));
  io.run();
  port.attach({
    sectors: 8,
    logicalBlock: 512,
    physicalBlock: 512,
    maxSectors: 8,
    maxSegments: 1,
    maxSegment: 4096,
    alignment: 4,
    depth: 1,
    queues: 1,
    features: {},
    model: "",
    serial: "",
  });
  return { regs, io, port };
}

/** A disk's. */
export const blockDriver = defineDriver<Awaited<ReturnType<typeof bringUpBlock>>>({
  class: "block",
  bringUp: bringUpBlock,
  interrupt,
  poll({ io, port }) {
    const status = io.read(PORTS.STATUS);
    io.write(PORTS.COMMAND, 0);
    io.run();
    if ((io.value(status) & PORTS.STATUS.BUSY.mask) !== 0) return true;
    for (const channel of port.queues) {
      takeRequest(channel, requestEntries(channel, channel.available()));
      completeBlock(channel, 0, 0);
      failBlock(channel, 0, BLOCK_ERROR.IO);
      channel.publish();
    }
    return false;
  },
});
