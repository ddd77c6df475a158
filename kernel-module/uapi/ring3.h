/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The contract between ring3.ko and everything outside the kernel.
 *
 * Conventions, the same for every call:
 *  - every structure begins with argsz (its size, in) and flags (in; a bit that
 *    is not named here must be zero, else -EINVAL); reserved fields must be zero;
 *  - argsz below the size of a structure is -EINVAL; above it, the tail must be
 *    zero (else -E2BIG), so an old kernel refuses what it does not know;
 *  - [in], [out] and [in/out] say who writes a field;
 *  - all lengths and offsets are bytes, all times say their unit;
 *  - calls that make a file return its descriptor, all others return 0;
 *  - after the device has gone every call but STATUS and CHANNELS returns -ENODEV;
 *    on a grant that had been ended for any other reason, -EKEYREVOKED.
 *
 * docs/uapi.md explains the life of these objects, docs/rings.md the rings.
 */
#ifndef _UAPI_RING3_H
#define _UAPI_RING3_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define R3_ABI_VERSION		3

#define R3_MAX_WINDOWS		8
#define R3_MAX_IRQS		32
#define R3_MAX_CHANNELS		16
#define R3_MAX_MULTICAST	64
#define R3_MAX_MAPPINGS		1024	/* VMAs of one grant; mmap() is -ENOMEM then */
#define R3_ADDRESS_LEN		16	/* "0000:00:10.0" and its NUL */
#define R3_TEXT_LEN		96
#define R3_MAX_STALL_MS		600000	/* ten minutes */
#define R3_MAX_HOLD_MS		86400000	/* a day */
#define R3_MAX_PIO		64

#define R3_IOC			0xb3

/* ---- /dev/ring3 ---------------------------------------------------------- */

/*
 * Take exclusive hold of a device that is bound to ring3.ko. Returns a claim:
 * closing it ends the grant and the port made from it.
 * -ENXIO: no such PCI function; -ENODEV: it is not bound to ring3;
 * -EBUSY: another claim holds it.
 */
struct r3_claim_args {
	__u32 argsz;
	__u32 flags;
	char address[R3_ADDRESS_LEN];		/* [in] PCI address, with NUL */
};

#define R3_CLAIM		_IO(R3_IOC, 0x00)

/* What lives in the module or in one claim; all zero when nothing is left. */
struct r3_counters {
	__u32 claims;
	__u32 grants;
	__u32 ports;
	__u32 irqs;		/* interrupt handlers installed */
	__u32 regions;		/* things that can be mapped */
	__u32 mappings;		/* virtual memory areas that exist of them */
	__u32 dma_maps;		/* DMA_MAP handles */
	__u32 pinned_pages;	/* user pages pinned by them */
	__u64 dma_bytes;	/* coherent memory, bytes */
	__u32 rx_buffers;	/* pages the receive pools hold, mapped */
	__u32 tx_frames;	/* frames or requests the driver has not completed */
};

/* Counters of the whole module, and the version of this contract. */
struct r3_totals {
	__u32 argsz;
	__u32 flags;
	__u32 abi_version;			/* [out] */
	__u32 reserved;
	struct r3_counters counters;		/* [out] */
};

#define R3_TOTALS		_IO(R3_IOC, 0x01)

/* ---- claim --------------------------------------------------------------- */

/* Part of a BAR. Memory windows are whole pages of this machine. */
struct r3_window {
	__u32 bar;				/* [in] 0 .. 5 */
	__u32 flags;				/* [in] must be zero */
	__u64 offset;				/* [in] from the start of the BAR */
	__u64 length;				/* [in] */
};

#define R3_IRQ_NONE		0
#define R3_IRQ_INTX		1
#define R3_IRQ_MSI		2
#define R3_IRQ_MSIX		3
#define R3_IRQ_IDE		4	/* in compatibility mode: vector 0 is ISA 14, 1 is 15 */

