/**
 * NVMe controllers: the first active namespace is the disk. Section numbers are those of "NVM Express Base
 * Specification", revision 1.4.
 */

import {
  type BlockPort,
  defineDriver,
  type Device,
  DeviceError,
  every,
  type Registers,
  until,
} from "../../src/driver/mod.ts";
import { controllerIdentity, namespaceIdentity } from "./identify.ts";
import { AdminQueue, QueuePair } from "./queue.ts";
import {
  ADMIN,
  CNS,
  COMMAND,
  COMPLETION,
  type Doorbells,
  doorbells,
  FEATURE_QUEUES,
  IDENTIFY_BYTES,
  PAGE,
  QUEUE,
  REG,
} from "./registers.ts";
import { LARGEST, LIST_BYTES, MOST_SEGMENTS, RequestQueue } from "./requests.ts";

/** What a register of a device that is no longer there reads as. */
const GONE = 0xffffffff;
/** Entries of the admin queues. */
const ADMIN_ENTRIES = 16;
/** While commands are under way, whether the controller still works is looked at this often, milliseconds. */
const LOOK_MS = 500;
/** Most blocks of WRITE_ZEROES, §6.16, and most sectors that a request of the port can have. */
const MOST_BLOCKS = 65536;
const MOST_SECTORS = 2 ** 20 - 1;
/** Bytes of a sector, whatever the format. */
const SECTOR = 512;

interface State {
  readonly device: Device;
  readonly regs: Registers;
  readonly queues: readonly RequestQueue[];
  /** Looks after the controller; undefined while it has nothing to do. */
  watch: Disposable | undefined;
  readonly errors: Errors;
}

/** Commands that failed since the controller was last looked at: one is told of, the rest are counted. */
interface Errors {
  since: number;
}

// ---- bring-up ----

/** Bring-up, §7.6.1. */
async function bringUp(device: Device, port: BlockPort): Promise<State> {
  const wanted = entriesOption(device);
  const regs = device.bar(0, REG);
  const check = () => working(device, regs);
  const ms = await reset(device, regs);

  const entries = Math.min(wanted, 2 ** Math.floor(Math.log2(regs.get(REG.CAP.MQES) + 1)));
  const pairs = Math.min(port.queues.length, device.vectors);
  const map = doorbells({ pairs: pairs + 1, dstrd: regs.get(REG.CAP_HIGH.DSTRD) });
  const bellRegs = device.bar(0, map);
  const adminPair = makePair(device, { regs: bellRegs, map, id: 0, entries: ADMIN_ENTRIES });
  device.busMaster(true);
  await enable(device, regs, { admin: adminPair, ms });
  const admin = new AdminQueue(adminPair.pair, { check });

  const { namespace, disk, controller } = await identify(device, admin);
  const given = await admin.run({
    what: "SET FEATURES of the number of queues",
    opcode: ADMIN.SET_FEATURES,
    dword10: FEATURE_QUEUES,
    dword11: (pairs - 1) | (pairs - 1) << 16,
  });
  const served = Math.min(pairs, (given & 0xffff) + 1, (given >>> 16) + 1);
  const slots = entries - 1;
  const errors: Errors = { since: 0 };
  const queues: RequestQueue[] = [];
  for (let id = 1; id <= served; id++) {
    const made = makePair(device, { regs: bellRegs, map, id, entries });
    await createPair(admin, made, { id, entries, vector: id - 1 });
    queues.push(
      new RequestQueue({
        pair: made.pair,
        channel: port.queues[id - 1],
        slots,
        lists: device.dma(slots * LIST_BYTES, { align: PAGE }),
        namespace,
        blockShift: Math.log2(disk.block),
        onError: (text) => {
          if (errors.since++ === 0) device.log(text);
        },
      }),
    );
  }

  const bytes = Math.min(LARGEST, controller.largest);
  const trims = controller.discard || controller.zeroes;
  port.attach({
    sectors: disk.sectors,
    logicalBlock: disk.block,
    physicalBlock: disk.physicalBlock,
    maxSectors: bytes / SECTOR,
    // Each may be a command of its own.
    maxSegments: Math.min(MOST_SEGMENTS, slots, port.queues[0].size - 1),
    maxSegment: bytes,
    // Whole blocks, so that a request can be cut between any two.
    alignment: disk.block,
    depth: slots,
    queues: served,
    maxDiscard: trims ? largestTrim(disk.block) : undefined,
    features: {
      cache: controller.cache,
      fua: controller.cache,
      discard: controller.discard,
      zeroes: controller.zeroes,
      readOnly: disk.readOnly,
    },
    model: controller.model,
    serial: controller.serial,
  });
  return { device, regs, queues, watch: undefined, errors };
}

