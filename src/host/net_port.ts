/** The network port as a driver sees it, made of a grant. */
import type { Channel } from "../driver/rings.ts";
import { type Grant, uapi } from "../kernel/mod.ts";
import type { NetAttach, NetConfig, NetFeatures, NetPort, NetReport } from "../net/contract.ts";
import { mapChannels } from "./channels.ts";

const { NET_FEATURE, NET_FLAG } = uapi;

function featureBits(features: NetFeatures): number {
  return (features.txChecksum ? NET_FEATURE.TX_CSUM : 0) | (features.tso4 ? NET_FEATURE.TSO4 : 0) |
    (features.tso6 ? NET_FEATURE.TSO6 : 0) | (features.rxChecksum ? NET_FEATURE.RX_CSUM : 0);
}

function featuresOf(bits: number): NetFeatures {
  return {
    txChecksum: (bits & NET_FEATURE.TX_CSUM) !== 0,
    tso4: (bits & NET_FEATURE.TSO4) !== 0,
    tso6: (bits & NET_FEATURE.TSO6) !== 0,
    rxChecksum: (bits & NET_FEATURE.RX_CSUM) !== 0,
  };
}

/** Maps the port's rings. Made before mapping is sealed. */
export class GrantedNetPort implements NetPort {
  readonly kind = "net";
  readonly tx: Channel;
  readonly rx: Channel;
  readonly rxBufferSize: number;
  readonly #grant: Grant;

  /** @param grant Of a network port. */
  constructor(grant: Grant) {
    this.#grant = grant;
    const channels = mapChannels(grant);
    const find = (wanted: number) => channels.find(({ kind }) => kind === wanted)!;
    this.tx = find(uapi.CHANNEL.netTx).channel;
    this.rx = find(uapi.CHANNEL.netRx).channel;
    this.rxBufferSize = find(uapi.CHANNEL.netRx).bufferSize;
  }

  attach({ mac, maxMtu, features, maxSegments }: NetAttach): void {
    this.#grant.attachNet({
      mac,
      reserved: 0,
      max_mtu: maxMtu,
      features: featureBits(features),
      max_segments: maxSegments,
    });
  }

  report(report: NetReport): void {
    this.#grant.reportNet({
      link: Number(report.link),
      speed: report.speed,
      full_duplex: Number(report.fullDuplex),
      reserved: 0,
      rx_missed: BigInt(report.rxMissed ?? 0),
      rx_crc_errors: BigInt(report.rxCrcErrors ?? 0),
      rx_length_errors: BigInt(report.rxLengthErrors ?? 0),
      collisions: BigInt(report.collisions ?? 0),
    });
  }

  /** What the kernel wants of the device, for the driver's `configure`. */
  config(): NetConfig {
    const { mac, flags, mtu, features, multicast } = this.#grant.configNet();
    return {
      up: (flags & NET_FLAG.UP) !== 0,
      promiscuous: (flags & NET_FLAG.PROMISC) !== 0,
      allMulticast: (flags & NET_FLAG.ALLMULTI) !== 0,
      mac,
      multicast,
      mtu,
      features: featuresOf(features),
    };
  }
}