/*
 * Make a grant of the claimed device: a capability for one driver process.
 * A claim has at most one live grant (-EBUSY). -EINVAL with a text in
 * r3_status says which window or interrupt could not be granted and why.
 *
 * A driver has stalled when for stall_ms (at most R3_MAX_STALL_MS) there was
 * work for it and it has not called WAIT: an interrupt not taken, submissions
 * not seen, a CONFIG or SIGNAL not told, or what its last WAIT told it of. A
 * WAIT does not count while a channel has something unseen that it had at the
 * WAIT before, and seen has not moved. A driver that sleeps in WAIT with no
 * work has not stalled, however long it sleeps.
 */
struct r3_grant_args {
	__u32 argsz;
	__u32 flags;
	__u32 windows;				/* [in] how many below are used */
	__u32 irqs;				/* [in] number of vectors */
	__u32 irq_type;				/* [in] R3_IRQ_*; NONE = best there is */
	__u32 dma_bits;				/* [in] address bits the device drives, 24 .. 64 */
	__u64 dma_limit;			/* [in] bytes of coherent + pinned memory */
	__u32 stall_ms;				/* [in] end it if work waits so long; 0 = never */
	__u32 reserved;
	struct r3_window window[R3_MAX_WINDOWS];
};

#define R3_GRANT		_IO(R3_IOC, 0x10)

/*
 * Make the claim's network port. The interface is registered when the first
 * driver attaches, and lives as long as the claim. One per claim (-EEXIST).
 */
struct r3_port_net {
	__u32 argsz;
	__u32 flags;
	__u32 queues;				/* [in] RX/TX pairs; 1 today, else -EOPNOTSUPP */
	__u32 ring_size;			/* [in] entries, a power of two, 64 .. 4096 */
	char name[16];				/* [in] interface name or pattern, "r3n%d" */
};

#define R3_PORT_NET		_IO(R3_IOC, 0x11)

/* What becomes of requests when a driver has ended, until the next one attaches. */
#define R3_BLOCK_REISSUE	0	/* those in flight go to the next driver; new ones wait */
#define R3_BLOCK_FAIL		1	/* those in flight fail; new ones wait */

/*
 * Make the claim's block port. The disk is added when the first driver has
 * attached, and lives as long as the claim. When there has been no driver for
 * hold_ms, what waits for one fails, and so does all that comes after it until
 * one attaches; and so does what was in flight so long ago and no driver since
 * has done. A driver that keeps a request longer than request_ms loses its
 * grant (R3_END_STALLED), at most two seconds later, and the request is treated
 * as any in flight. -EEXIST: there is a port, or a disk of that name.
 */
struct r3_port_block {
	__u32 argsz;
	__u32 flags;
	__u32 queues;				/* [in] 1 .. R3_MAX_CHANNELS, a channel each */
	__u32 ring_size;			/* [in] entries, a power of two, 64 .. 4096 */
	__u32 policy;				/* [in] R3_BLOCK_* */
	__u32 hold_ms;				/* [in] 1 .. R3_MAX_HOLD_MS */
	__u32 request_ms;			/* [in] 1 .. R3_MAX_HOLD_MS */
	__u32 reserved;
	char name[16];				/* [in] r3, a-z, then digits or %d: "r3b%d" */
};

#define R3_PORT_BLOCK		_IO(R3_IOC, 0x17)

/* Why a grant ended. */
#define R3_END_NONE		0	/* it lives, or there was none */
#define R3_END_RELEASED		1	/* the process that mapped it ended, or nobody has it open */
#define R3_END_REVOKED		2	/* REVOKE, or the claim was closed */
#define R3_END_DEVICE_LOST	3	/* unplugged, or unbound from ring3 */
#define R3_END_PROTOCOL		4	/* the driver broke the ring protocol; text says how */
#define R3_END_STALLED		5	/* work waited for stall_ms; text says which */
#define R3_END_FAILING		6	/* it failed one request after the other; text says how many */