/** Sectors of the largest DISCARD or ZEROES: whole blocks. */
function largestTrim(block: number): number {
  const sectors = block / SECTOR;
  return Math.floor(Math.min(MOST_BLOCKS * sectors, MOST_SECTORS) / sectors) * sectors;
}

/** `entries` of the manifest's `options`: of each I/O queue. */
function entriesOption({ options, address }: Device): number {
  const value = options.entries ?? 128;
  if (typeof value === "number" && value >= 16 && value <= 1024 && Number.isInteger(Math.log2(value))) {
    return value;
  }
  throw new DeviceError(
    `Cannot use ${address}: option entries is ${JSON.stringify(value)}, not a power of two from 16 to 1024`,
  );
}

/** Throws if the controller has failed or is gone, §3.1.6. */
function working(device: Device, regs: Registers): void {
  const status = regs.read(REG.CSTS);
  if (status === GONE) {
    throw new DeviceError(`Cannot use ${device.address}: the device is gone, CSTS reads all ones`);
  }
  if ((status & REG.CSTS.CFS.mask) !== 0) {
    throw new DeviceError(`Cannot use ${device.address}: the controller has failed, CSTS.CFS is set`);
  }
}

/** Disables the controller, §7.3.2, and looks at what it can do. Gives its time to become ready, milliseconds. */
async function reset(device: Device, regs: Registers): Promise<number> {
  if (regs.read(REG.CSTS) === GONE) working(device, regs);
  const ms = Math.max(1, regs.get(REG.CAP.TO)) * 500;
  if (regs.has(REG.CC.EN)) {
    // It must not be disabled while it is being enabled, as the last driver may have left it.
    const settled = () => regs.has(REG.CSTS.RDY) || regs.has(REG.CSTS.CFS);
    await until(settled, { ms, what: "CSTS.RDY of a controller that was enabled" });
    regs.set(REG.CC.EN, 0);
  }
  await until(() => !regs.has(REG.CSTS.RDY), { ms, what: "CSTS.RDY to clear after reset" });
  if (!regs.has(REG.CAP_HIGH.NVM) || regs.get(REG.CAP_HIGH.MPSMIN) !== 0) {
    throw new DeviceError(
      `Cannot use ${device.address}: it has not the NVM command set, or no pages of 4 KiB`,
    );
  }
  return ms;
}

/** A pair of queues and where it is for the controller. */
interface MadePair {
  pair: QueuePair;
  submissions: { low: number; high: number };
  completions: { low: number; high: number };
}

function makePair(
  device: Device,
  { regs, map, id, entries }: { regs: Registers; map: Doorbells; id: number; entries: number },
): MadePair {
  const submissions = device.dma(entries * COMMAND.size, { align: PAGE });
  const completions = device.dma(entries * COMPLETION.size, { align: PAGE });
  const pair = new QueuePair({
    regs,
    tail: map.TAIL.at(id),
    head: map.HEAD.at(id),
    entries,
    submissions,
    completions,
  });
  return { pair, submissions, completions };
}

