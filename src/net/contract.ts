import type { Device } from "../driver/device.ts";
import type { Channel } from "../driver/rings.ts";

/** What a network device can do by itself. Absent means it cannot. */
export interface NetFeatures {
  /** Inserts an Internet checksum at any offset of a frame it sends. */
  txChecksum?: boolean;
  /** Cuts a large TCP frame into segments. */
  tso4?: boolean;
  tso6?: boolean;
  /** Verifies the TCP or UDP checksum of frames it receives. */
  rxChecksum?: boolean;
}

/** What a driver says of its device when it is ready for traffic. */
export interface NetAttach {
  /** Permanent address, 6 bytes. */
  mac: Uint8Array;
  /** Largest MTU, without the Ethernet header. */
  maxMtu: number;
  features: NetFeatures;
  /** Most entries that one frame to send may consist of, 1 to 18. */
  maxSegments: number;
}

/** What the kernel wants of the device. */
export interface NetConfig {
  /** Carry traffic: the interface is up. */
  up: boolean;
  promiscuous: boolean;
  /** Receive every group; also set when there are too many to list. */
  allMulticast: boolean;
  /** Address to receive on, 6 bytes. */
  mac: Uint8Array;
  /** Groups to receive, 6 bytes each. */
  multicast: Uint8Array[];
  mtu: number;
  features: NetFeatures;
}

/** What the driver knows of its link and counts since it attached. */
export interface NetReport {
  link: boolean;
  /** Mb/s; 0 while the link is down. */
  speed: number;
  fullDuplex: boolean;
  /** Frames the device had no buffer for. */
  rxMissed?: number;
  rxCrcErrors?: number;
  rxLengthErrors?: number;
  collisions?: number;
}

/** The kernel's network interface, seen from the driver. */
export interface NetPort {
  /**
   * Frames to send. A frame is one or more submissions with one token, the last of them flagged LAST;
   * with CSUM or TSO a CONTEXT entry comes first. Complete each frame once, when the device has sent it.
   */
  readonly tx: Channel;
  /**
   * Empty receive buffers. Complete each with the length received, in the order in which they hold the
   * frame, LAST on its last; with ERROR to have the whole frame dropped.
   */
  readonly rx: Channel;
  /** Bytes that each receive buffer holds; the device must never be told more. */
  readonly rxBufferSize: number;

  /** Tells the kernel that the device is ready: once, at the end of `bringUp`. */
  attach(info: NetAttach): void;
  /** Reports link and counters; call it when the link changes, and for counters as often as they matter. */
  report(report: NetReport): void;
}

/**
 * A network driver: four verbs. The host calls `bringUp` once, `configure` after it and after every
 * change, then for ever `interrupt` when a granted vector fired and `poll` until it has no more work.
 */
export interface NetDriver<State> {
  class: "net";
  /** Interrupt vectors that it cannot do without; 1 unless said. */
  vectors?: number;
  /** Resets the device, sets up rings, and attaches. Every wait in it has a deadline. */
  bringUp(device: Device, port: NetPort): Promise<State>;
  /** Applies what the kernel wants; throws when the device cannot. */
  configure(state: State, config: NetConfig): void | Promise<void>;
  /** Takes note of why the device interrupted. `vectors` has a bit per vector. */
  interrupt(state: State, vectors: number): void;
  /** Moves at most `budget` frames each way. True if there is more to do at once. */
  poll(state: State, budget: number): boolean;
}