/* poll() on a claim reports POLLIN when this has changed, POLLHUP for a lost device. */
struct r3_status {
	__u32 argsz;
	__u32 flags;
	__u32 generation;			/* [out] this claim's grants, not those refused */
	__u32 live;				/* [out] 1 while the last of them lives */
	__u32 end;				/* [out] R3_END_* of the last that ended */
	__u32 iommu;				/* [out] 1 if an IOMMU confines the device */
	struct r3_counters counters;		/* [out] of this claim */
	__u64 irqs_total;			/* [out] interrupts since the claim was made */
	__u64 waits_total;			/* [out] WAIT calls */
	__u64 wakeups_total;			/* [out] WAIT calls that slept and were woken */
	__u64 pio_total;			/* [out] PIO calls */
	/* CLOCK_MONOTONIC, nanoseconds; 0 = it has not come to that. */
	__u64 ended_ns;				/* [out] the last grant that ended began to end */
	__u64 attached_ns;			/* [out] live or else last grant attached to port */
	__u64 carried_ns;			/* [out] its first frame or request without error */
	__u32 stalled_ms;			/* [out] work had waited; 0 if not R3_END_STALLED */
	__u32 reserved;
	char text[R3_TEXT_LEN];			/* [out] last refusal, protocol error or stall */
};

#define R3_STATUS		_IO(R3_IOC, 0x12)

/* End the driver's WAIT with R3_EVENT_SIGNAL: it has a message to read. */
struct r3_signal {
	__u32 argsz;
	__u32 flags;
};

#define R3_SIGNAL		_IO(R3_IOC, 0x13)

/* End the live grant now, whatever its process does. -ENOENT if there is none. */
struct r3_revoke {
	__u32 argsz;
	__u32 flags;
};

#define R3_REVOKE		_IO(R3_IOC, 0x14)

/* Counters of one pair of rings, as in struct r3_channel_control. */
struct r3_channel_state {
	__u32 kind;				/* R3_CHANNEL_* */
	__u32 size;				/* entries in each ring */
	__u32 submitted;			/* the kernel's own copy */
	__u32 seen;				/* what the driver wrote */
	__u32 completed;			/* what the driver wrote */
	__u32 reaped;				/* the kernel's own copy */
};

/*
 * The rings of the live grant, or else as they were when the last one began to
 * end. -ENOENT if no grant of this claim has had a port.
 */
struct r3_channels {
	__u32 argsz;
	__u32 flags;
	__u32 channels;				/* [out] how many below are used */
	__u32 generation;			/* [out] of the grant whose they are */
	struct r3_channel_state state[R3_MAX_CHANNELS];	/* [out] */
};

#define R3_CHANNELS		_IO(R3_IOC, 0x15)

/*
 * Nobody is to serve the port for now: a network's link goes down, and what it
 * has queued is dropped; a disk's requests fail, as after hold_ms. The next
 * driver that attaches brings it up again.
 * -ENOENT without a port, -EBUSY while a grant lives.
 */
struct r3_port_down {
	__u32 argsz;
	__u32 flags;
};

#define R3_PORT_DOWN		_IO(R3_IOC, 0x16)

/* ---- grant --------------------------------------------------------------- */

#define R3_WINDOW_IO		(1u << 0)	/* an I/O port BAR: no mmap */

struct r3_window_info {
	__u32 bar;
	__u32 flags;				/* R3_WINDOW_* */
	__u64 offset;
	__u64 length;
	__u64 mmap_offset;
};

#define R3_PORT_KIND_NONE	0
#define R3_PORT_KIND_NET	1
#define R3_PORT_KIND_BLOCK	2

#define R3_CHANNEL_NET_TX	1
#define R3_CHANNEL_NET_RX	2
#define R3_CHANNEL_BLOCK	3

/* One pair of rings; offsets are from the start of the port's region. */
struct r3_channel_info {
	__u32 kind;				/* R3_CHANNEL_* */
	__u32 size;				/* entries in each ring, a power of two */
	__u32 control;				/* struct r3_channel_control */
	__u32 submissions;			/* size struct r3_entry, kernel to driver */
	__u32 completions;			/* size struct r3_entry, driver to kernel */
	__u32 buffer_size;			/* NET_RX: bytes of each submitted buffer; else 0 */
};

