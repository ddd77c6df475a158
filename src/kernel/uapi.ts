/** The contract of `kernel-module/uapi/ring3.h`, field for field; what each means is said there. */
import { array, bytes, chars, struct, u16, u32, u64, u8, union } from "./layout.ts";

/** Version of the contract that this tree speaks. */
export const ABI_VERSION = 3;

/** Numbers of the calls. */
export const CALL = {
  CLAIM: 0x00,
  TOTALS: 0x01,
  GRANT: 0x10,
  PORT_NET: 0x11,
  STATUS: 0x12,
  SIGNAL: 0x13,
  REVOKE: 0x14,
  CHANNELS: 0x15,
  PORT_DOWN: 0x16,
  PORT_BLOCK: 0x17,
  INFO: 0x20,
  IRQ: 0x21,
  DMA_ALLOC: 0x22,
  DMA_MAP: 0x23,
  DMA_UNMAP: 0x24,
  BUS_MASTER: 0x25,
  PORT_ATTACH: 0x26,
  PORT_CONFIG: 0x27,
  PORT_REPORT: 0x28,
  WAIT: 0x29,
  PIO: 0x2a,
} as const;

/** Kinds of interrupt, `R3_IRQ_*`. */
export const IRQ_TYPE = { none: 0, intx: 1, msi: 2, msix: 3, ide: 4 } as const;
/** Why a grant ended, `R3_END_*`. */
export const END = {
  none: 0,
  released: 1,
  revoked: 2,
  deviceLost: 3,
  protocol: 4,
  stalled: 5,
  failing: 6,
} as const;
/** Kinds of port, `R3_PORT_KIND_*`. */
export const PORT_KIND = { none: 0, net: 1, block: 2 } as const;
/** Kinds of channel, `R3_CHANNEL_*`. */
export const CHANNEL = { netTx: 1, netRx: 2, block: 3 } as const;
/** What WAIT reports, `R3_EVENT_*`. */
export const EVENT = { IRQ: 1, PORT: 2, CONFIG: 4, SIGNAL: 8, TIMEOUT: 16 } as const;
/** The longest `stall_ms`, milliseconds. */
export const MAX_STALL_MS = 600_000;
/** No time limit for WAIT. */
export const WAIT_FOREVER = 0xffffffff;
/** A window onto I/O ports, which cannot be mapped. */
export const WINDOW_IO = 1;
/** What a network device can do, `R3_NET_*`. */
export const NET_FEATURE = { TX_CSUM: 1, TSO4: 2, TSO6: 4, RX_CSUM: 8 } as const;
/** What the kernel wants of a network device, `R3_NET_*`. */
export const NET_FLAG = { UP: 1, PROMISC: 2, ALLMULTI: 4 } as const;
/** What a disk can do, and is, `R3_BLOCK_*`. */
export const BLOCK_FEATURE = {
  CACHE: 1,
  FUA: 2,
  DISCARD: 4,
  ZEROES: 8,
  READ_ONLY: 16,
  ROTATIONAL: 32,
} as const;
/** What becomes of requests when a driver has ended, `R3_BLOCK_*`. */
export const BLOCK_POLICY = { reissue: 0, fail: 1 } as const;
/** The longest time that requests may be held or kept, milliseconds. */
export const MAX_HOLD_MS = 86_400_000;
/** Most accesses of one PIO call. */
export const MAX_PIO = 64;
/** What an access to an I/O window does, `R3_PIO_*`. */
export const PIO_FLAG = { WRITE: 1, REPEAT: 2 } as const;

const head = { argsz: u32, flags: u32 };

export const CLAIM_ARGS = struct("r3_claim_args", { ...head, address: chars(16) });

export const COUNTERS = struct("r3_counters", {
  claims: u32,
  grants: u32,
  ports: u32,
  irqs: u32,
  regions: u32,
  mappings: u32,
  dma_maps: u32,
  pinned_pages: u32,
  dma_bytes: u64,
  rx_buffers: u32,
  tx_frames: u32,
});

export const TOTALS = struct("r3_totals", { ...head, abi_version: u32, reserved: u32, counters: COUNTERS });

export const WINDOW = struct("r3_window", { bar: u32, flags: u32, offset: u64, length: u64 });

export const GRANT_ARGS = struct("r3_grant_args", {
  ...head,
  windows: u32,
  irqs: u32,
  irq_type: u32,
  dma_bits: u32,
  dma_limit: u64,
  stall_ms: u32,
  reserved: u32,
  window: array(WINDOW, 8),
});

export const PORT_NET = struct("r3_port_net", { ...head, queues: u32, ring_size: u32, name: chars(16) });

export const PORT_BLOCK = struct("r3_port_block", {
  ...head,
  queues: u32,
  ring_size: u32,
  policy: u32,
  hold_ms: u32,
  request_ms: u32,
  reserved: u32,
  name: chars(16),
});

export const STATUS = struct("r3_status", {
  ...head,
  generation: u32,
  live: u32,
  end: u32,
  iommu: u32,
  counters: COUNTERS,
  irqs_total: u64,
  waits_total: u64,
  wakeups_total: u64,
  pio_total: u64,
  ended_ns: u64,
  attached_ns: u64,
  carried_ns: u64,
  stalled_ms: u32,
  reserved: u32,
  text: chars(96),
});

export const SIGNAL = struct("r3_signal", head);
export const REVOKE = struct("r3_revoke", head);

export const CHANNEL_STATE = struct("r3_channel_state", {
  kind: u32,
  size: u32,
  submitted: u32,
  seen: u32,
  completed: u32,
  reaped: u32,
});

