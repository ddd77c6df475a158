/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The objects inside ring3.ko and who owns them.
 *
 *   device --claim--> claim --grant--> grant      (arrows: "has at most one")
 *                       `----port----> port
 *
 * A device is made by probe() and referenced by its claim. A claim is owned by
 * its file; the grant and the port hang on it. A grant is referenced by its
 * file, its IRQ files, the claim while it lives, and work that ends it.
 *
 * Locks, outermost first:
 *   r3_device.lock     everything that makes or ends claims, grants and ports
 *   rtnl               (net.c) taken inside it, never around it
 *   names of disks     (block.c) a leaf; its spinlocks are said there
 *   r3_grant.live_lock held for reading while the grant must not end: faults and
 *                      calls; for writing only to set "ended". Inside mmap_lock.
 *   r3_vector.lock     one interrupt
 */
#ifndef RING3_H
#define RING3_H

#include <linux/hrtimer.h>
#include <linux/interrupt.h>
#include <linux/kref.h>
#include <linux/mmu_notifier.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/uaccess.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "compat.h"
#include "uapi/ring3.h"

struct r3_grant;
struct r3_port;

/* ---- counters (main.c) ---- */

enum r3_counter {
	R3_N_CLAIMS, R3_N_GRANTS, R3_N_PORTS, R3_N_IRQS, R3_N_REGIONS, R3_N_MAPPINGS,
	R3_N_DMA_MAPS, R3_N_PINNED_PAGES, R3_N_DMA_BYTES, R3_N_RX_BUFFERS,
	R3_N_COUNTERS
};

struct r3_count {
	atomic64_t n[R3_N_COUNTERS];
};

struct r3_claim;
void r3_count(struct r3_claim *claim, enum r3_counter which, s64 by);
void r3_count_read(const struct r3_count *count, struct r3_counters *out);

/* ---- device (main.c) ---- */

struct r3_device {
	struct kref ref;
	struct list_head node;		/* in the list of devices, under its lock */
	struct pci_dev *pdev;		/* referenced */
	struct mutex lock;
	struct r3_claim *claim;		/* under lock */
	bool lost;			/* under lock; never cleared */
	bool confined;			/* an IOMMU translates for it */
};

struct r3_device *r3_device_find(const char *address);
void r3_device_put(struct r3_device *dev);

/* Copy a call's structure in: argsz at least size, anything past it zero, no flags but allowed. */
int r3_copy_in(void *to, size_t size, void __user *from, u32 allowed_flags);

/* A call that is made under the device's lock. */
struct r3_call {
	size_t size;				/* of its structure */
	bool out;				/* which is copied back after success */
	long (*act)(void *object, void *args);	/* object: whose file it is; args: copied in */
};

long r3_call(const struct r3_call *call, void *object, struct r3_device *dev, void __user *user);

/* ---- claim (claim.c) ---- */

struct r3_claim {
	struct kref ref;
	struct r3_device *dev;		/* referenced */
	struct r3_grant *grant;		/* live one or NULL; referenced; under dev->lock */
	struct r3_port *port;		/* under dev->lock */
	u32 generation;			/* grants made; under dev->lock */
	u32 end;			/* R3_END_*; under dev->lock */
	char text[R3_TEXT_LEN];		/* under dev->lock */
	u64 ended_ns, attached_ns;	/* as in r3_status; under dev->lock */
	u64 carried_ns;			/* likewise; written by an attached grant's completions */
	u32 stalled_ms;			/* under dev->lock */
	struct r3_channels last;	/* rings of the last grant that ended; under dev->lock */
	wait_queue_head_t wait;
	atomic_t changes;		/* since the last STATUS */
	struct r3_count count;
	atomic64_t irqs, waits, wakeups, pios;
};

int r3_claim_open(const char *address);
void r3_claim_get(struct r3_claim *claim);
void r3_claim_put(struct r3_claim *claim);
/* The device goes: end what the claim holds. Caller holds dev->lock and has set dev->lost. */
void r3_claim_lost(struct r3_claim *claim);
void r3_claim_changed(struct r3_claim *claim);
/* Say in words why a call was refused. Caller holds dev->lock. Returns err. */
__printf(3, 4) int r3_refuse(struct r3_claim *claim, int err, const char *format, ...);

/* ---- channel (channel.c) ---- */

/* The kernel's side of one pair of rings. Counters here are the true ones. */
struct r3_channel {
	struct r3_channel_control *control;	/* shared: written by both sides */
	struct r3_entry *submissions;		/* shared: never read back */
	struct r3_entry *completions;		/* shared: read once, then checked */
	u32 kind;
	u32 size;
	u32 wake_after;		/* unseen submissions that are worth waking the driver for */
	u32 submitted;		/* written by the submitter, read by WAIT */
	u32 queued;		/* submitter only: written but not shown yet */
	u32 reaped;		/* reaper only */
};

void r3_channel_init(struct r3_channel *ch, const struct r3_channel_info *info, void *memory);
void r3_channel_submit(struct r3_channel *ch, u64 address, u32 length_flags, u32 token);
void r3_channel_publish(struct r3_channel *ch);
int r3_channel_completed(const struct r3_channel *ch);
void r3_channel_reap(struct r3_channel *ch, u32 *length_flags, u32 *token);
void r3_channel_reaped(struct r3_channel *ch);
void r3_channel_state(const struct r3_channel *ch, struct r3_channel_state *out);

/* The driver's word: it only decides whether it sleeps, so a lie here harms nobody else. */
static inline u32 r3_channel_seen(const struct r3_channel *ch)
{
	return READ_ONCE(ch->control->seen);
}

/* Is there something it has not seen, when it has seen so much? */
static inline bool r3_channel_pending(const struct r3_channel *ch, u32 seen)
{
	return READ_ONCE(ch->submitted) - seen >= ch->wake_after;
}

/* ---- grant (grant.c) ---- */

enum r3_region_kind { R3_REGION_BAR, R3_REGION_DMA, R3_REGION_RINGS };

/* Something a driver can map. Its mmap offset is id << R3_REGION_SHIFT. */
struct r3_region {
	enum r3_region_kind kind;
	u32 id;
	u64 length;		/* whole pages */
	phys_addr_t phys;	/* BAR */
	void *cpu;		/* DMA, RINGS */
	dma_addr_t dma;		/* DMA */
};

#define R3_REGION_SHIFT	32

/* Requests or frames failed in a row: the driver is ended for it, once until one succeeds. */
#define R3_MOST_FAILURES	8

struct r3_vector {
	struct r3_grant *grant;
	spinlock_t lock;	/* also taken by the handler */
	u64 pending;		/* interrupts not yet delivered; under lock */
	bool masked;		/* under lock */
	bool live;		/* under lock: installed and not being removed */
	bool by_config;		/* INTx masked in PCI config, else at the interrupt controller */
	int irq;
};

/* Whether the driver comes for its work; see stall.c. */
struct r3_stall {
	unsigned long since;	/* jiffies: there has been work since; 0 = the driver is idle */
	u32 limit_ms;		/* 0 = it may take for ever */
	bool serves;		/* it came for work once; before, since is not 0, no timer runs */
	struct hrtimer timer;
	unsigned long missed;	/* jiffies: when it ought to have come, once it has stalled */

	/* WAIT writes these. */
	unsigned long waited;	/* jiffies: the last WAIT that did not ignore a channel */
	bool ignored;		/* the last WAIT did */
	u32 told;		/* R3_EVENT_* that it delivered */
	u32 unseen;		/* bit per channel with something unseen at its look */
	u32 seen[R3_MAX_CHANNELS];	/* and what had been seen of it */
};

struct r3_grant {
	struct kref ref;
	struct r3_claim *claim;		/* referenced */
	struct rw_semaphore live_lock;
	bool ended;			/* live_lock; set once */
	int ended_errno;		/* what calls return from then on */
	u32 generation;

	struct r3_window_info window[R3_MAX_WINDOWS];
	u32 windows;
	struct r3_vector vector[R3_MAX_IRQS];
	u32 irqs, irq_type;
	bool have_vectors;

	struct xarray regions;		/* id to r3_region; live_lock */
	u32 next_region;
	struct address_space *mapping;	/* of the grant's file once mapped; dev->lock or mmap */
	struct mm_struct *mm;		/* of the first process to map it; held by the notifier */
	struct mmu_notifier notifier;	/* of that one's end */
	atomic_t vmas;			/* of that mapping: at most R3_MAX_MAPPINGS */
	struct xarray dma_maps;		/* handle to r3_mapping */
	u64 dma_limit;
	atomic64_t dma_used;

	struct r3_port __rcu *port;	/* attached to */
	void *rings;			/* shared memory of the port; lives as long as this */
	u32 rings_region;
	struct r3_channel channel[R3_MAX_CHANNELS];
	u32 channels;

	wait_queue_head_t wait;		/* WAIT sleeps here */
	atomic_t events;		/* R3_EVENT_CONFIG, R3_EVENT_SIGNAL */
	struct r3_stall stall;
	u64 woken;			/* when, since it last went to sleep; 0: not yet */
	u32 wake_ns;			/* what being woken takes */
	u32 busy_poll_ns;		/* how long WAIT looks before it sleeps; see wait.c */

	struct work_struct end_work;	/* ends the grant from atomic context */
	atomic_t failed;		/* it is about to; the two below say why */
	u32 fail_reason;		/* R3_END_* */
	char fail_text[R3_TEXT_LEN];
};

int r3_grant_open(struct r3_claim *claim, const struct r3_grant_args *args);
void r3_grant_get(struct r3_grant *grant);
void r3_grant_put(struct r3_grant *grant);
/* Quiet the device, then take everything back. Caller holds dev->lock. */
void r3_grant_end(struct r3_grant *grant, u32 reason, const char *text);
/*
 * End the grant, for what its driver did or did not do. Any context; the first
 * call wins, and returns true.
 */
__printf(3, 4) bool r3_grant_fail(struct r3_grant *grant, u32 reason, const char *format, ...);
/* The counters of a grant's rings. Caller holds dev->lock. */
void r3_grant_channels(const struct r3_grant *grant, struct r3_channels *out);
void r3_grant_event(struct r3_grant *grant, u32 event);
/* Wake WAIT after r3_channel_publish(). */
void r3_grant_wake(struct r3_grant *grant);
u32 r3_region_add(struct r3_grant *grant, struct r3_region *region);

/*
 * Between these two the grant cannot end, and nothing waits for I/O to get memory: it could be
 * that of the grant's own disk, which waits for the end. Returns the error to give if it has
 * ended. noio is for the second.
 */
int r3_grant_hold(struct r3_grant *grant, unsigned int *noio);
void r3_grant_unhold(struct r3_grant *grant, unsigned int noio);

/* ---- stalls (stall.c) ---- */

void r3_stall_init(struct r3_grant *grant, u32 limit_ms);
void r3_stall_first(struct r3_grant *grant);
/* There is work and the driver was idle: watch it. Any context. */
void r3_stall_begin(struct r3_grant *grant);
/* Work may have been taken without WAIT telling of it: see whether the driver is idle. */
void r3_stall_settle(struct r3_grant *grant);
bool r3_stall_look(struct r3_grant *grant);

/* There is work. Between making it and this is a full barrier. */
static inline void r3_stall_watch(struct r3_grant *grant)
{
	if (!READ_ONCE(grant->stall.since))
		r3_stall_begin(grant);
}

/* The driver comes for work: from the first time on it is expected to. */
static inline void r3_stall_serve(struct r3_grant *grant)
{
	if (unlikely(!READ_ONCE(grant->stall.serves)))
		r3_stall_first(grant);
}

/* ---- interrupts (irq.c) ---- */

int r3_irqs_install(struct r3_grant *grant, u32 count, u32 type);
void r3_irqs_remove(struct r3_grant *grant);
void r3_irqs_bus_master(struct r3_grant *grant, bool enable);
/* Take what is pending; returns a bit per vector. */
u32 r3_irqs_take(struct r3_grant *grant);
/* Unmask what has been taken. */
void r3_irqs_arm(struct r3_grant *grant);
int r3_irq_open(struct r3_grant *grant, u32 index);

/* ---- DMA (dma.c) ---- */

int r3_dma_alloc(struct r3_grant *grant, struct r3_dma_alloc *args);
int r3_dma_map(struct r3_grant *grant, struct r3_dma_map *args);
int r3_dma_unmap(struct r3_grant *grant, u32 handle);
void r3_dma_free_region(struct r3_grant *grant, struct r3_region *region);
void r3_dma_unmap_all(struct r3_grant *grant);

/* ---- WAIT (wait.c) ---- */

long r3_wait(struct r3_grant *grant, void __user *arg);
/* Any context. Whoever calls sees to it that either it or WAIT sees the other's store. */
void r3_wait_wake(struct r3_grant *grant);

/* ---- I/O ports (pio.c) ---- */

long r3_pio(struct r3_grant *grant, void __user *arg);

/* ---- port (port.c) and its kinds (net.c, block.c) ---- */

struct r3_port_ops {
	u32 kind;
	int (*attach)(struct r3_port *port, struct r3_grant *grant,
		      const struct r3_port_attach *args);
	void (*detach)(struct r3_port *port, struct r3_grant *grant);
	void (*config)(struct r3_port *port, struct r3_port_config *out);
	int (*report)(struct r3_port *port, const struct r3_port_report *args);
	void (*kick)(struct r3_port *port, u32 channels);	/* under rcu_read_lock, BH off */
	u32 (*tx_frames)(struct r3_port *port);	/* or requests: what the driver has not completed */
	void (*down)(struct r3_port *port);	/* with nobody attached; under dev->lock */
	void (*destroy)(struct r3_port *port);
};

struct r3_port {
	const struct r3_port_ops *ops;
	struct r3_claim *claim;			/* owns us */
	struct r3_channel_info channel[R3_MAX_CHANNELS];
	u32 channels;
	u32 rings_length;			/* bytes, whole pages */
	struct r3_grant __rcu *grant;		/* attached; changed under dev->lock */
	atomic_t config_sequence;
};

u32 r3_port_layout(struct r3_port *port);
int r3_port_attach(struct r3_grant *grant, const struct r3_port_attach *args);
void r3_port_detach(struct r3_grant *grant);
int r3_port_config(struct r3_grant *grant, struct r3_port_config *out);
int r3_port_report(struct r3_grant *grant, const struct r3_port_report *args);
void r3_port_kick(struct r3_grant *grant, u32 channels);
void r3_port_config_changed(struct r3_port *port);

struct r3_port *r3_net_create(struct r3_claim *claim, const struct r3_port_net *args);
struct r3_port *r3_block_create(struct r3_claim *claim, const struct r3_port_block *args);

extern struct workqueue_struct *r3_workqueue;	/* ends grants */

#endif