struct r3_info {
	__u32 argsz;
	__u32 flags;
	char address[R3_ADDRESS_LEN];		/* [out] PCI address */
	__u16 vendor;				/* [out] */
	__u16 device;				/* [out] */
	__u16 subsystem_vendor;			/* [out] */
	__u16 subsystem_device;			/* [out] */
	__u32 class_revision;			/* [out] class << 8 | revision */
	__u32 iommu;				/* [out] 1 if an IOMMU confines the device */
	__u32 windows;				/* [out] */
	__u32 irqs;				/* [out] */
	__u32 irq_type;				/* [out] R3_IRQ_* */
	__u32 port_kind;			/* [out] R3_PORT_KIND_* */
	__u32 generation;			/* [out] of this grant */
	__u32 channels;				/* [out] */
	__u64 dma_limit;			/* [out] */
	__u64 port_mmap_offset;			/* [out] */
	__u64 port_mmap_length;			/* [out] 0 if there is no port */
	struct r3_window_info window[R3_MAX_WINDOWS];
	struct r3_channel_info channel[R3_MAX_CHANNELS];
};

#define R3_INFO			_IO(R3_IOC, 0x20)

/*
 * Returns the IRQ file of one vector. read() of 8 bytes gives the number of
 * interrupts since the last read, or enables the interrupt and sleeps until
 * there is one; O_NONBLOCK and poll() do what they say. The handler in the
 * kernel masks and counts, so an interrupt stays masked until it is read and
 * waited for again. An interrupt is delivered once, to read() or to WAIT.
 */
struct r3_irq {
	__u32 argsz;
	__u32 flags;
	__u32 index;				/* [in] 0 .. irqs - 1 */
	__u32 reserved;
};

#define R3_IRQ			_IO(R3_IOC, 0x21)

/* Zeroed memory that the device and the driver share, contiguous for the device. */
struct r3_dma_alloc {
	__u32 argsz;
	__u32 flags;
	__u64 length;				/* [in] rounded up to whole pages */
	__u64 address;				/* [out] for the device */
	__u64 mmap_offset;			/* [out] */
};

#define R3_DMA_ALLOC		_IO(R3_IOC, 0x22)

#define R3_DMA_TO_DEVICE	(1u << 0)
#define R3_DMA_FROM_DEVICE	(1u << 1)

struct r3_segment {
	__u64 address;				/* for the device */
	__u64 length;
};

/*
 * Pin the caller's pages and map them for the device. Counted against
 * dma_limit and RLIMIT_MEMLOCK. -ENOSPC if it takes more segments than given.
 */
struct r3_dma_map {
	__u32 argsz;
	__u32 flags;				/* [in] R3_DMA_TO_DEVICE and/or FROM_DEVICE */
	__u64 address;				/* [in] of the caller */
	__u64 length;				/* [in] */
	__u64 segment;				/* [in] address of struct r3_segment[] to fill */
	__u32 segments;				/* [in] room there; [out] used */
	__u32 handle;				/* [out] for DMA_UNMAP */
};

#define R3_DMA_MAP		_IO(R3_IOC, 0x23)

struct r3_dma_unmap {
	__u32 argsz;
	__u32 flags;
	__u32 handle;				/* [in] */
	__u32 reserved;
};

#define R3_DMA_UNMAP		_IO(R3_IOC, 0x24)

/*
 * Let the device master the bus, or stop it. Off when a grant is made, so a
 * device that still holds its last driver's addresses cannot use them: reset
 * it first, then enable.
 */
struct r3_bus_master {
	__u32 argsz;
	__u32 flags;
	__u32 enable;				/* [in] 0 or 1 */
	__u32 reserved;
};

#define R3_BUS_MASTER		_IO(R3_IOC, 0x25)