export const CHANNELS = struct("r3_channels", {
  ...head,
  channels: u32,
  generation: u32,
  state: array(CHANNEL_STATE, 16, { used: "channels" }),
});

export const PORT_DOWN = struct("r3_port_down", head);

export const WINDOW_INFO = struct("r3_window_info", {
  bar: u32,
  flags: u32,
  offset: u64,
  length: u64,
  mmap_offset: u64,
});

export const CHANNEL_INFO = struct("r3_channel_info", {
  kind: u32,
  size: u32,
  control: u32,
  submissions: u32,
  completions: u32,
  buffer_size: u32,
});

export const INFO = struct("r3_info", {
  ...head,
  address: chars(16),
  vendor: u16,
  device: u16,
  subsystem_vendor: u16,
  subsystem_device: u16,
  class_revision: u32,
  iommu: u32,
  windows: u32,
  irqs: u32,
  irq_type: u32,
  port_kind: u32,
  generation: u32,
  channels: u32,
  dma_limit: u64,
  port_mmap_offset: u64,
  port_mmap_length: u64,
  window: array(WINDOW_INFO, 8, { used: "windows" }),
  channel: array(CHANNEL_INFO, 16, { used: "channels" }),
});

export const IRQ = struct("r3_irq", { ...head, index: u32, reserved: u32 });

export const DMA_ALLOC = struct("r3_dma_alloc", { ...head, length: u64, address: u64, mmap_offset: u64 });

export const SEGMENT = struct("r3_segment", { address: u64, length: u64 });

export const DMA_MAP = struct("r3_dma_map", {
  ...head,
  address: u64,
  length: u64,
  segment: u64,
  segments: u32,
  handle: u32,
});

export const DMA_UNMAP = struct("r3_dma_unmap", { ...head, handle: u32, reserved: u32 });

export const BUS_MASTER = struct("r3_bus_master", { ...head, enable: u32, reserved: u32 });

export const NET_ATTACH = struct("r3_net_attach", {
  mac: bytes(6),
  reserved: u16,
  max_mtu: u32,
  features: u32,
  max_segments: u32,
});

export const PORT_ATTACH_NET = struct("r3_port_attach", {
  ...head,
  kind: u32,
  reserved: u32,
  net: union(NET_ATTACH, 128, { align: 8 }),
});

export const BLOCK_ATTACH = struct("r3_block_attach", {
  sectors: u64,
  boundary: u64,
  logical_block: u32,
  physical_block: u32,
  max_sectors: u32,
  max_segments: u32,
  max_segment: u32,
  alignment: u32,
  depth: u32,
  queues: u32,
  max_discard: u32,
  features: u32,
  model: bytes(40),
  serial: bytes(24),
});

export const PORT_ATTACH_BLOCK = struct("r3_port_attach", {
  ...head,
  kind: u32,
  reserved: u32,
  block: union(BLOCK_ATTACH, 128),
});

export const NET_CONFIG = struct("r3_net_config", {
  mac: bytes(6),
  multicasts: u16,
  flags: u32,
  mtu: u32,
  features: u32,
  multicast: array(bytes(6), 64, { used: "multicasts" }),
});

export const PORT_CONFIG_NET = struct("r3_port_config", {
  ...head,
  kind: u32,
  sequence: u32,
  net: union(NET_CONFIG, 512),
});

export const NET_REPORT = struct("r3_net_report", {
  link: u32,
  speed: u32,
  full_duplex: u32,
  reserved: u32,
  rx_missed: u64,
  rx_crc_errors: u64,
  rx_length_errors: u64,
  collisions: u64,
});

export const PORT_REPORT_NET = struct("r3_port_report", {
  ...head,
  kind: u32,
  reserved: u32,
  net: union(NET_REPORT, 64),
});

export const WAIT = struct("r3_wait", {
  ...head,
  kick: u32,
  timeout_us: u32,
  events: u32,
  irqs: u32,
});

export const PIO_ACCESS = struct("r3_pio_access", {
  window: u16,
  width: u8,
  flags: u8,
  offset: u32,
  value: u32,
  reserved: u32,
  buffer: u64,
});

export const PIO = struct("r3_pio", { ...head, count: u32, reserved: u32, access: u64 });

export const CHANNEL_CONTROL = struct("r3_channel_control", {
  submitted: u32,
  pad0: array(u32, 15),
  seen: u32,
  pad1: array(u32, 15),
  completed: u32,
  pad2: array(u32, 15),
  reaped: u32,
  pad3: array(u32, 15),
});

export const ENTRY = struct("r3_entry", {
  address_low: u32,
  address_high: u32,
  length_flags: u32,
  token: u32,
});

/** All structures, for the comparison with the C header. */
export const STRUCTS = [
  CLAIM_ARGS,
  COUNTERS,
  TOTALS,
  WINDOW,
  GRANT_ARGS,
  PORT_NET,
  PORT_BLOCK,
  STATUS,
  SIGNAL,
  REVOKE,
  CHANNEL_STATE,
  CHANNELS,
  PORT_DOWN,
  WINDOW_INFO,
  CHANNEL_INFO,
  INFO,
  IRQ,
  DMA_ALLOC,
  SEGMENT,
  DMA_MAP,
  DMA_UNMAP,
  BUS_MASTER,
  NET_ATTACH,
  BLOCK_ATTACH,
  PORT_ATTACH_NET,
  NET_CONFIG,
  PORT_CONFIG_NET,
  NET_REPORT,
  PORT_REPORT_NET,
  WAIT,
  PIO_ACCESS,
  PIO,
  CHANNEL_CONTROL,
  ENTRY,
] as const;
