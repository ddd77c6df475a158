/* SPDX-License-Identifier: MIT */
/* The data path of drivers/e1000 in C: the same descriptors, rings of the port and checks. */
#ifndef E1000_H
#define E1000_H

#include "channel.h"
#include "types.h"

/* Most descriptors of a ring. */
#define E1000_MAX_RING	4096

struct e1000_desc {
	u32 low;
	u32 high;
	u32 length;	/* to send: with type and commands */
	u32 status;	/* with errors, or options */
};

struct e1000_rx {
	struct e1000_desc *ring;
	u32 mask;
	u32 next;	/* which the card fills next */
	u32 tail;
	u32 filled;
	u32 buffer_size;
	u32 frame;	/* bytes so far of the frame being received */
	u32 longest;	/* most bytes of a frame */
	u32 tokens[E1000_MAX_RING];
};

struct e1000_tx {
	struct e1000_desc *ring;
	u32 mask;
	u32 tail;
	u32 clean;	/* the oldest on its way */
	u32 posted;	/* frames, counted up, as are the next three */
	u32 done;
	u32 asked;	/* reports */
	u32 seen;
	u32 covered;	/* posted when the last report was asked for */
	u32 sums;	/* what the last context says, and its command; 0 matches none */
	u32 command;
	bool after_segments;
	u32 tokens[E1000_MAX_RING];
	u32 ends[E1000_MAX_RING];	/* last descriptor of a frame */
	u32 reports[E1000_MAX_RING];	/* frames posted when it was asked for */
};

struct e1000 {
	volatile u32 *regs;
	struct channel tx_port;
	struct channel rx_port;
	struct e1000_rx rx;
	struct e1000_tx tx;
	bool sent_armed;
	bool link_changed;
	bool active;
};

/* Memory for the device: both rings, at once. */
void e1000_init(struct e1000 *nic, u32 ring, struct e1000_desc *memory, u64 address);
/* Why the card has interrupted. */
void e1000_interrupt(struct e1000 *nic);
/* Move at most budget frames each way. True if there is more to do at once. */
bool e1000_poll(struct e1000 *nic, u32 budget);

#endif