#define R3_NET_TX_CSUM		(1u << 0)	/* inserts an Internet checksum at any offset */
#define R3_NET_TSO4		(1u << 1)	/* segments TCP over IPv4 */
#define R3_NET_TSO6		(1u << 2)	/* segments TCP over IPv6 */
#define R3_NET_RX_CSUM		(1u << 3)	/* marks frames whose L4 checksum it verified */
#define R3_NET_FEATURES		0xfu

/* What a driver says of its device when it is ready for traffic. */
struct r3_net_attach {
	__u8 mac[6];				/* [in] permanent address */
	__u16 reserved;
	__u32 max_mtu;				/* [in] 68 .. 34802 */
	__u32 features;				/* [in] R3_NET_* it can do */
	__u32 max_segments;			/* [in] entries of one frame, 1 .. 18 */
};

#define R3_BLOCK_CACHE		(1u << 0)	/* has a volatile cache: takes FLUSH */
#define R3_BLOCK_FUA		(1u << 1)	/* can force a write past it; ignored without it */
#define R3_BLOCK_DISCARD	(1u << 2)
#define R3_BLOCK_ZEROES		(1u << 3)	/* writes zeroes by itself */
#define R3_BLOCK_READ_ONLY	(1u << 4)
#define R3_BLOCK_ROTATIONAL	(1u << 5)
#define R3_BLOCK_FEATURES	0x3fu

/*
 * What a driver says of its disk. The first one decides what requests look
 * like. A later one must be of the same disk (serial and sectors), and able to
 * do what the first could: -EINVAL, with a text in r3_status. It must have
 * reset the device before: nothing that a driver before it began may go on.
 *
 * max_sectors, max_segment and max_discard are whole logical blocks, and
 * max_discard at least a physical block if it is not 0. Segments are aligned to
 * alignment, and none crosses a multiple of boundary. Of the port's queues the
 * first ones are served.
 */
struct r3_block_attach {
	__u64 sectors;				/* [in] of 512 bytes, not 0 */
	__u64 boundary;				/* [in] bytes, a power of two from 4096, 0 = none */
	__u32 logical_block;			/* [in] bytes, a power of two, 512 .. 4096 */
	__u32 physical_block;			/* [in] likewise, logical_block .. 1 MiB */
	__u32 max_sectors;			/* [in] of a request, 8 .. R3_ENTRY_LENGTH */
	__u32 max_segments;			/* [in] of a request, 1 .. 1024, below ring_size */
	__u32 max_segment;			/* [in] bytes, 4096 .. 524288 */
	__u32 alignment;			/* [in] bytes, power of two, 4 .. logical_block */
	__u32 depth;				/* [in] requests at once on each queue, 1 .. 1024 */
	__u32 queues;				/* [in] that it serves, 1 .. those of the port */
	__u32 max_discard;			/* [in] sectors of one DISCARD or ZEROES, or 0 */
	__u32 features;				/* [in] R3_BLOCK_* */
	char model[40];				/* [in] printable ASCII, NUL or space padded */
	char serial[24];			/* [in] likewise */
};

/*
 * Attach to the port: rings begin to move. Once per grant (-EALREADY).
 * kind must be the port's (-EINVAL).
 */
struct r3_port_attach {
	__u32 argsz;
	__u32 flags;
	__u32 kind;				/* [in] R3_PORT_KIND_* */
	__u32 reserved;
	union {
		struct r3_net_attach net;
		struct r3_block_attach block;
		__u8 room[128];
	};
};

#define R3_PORT_ATTACH		_IO(R3_IOC, 0x26)

#define R3_NET_UP		(1u << 0)	/* the interface is up: carry traffic */
#define R3_NET_PROMISC		(1u << 1)
#define R3_NET_ALLMULTI		(1u << 2)	/* also when there are too many groups to list */