/** Sets the admin queues and enables the controller, §7.6.1 steps 2 to 4. */
async function enable(
  device: Device,
  regs: Registers,
  { admin, ms }: { admin: MadePair; ms: number },
): Promise<void> {
  const { ASQS, ACQS } = REG.AQA;
  regs.write(REG.AQA, ASQS.of(ADMIN_ENTRIES - 1) | ACQS.of(ADMIN_ENTRIES - 1));
  regs.write(REG.ASQ, admin.submissions.low);
  regs.write(REG.ASQ_HIGH, admin.submissions.high);
  regs.write(REG.ACQ, admin.completions.low);
  regs.write(REG.ACQ_HIGH, admin.completions.high);
  const { EN, CSS, MPS, AMS, IOSQES, IOCQES } = REG.CC;
  regs.write(
    REG.CC,
    EN.mask | CSS.of(0) | MPS.of(0) | AMS.of(0) | IOSQES.of(Math.log2(COMMAND.size)) |
      IOCQES.of(Math.log2(COMPLETION.size)),
  );
  await until(() => {
    working(device, regs);
    return regs.has(REG.CSTS.RDY);
  }, { ms, what: "CSTS.RDY after the controller was enabled" });
}

/** Creates an I/O completion queue and the submission queue that uses it, §5.3 and §5.4. */
async function createPair(
  admin: AdminQueue,
  { submissions, completions }: MadePair,
  { id, entries, vector }: { id: number; entries: number; vector: number },
): Promise<void> {
  const create = (what: string, opcode: number, { data, dword11 }: {
    data: { low: number; high: number };
    dword11: number;
  }) => admin.run({ what: `${what} ${id}`, opcode, data, dword10: (entries - 1) << 16 | id, dword11 });
  await create("CREATE I/O COMPLETION QUEUE", ADMIN.CREATE_COMPLETION_QUEUE, {
    data: completions,
    dword11: vector << 16 | QUEUE.INTERRUPTS | QUEUE.CONTIGUOUS,
  });
  await create("CREATE I/O SUBMISSION QUEUE", ADMIN.CREATE_SUBMISSION_QUEUE, {
    data: submissions,
    dword11: id << 16 | QUEUE.CONTIGUOUS,
  });
}

/** Finds the disk, §5.15. */
async function identify(device: Device, admin: AdminQueue) {
  const data = device.dma(IDENTIFY_BYTES, { align: PAGE });
  const ask = (what: string, cns: number, namespace = 0) =>
    admin.run({ what: `IDENTIFY of ${what}`, opcode: ADMIN.IDENTIFY, namespace, data, dword10: cns });
  await ask("the controller", CNS.CONTROLLER);
  const controller = controllerIdentity(data.bytes);
  await ask("active namespaces", CNS.ACTIVE_NAMESPACES);
  const namespace = data.words[0];
  if (namespace === 0) throw new DeviceError(`Cannot use ${device.address}: it has no active namespace`);
  await ask(`namespace ${namespace}`, CNS.NAMESPACE, namespace);
  const disk = namespaceIdentity(data.bytes, `namespace ${namespace} of ${device.address}`);
  return { namespace, disk, controller };
}

// ---- interrupt and poll ----

/** Nothing to ask: completions say by their phase that they are there, and taking them ends the interrupt. */
function interrupt(): void {}

/** Completes what is done and submits what there is room for. */
function poll(state: State, budget: number): boolean {
  let more = false;
  let busy = false;
  for (let i = 0; i < state.queues.length; i++) {
    const queue = state.queues[i];
    queue.reap();
    if (queue.submit(budget)) more = true;
    if (queue.busy) busy = true;
  }
  if (busy && state.watch === undefined) watch(state);
  return more;
}

/** Looks after the controller from now on. Apart from `poll`, which would make a closure's context at each call. */
function watch(state: State): void {
  state.watch = every(LOOK_MS, () => look(state));
}

/** A controller that has failed says so in no completion. One with nothing to do is not looked at. */
function look(state: State): void {
  const { device, regs, errors } = state;
  working(device, regs);
  if (errors.since > 1) device.log(`${errors.since - 1} more commands failed`);
  errors.since = 0;
  if (state.queues.some((queue) => queue.busy)) return;
  state.watch?.[Symbol.dispose]();
  state.watch = undefined;
}

export default defineDriver({ class: "block", bringUp, interrupt, poll });
