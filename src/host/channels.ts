/** The rings of a granted port, mapped. */
import { Channel } from "../driver/rings.ts";
import { type Grant, uapi, WAIT_WORD } from "../kernel/mod.ts";

/** One channel of a port, and what the kernel says of it. */
export interface MappedChannel {
  /** `uapi.CHANNEL`. */
  kind: number;
  channel: Channel;
  /** Bytes that each submitted buffer holds, where submissions are buffers. */
  bufferSize: number;
}

/** Maps the channels of the grant's port, in the kernel's order. Done before mapping is sealed. */
export function mapChannels(grant: Grant): MappedChannel[] {
  const info = grant.info();
  return channelsIn(grant.map(info.port_mmap_offset, Number(info.port_mmap_length)), grant);
}

/** The same in the port's region, which is mapped. */
export function channelsIn(region: ArrayBufferLike, grant: Grant): MappedChannel[] {
  const info = grant.info();
  return info.channel.map(
    ({ kind, size, control, submissions, completions, buffer_size }, index) => ({
      kind,
      channel: new Channel({
        control: new Int32Array(region, control, uapi.CHANNEL_CONTROL.size / 4),
        submissions: new Uint32Array(region, submissions, size * 4),
        completions: new Uint32Array(region, completions, size * 4),
        kick: grant.waitWords,
        kickWord: WAIT_WORD.KICK,
        kickBit: 1 << index,
      }),
      bufferSize: buffer_size,
    }),
  );
}