/* What the kernel wants of the device. */
struct r3_net_config {
	__u8 mac[6];				/* [out] address to receive on */
	__u16 multicasts;			/* [out] how many below are used */
	__u32 flags;				/* [out] R3_NET_UP ... */
	__u32 mtu;				/* [out] without the Ethernet header */
	__u32 features;				/* [out] R3_NET_TX_CSUM ... in use */
	__u8 multicast[R3_MAX_MULTICAST][6];	/* [out] groups to receive */
};

/* Read the configuration; WAIT reports R3_EVENT_CONFIG when it has changed since. */
struct r3_port_config {
	__u32 argsz;
	__u32 flags;
	__u32 kind;				/* [out] */
	__u32 sequence;				/* [out] rises with each change */
	union {
		struct r3_net_config net;
		__u8 room[512];
	};
};

#define R3_PORT_CONFIG		_IO(R3_IOC, 0x27)

/* What the driver reports of its device. Counters are totals since attach. */
struct r3_net_report {
	__u32 link;				/* [in] 1 if up */
	__u32 speed;				/* [in] Mb/s */
	__u32 full_duplex;			/* [in] 0 or 1 */
	__u32 reserved;
	__u64 rx_missed;			/* [in] no buffer in the device */
	__u64 rx_crc_errors;			/* [in] */
	__u64 rx_length_errors;			/* [in] */
	__u64 collisions;			/* [in] */
};

struct r3_port_report {
	__u32 argsz;
	__u32 flags;
	__u32 kind;				/* [in] */
	__u32 reserved;
	union {
		struct r3_net_report net;
		__u8 room[64];
	};
};

#define R3_PORT_REPORT		_IO(R3_IOC, 0x28)

#define R3_WAIT_FOREVER		0xffffffffu

#define R3_EVENT_IRQ		(1u << 0)	/* irqs says which */
#define R3_EVENT_PORT		(1u << 1)	/* a channel's submitted passed its seen */
#define R3_EVENT_CONFIG		(1u << 2)	/* read PORT_CONFIG */
#define R3_EVENT_SIGNAL		(1u << 3)	/* the supervisor has a message */
#define R3_EVENT_TIMEOUT	(1u << 4)

/*
 * The data path's one call. First it takes the completions of the channels in
 * kick (on this CPU, before it returns). Then, if nothing has happened and
 * timeout_us is not zero, it unmasks the interrupts and sleeps. A timeout from
 * 100 ms on may come late by an eighth of it.
 * -EINTR on a signal, -EINVAL for a channel that is not there.
 */
struct r3_wait {
	__u32 argsz;
	__u32 flags;
	__u32 kick;				/* [in] bit per channel */
	__u32 timeout_us;			/* [in] microseconds, 0 = look, do not sleep */
	__u32 events;				/* [out] R3_EVENT_* */
	__u32 irqs;				/* [out] bit per vector that fired */
};

#define R3_WAIT			_IO(R3_IOC, 0x29)

#define R3_PIO_WRITE		(1u << 0)
#define R3_PIO_REPEAT		(1u << 1)	/* repeat; 16 or 32 bits wide, data is a buffer */

/*
 * One access to an I/O window; naturally aligned and inside it. With
 * R3_PIO_REPEAT value says how often, 1 .. 4096 / width.
 */
struct r3_pio_access {
	__u16 window;				/* [in] index of a window with R3_WINDOW_IO */
	__u8 width;				/* [in] bytes: 1, 2 or 4 */
	__u8 flags;				/* [in] R3_PIO_* */
	__u32 offset;				/* [in] bytes into the window */
	__u32 value;				/* [in] to write, [out] read; REPEAT: [in] times */
	__u32 reserved;
	__u64 buffer;				/* [in] REPEAT: address of the data, else zero */
};

/* Accesses to I/O windows, in order. */
struct r3_pio {
	__u32 argsz;
	__u32 flags;
	__u32 count;				/* [in] 1 .. R3_MAX_PIO */
	__u32 reserved;
	__u64 access;				/* [in] address of struct r3_pio_access[] */
};

#define R3_PIO			_IO(R3_IOC, 0x2a)

