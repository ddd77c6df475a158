/** The block port as a driver sees it, made of a grant. */
import type { BlockAttach, BlockFeatures, BlockPort } from "../block/contract.ts";
import type { Channel } from "../driver/rings.ts";
import { type Grant, uapi } from "../kernel/mod.ts";
import { mapChannels } from "./channels.ts";

const { BLOCK_ATTACH, BLOCK_FEATURE } = uapi;

function featureBits(features: BlockFeatures): number {
  return (features.cache ? BLOCK_FEATURE.CACHE : 0) | (features.fua ? BLOCK_FEATURE.FUA : 0) |
    (features.discard ? BLOCK_FEATURE.DISCARD : 0) | (features.zeroes ? BLOCK_FEATURE.ZEROES : 0) |
    (features.readOnly ? BLOCK_FEATURE.READ_ONLY : 0) |
    (features.rotational ? BLOCK_FEATURE.ROTATIONAL : 0);
}

/** Text of a device as the kernel takes it: printable ASCII, without the spaces around it, NUL padded. */
function padded(text: string, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const printable = text.replace(/[^ -~]/g, "?").trim();
  for (let i = 0; i < Math.min(printable.length, size); i++) bytes[i] = printable.charCodeAt(i);
  return bytes;
}

/** Maps the port's rings. Made before mapping is sealed. */
export class GrantedBlockPort implements BlockPort {
  readonly kind = "block";
  readonly queues: readonly Channel[];
  readonly #grant: Grant;

  /** @param grant Of a block port. */
  constructor(grant: Grant) {
    this.#grant = grant;
    this.queues = mapChannels(grant).map(({ channel }) => channel);
  }

  attach(info: BlockAttach): void {
    this.#grant.attachBlock({
      sectors: BigInt(info.sectors),
      boundary: BigInt(info.boundary ?? 0),
      logical_block: info.logicalBlock,
      physical_block: info.physicalBlock,
      max_sectors: info.maxSectors,
      max_segments: info.maxSegments,
      max_segment: info.maxSegment,
      alignment: info.alignment,
      depth: info.depth,
      queues: info.queues,
      max_discard: info.maxDiscard ?? 0,
      features: featureBits(info.features),
      model: padded(info.model, BLOCK_ATTACH.fields.model.size),
      serial: padded(info.serial, BLOCK_ATTACH.fields.serial.size),
    });
  }
}
