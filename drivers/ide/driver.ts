/**
 * Bus-master IDE of the PIIX3 (8086:7010) and PIIX4 (8086:7111): the first disk on its two channels. What sets
 * the timing is in PCI configuration space, where a driver does not reach: it uses the DMA mode that it finds.
 */

import {
  type BlockPort,
  defineDriver,
  type Device,
  DeviceError,
  type DmaMemory,
} from "../../src/driver/mod.ts";
import { IdeChannel } from "./channel.ts";
import { Disk, TABLE_BYTES, TABLE_REGIONS } from "./disk.ts";
import { type Identity, identityOf } from "./identity.ts";
import { LBA28_SECTORS, LBA48_SECTORS, REGION } from "./registers.ts";

/** Most sectors of a request: 4 MiB. */
const MAX_SECTORS = 8192;

/** Bring-up. Both channels are quiet before the bus may be mastered. */
async function bringUp(device: Device, port: BlockPort): Promise<Disk> {
  const seconds = option(device, "commandSeconds", {
    valid: (n) => n >= 1 && n <= 120,
    must: "from 1 to 120",
  }) ?? 10;
  const only = { valid: (n: number) => n === 0 || n === 1, must: "0 or 1" };
  const channel = option(device, "channel", only);
  const drive = option(device, "drive", only);

  const channels = ([0, 1] as const).filter((index) => channel === undefined || index === channel)
    .map((index) => new IdeChannel(device, index));
  for (const each of channels) await each.reset();
  const drives = drive === undefined ? [0, 1] : [drive];
  const found = await firstDisk(device, { channels, drives });
  const { identity } = found;
  if (identity.cache && !identity.flush && !identity.flushExt) {
    device.log(
      `the drive at ${
        found.channel.where(found.drive)
      } has a write cache that cannot be flushed: a loss of ` +
        "power loses what was written last",
    );
  }
  const [queue] = port.queues;
  const disk = new Disk({ ...found, device, queue, table: regionTable(device), seconds });
  found.channel.enableInterrupts();
  device.busMaster(true);
  port.attach({
    sectors: identity.sectors,
    logicalBlock: 512,
    physicalBlock: identity.physicalBlock,
    maxSectors: Math.min(MAX_SECTORS, identity.lba48 ? LBA48_SECTORS : LBA28_SECTORS),
    // Each segment is one region.
    maxSegments: Math.min(TABLE_REGIONS, queue.size - 1),
    maxSegment: REGION,
    boundary: REGION,
    alignment: 4,
    // One is the drive's; the other is begun in the call that ends it.
    depth: 2,
    queues: 1,
    features: {
      cache: identity.cache && (identity.flush || identity.flushExt),
      fua: identity.fua,
      rotational: identity.rotational,
    },
    model: identity.model,
    serial: identity.serial,
  });
  device.log(
    `${identity.model} at ${found.channel.where(found.drive)}: ${identity.sectors} sectors, ` +
      `${identity.lba48 ? 48 : 28}-bit addresses, ${identity.mode}`,
  );
  return disk;
}

/** An integer of the manifest's `options`; undefined without. */
function option(
  { options, address }: Device,
  name: string,
  rule: { valid: (n: number) => boolean; must: string },
): number | undefined {
  const value = options[name];
  if (value === undefined || (Number.isInteger(value) && rule.valid(value as number))) {
    return value as number | undefined;
  }
  throw new DeviceError(
    `Cannot use ${address}: option ${name} is ${JSON.stringify(value)}, not ${rule.must}`,
  );
}

/** A disk, and where it is. */
interface Found {
  readonly channel: IdeChannel;
  readonly drive: number;
  readonly identity: Identity;
}

async function firstDisk(
  device: Device,
  { channels, drives }: { channels: readonly IdeChannel[]; drives: readonly number[] },
): Promise<Found> {
  for (const channel of channels) {
    for (const drive of drives) {
      try {
        const what = await channel.select(drive);
        if (what === "packet") {
          device.log(`the drive at ${channel.where(drive)} takes packets: it is no disk`);
        }
        if (what !== "disk") continue;
        const words = await channel.identify(drive);
        if (words) return { channel, drive, identity: identityOf(words, channel.where(drive)) };
      } catch (error) {
        // There may be another one that can be used, if this one leaves the channel alone.
        if (!(error instanceof DeviceError)) throw error;
        device.log(error.message);
        await channel.reset();
      }
    }
  }
  const places = channels.flatMap((channel) => drives.map((drive) => channel.where(drive)));
  throw new DeviceError(
    `Cannot use ${device.address}: there is no disk that can be used at ${places.join("; ")}`,
  );
}

/** Memory for the table of regions: a page of its own crosses no multiple of 64 KiB. */
function regionTable(device: Device): DmaMemory {
  const table = device.dma(TABLE_BYTES, { align: TABLE_BYTES });
  if (table.high === 0) return table;
  throw new DeviceError(
    `Cannot use ${device.address}: its DMA memory lies above 4 GiB; grant it "addressBits": 32`,
  );
}

export default defineDriver({
  class: "block",
  vectors: 2,
  bringUp,
  interrupt: (disk: Disk, vectors) => disk.interrupt(vectors),
  poll: (disk) => disk.poll(),
});