/* ---- shared memory of a port --------------------------------------------- */

/*
 * One per channel. Each counter runs freely modulo 2^32, is written by one
 * side only and has a cache line of its own; an entry is at counter & (size-1).
 * The kernel believes none of its own counters here: it keeps private copies.
 */
struct r3_channel_control {
	__u32 submitted;	/* kernel: entries it has submitted */
	__u32 pad0[15];
	__u32 seen;		/* driver: submitted it has acted on; WAIT sleeps while equal */
	__u32 pad1[15];
	__u32 completed;	/* driver: entries it has completed */
	__u32 pad2[15];
	__u32 reaped;		/* kernel: completions it has taken */
	__u32 pad3[15];
};

/* Length and flags share a word. */
#define R3_ENTRY_LENGTH		0x000fffffu
#define R3_ENTRY_LAST		(1u << 31)	/* last of a frame */
#define R3_ENTRY_CONTEXT	(1u << 30)	/* TX: no data; offload parameters, see below */
#define R3_ENTRY_CSUM		(1u << 29)	/* TX: insert the checksum; RX: it was verified */
#define R3_ENTRY_TSO		(1u << 28)	/* TX: segment this frame */
#define R3_ENTRY_ERROR		(1u << 27)	/* completion: bad frame, unused buffer; drop it */
#define R3_ENTRY_IPV6		(1u << 26)	/* TX, with TSO: the frame is IPv6, else IPv4 */

/* Block: what to do, in the CONTEXT entry that begins a request. */
#define R3_BLOCK_OPERATION	0x00f00000u
#define R3_BLOCK_READ		0x00000000u
#define R3_BLOCK_WRITE		0x00100000u
#define R3_BLOCK_FLUSH		0x00200000u
#define R3_BLOCK_DO_DISCARD	0x00300000u
#define R3_BLOCK_DO_ZEROES	0x00400000u
#define R3_BLOCK_FORCE		(1u << 24)	/* with WRITE: past the cache */

/* Block: what went wrong, in the length of a completion with R3_ENTRY_ERROR. */
#define R3_BLOCK_E_IO		0
#define R3_BLOCK_E_MEDIUM	1	/* the sectors cannot be read or written */
#define R3_BLOCK_E_TIMEOUT	2	/* the device did not answer */
#define R3_BLOCK_E_UNSUPPORTED	3
#define R3_BLOCK_E_PROTECTED	4	/* it refuses writes */
#define R3_BLOCK_E_GONE		5	/* no medium, or no device */

/*
 * Submission: a bus address and a length. Completion: address is zero, length
 * is what was received (RX), token is the submission's, unchanged.
 * A frame's entries all carry one token and are completed once (TX); receive
 * buffers are completed one by one, in the order in which they hold the frame.
 *
 * R3_ENTRY_CONTEXT precedes a frame's data when R3_ENTRY_CSUM or _TSO is set:
 *   address_low  = offset where summing starts | offset of the checksum << 16
 *   address_high = segment size | length of all headers << 16 (TSO, else 0)
 *   length       = the frame's length
 * Both offsets are from the start of the frame. The checksum field holds the
 * sum of the pseudo header (without length for TSO). For TSO the network header
 * follows the 14 bytes of Ethernet, and the lengths and the IPv4 header checksum
 * that the device fills in are zero.
 *
 * Block: a request is a CONTEXT entry and then its segments, all with one token,
 * the last of them with LAST (CONTEXT itself, if there are none). CONTEXT has the
 * first sector of 512 bytes as its address, and as length_flags how many sectors,
 * R3_BLOCK_OPERATION and R3_BLOCK_FORCE. It is completed once: its length in
 * sectors, or R3_ENTRY_ERROR with R3_BLOCK_E_*. Any other length is a breach.
 */
struct r3_entry {
	__u32 address_low;
	__u32 address_high;
	__u32 length_flags;
	__u32 token;
};

#endif /* _UAPI_RING3_H */
