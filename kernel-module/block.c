// SPDX-License-Identifier: GPL-2.0
/*
 * The block port: a disk whose hardware is a driver process.
 *
 * Each hardware queue of blk-mq is a channel. A request's pages are mapped for
 * the device and posted as bus addresses, without a copy, and unmapped before
 * its end is told. So that a driver which says "read" without having read shows
 * nobody old memory of the kernel's, pages are cleared before they are posted
 * to be read into, unless they are anonymous memory: what is in that, its
 * reader has put there or been given zeroed.
 *
 * What a driver had when it ended goes to the next one or fails, as the port's
 * policy says. Giving it to the next is right for writes and flushes, because
 *
 *  - a request is acknowledged upwards only after a driver has completed it,
 *    and one that is in flight is not acknowledged by its driver's end;
 *  - the block layer has no two requests in flight whose order matters: who
 *    wants a write to come after another waits for the end of the other. So
 *    those in flight may be done in any order, once or twice, and wholly or in
 *    part before that. Its pages are the request's until its end: who changes
 *    one while it is being written does not know which content was, and writes
 *    it again; so twice is once;
 *  - nothing of the old driver's can come late, after its write was done again
 *    and then another to the same place: the device had lost the bus, and been
 *    reset where it can be, before detach, and the next driver has reset it
 *    before it enables the bus and attaches. What an aborted write could leave
 *    on the medium, it has left by then;
 *  - a flush promises what was acknowledged before it was sent. A reset empties
 *    no cache, only a loss of power does. So it does not matter which driver
 *    wrote and which flushes. A flush in flight is sent again, and is for all
 *    that its first sending was for, and more.
 *
 * Under R3_BLOCK_FAIL a write in flight may or may not be on the medium, which
 * is what an error has always meant; one that was acknowledged is as above.
 *
 * Nobody waits for ever: a request that a driver keeps ends its grant after
 * request_ms, without a driver all fails after hold_ms, and so does a request
 * that was taken back first so long ago, however many drivers come and go.
 *
 * While there is no driver the queue is quiesced, never frozen: a freeze waits
 * for requests to end, and these wait for an attach, which wants dev->lock.
 * Only destroy freezes it, after it has seen to it that all requests fail. For
 * the same reason the disk is added by a work item that takes no lock of ours:
 * adding reads the partition table, which the driver must serve, and it is in
 * PORT_ATTACH until that returns.
 */
#include <linux/ctype.h>
#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/log2.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/timer.h>

#include "ring3.h"
#include "compat_block.h"

#define R3_INLINE_SEGMENTS	8	/* a request has place for; more are allocated */
#define R3_MAX_SEGMENTS		1024
#define R3_MAX_DEPTH		1024
#define R3_MAX_PHYSICAL_BLOCK	(1u << 20)
#define R3_LATENCIES		128	/* histogram's: four for each power of two microseconds */

/* What blk-mq keeps for us with each request. */
struct r3_request {
	blk_status_t status;
	u32 sectors;			/* that its completion must say */
	u16 tag;			/* it is in flight with */
	u16 entries;			/* submissions it took */
	int pieces;			/* mapped entries of table */
	bool copied;			/* they are pages of ours, which stand for the request's */
	u64 serial;			/* of its posting, in its queue */
	unsigned long posted;		/* jiffies */
	unsigned long lost;		/* jiffies: first end of a driver that had it; else 0 */
	unsigned long unmapped;		/* jiffies: it could not be mapped, from then on; else 0 */
	struct r3_request *next;	/* of those that a look at the ring has ended */
	struct sg_table table;
	struct scatterlist first[R3_INLINE_SEGMENTS];
};

struct r3_slot {
	struct request *rq;		/* in flight; set by submit, cleared by who ends it */
	u16 sequence;			/* in the token: tells reuses of a tag apart */
};

struct r3_block_queue {
	struct r3_block *block;
	spinlock_t lock;		/* submission */
	struct r3_channel *channel;	/* while attached; under lock. No kicks while it is NULL */
	struct r3_grant *grant;		/* likewise */
	struct r3_slot *slot;		/* by tag */
	u64 serial;			/* under lock */
	u32 posted;			/* requests; under lock */

	spinlock_t reap_lock;		/* completion */
	u32 ended;			/* requests; under reap_lock, or detach's */
	u32 released;			/* their entries; likewise, from 0 for each grant */
	unsigned long latency[R3_LATENCIES];	/* requests by time taken; under reap_lock */
};

struct r3_block {
	struct r3_port port;
	struct list_head node;		/* in r3_disks */
	char name[DISK_NAME_LEN];
	struct device *dev;		/* DMA is mapped for it */
	bool confined;			/* by an IOMMU */
	u32 size;			/* ring entries */
	u32 policy, hold_ms, request_ms;

	/* From the first attach on; under dev->lock. */
	struct r3_block_attach info;	/* its: what requests look like */
	u32 max_segment;		/* bytes; as much of its as this machine can map */
	struct gendisk *disk;
	struct blk_mq_tag_set tags;
	struct request **taken;		/* room for those in flight on one queue; detach's */
	struct work_struct add_work;
	bool added;			/* after add_work */
	int add_error;			/* why it is not */

	spinlock_t lock;		/* the three below */
	bool held;			/* quiesced: requests wait for a driver */
	bool failing;			/* there is none, and they no longer wait */
	struct timer_list hold_timer;	/* from the first to the second */

	bool carried;			/* this driver has done a request */
	u32 failures;			/* in a row, of this driver */
	bool blamed;			/* a driver has ended for them since one last succeeded */
	struct r3_block_queue queue[R3_MAX_CHANNELS];
};

/* Names are unique among ours, and of a form that nobody else's have. */
static LIST_HEAD(r3_disks);
static DEFINE_MUTEX(r3_disks_lock);

static struct r3_block *r3_block_of(struct r3_port *port)
{
	return container_of(port, struct r3_block, port);
}

static u32 r3_token(u32 tag, u16 sequence)
{
	return tag | (u32)sequence << 16;
}

/* ---- submission ---- */

static bool r3_block_operation(const struct request *rq, u32 *operation)
{
	switch (req_op(rq)) {
	case REQ_OP_READ:
		*operation = R3_BLOCK_READ;
		return true;
	case REQ_OP_WRITE:
		*operation = R3_BLOCK_WRITE | (rq->cmd_flags & REQ_FUA ? R3_BLOCK_FORCE : 0);
		return true;
	case REQ_OP_FLUSH:
		*operation = R3_BLOCK_FLUSH;
		return true;
	case REQ_OP_DISCARD:
		*operation = R3_BLOCK_DO_DISCARD;
		return true;
	case REQ_OP_WRITE_ZEROES:
		*operation = R3_BLOCK_DO_ZEROES;
		return true;
	default:
		return false;
	}
}

/*
 * Is what lies in the page its reader's own? A page of a slab has other things where the
 * kernel looks whether it is anonymous.
 */
static bool r3_block_readers_own(struct page *page)
{
	return !PageSlab(page) && PageAnon(page);
}

/*
 * Before the first posting of a request. Nothing is merged into it after this,
 * so it stays cleared.
 */
static void r3_block_begin(struct request *rq, struct r3_request *req)
{
	struct req_iterator iterator;
	struct bio_vec piece;

	rq->rq_flags |= RQF_DONTPREP;
	req->lost = 0;
	req->unmapped = 0;
	if (req_op(rq) != REQ_OP_READ)
		return;
	rq_for_each_segment(piece, rq, iterator) {
		if (!r3_block_readers_own(piece.bv_page))
			memzero_bvec(&piece);
	}
}

/*
 * An IOMMU maps whole pages: with part of one the device reaches the rest. That is other blocks
 * of the same file or disk, or other memory of who reads or writes, but in a page of a slab it
 * can be anybody's: such requests are copied.
 */
static bool r3_block_shares_pages(struct r3_block *block, struct request *rq)
{
	struct req_iterator iterator;
	struct bio_vec piece;

	if (!block->confined)
		return false;
	rq_for_each_bvec(piece, rq, iterator) {
		u32 end = piece.bv_offset + piece.bv_len;

		if (!PAGE_ALIGNED(piece.bv_offset) &&
		    PageSlab(nth_page(piece.bv_page, piece.bv_offset >> PAGE_SHIFT)))
			return true;
		if (!PAGE_ALIGNED(end) && PageSlab(nth_page(piece.bv_page, end >> PAGE_SHIFT)))
			return true;
	}
	return false;
}

/* Copy between a request's memory and the pages that stand for it, the way that its data goes. */
static void r3_block_copy(struct request *rq, struct r3_request *req)
{
	struct req_iterator iterator;
	struct bio_vec piece;
	off_t at = 0;

	rq_for_each_segment(piece, rq, iterator) {
		if (req_op(rq) == REQ_OP_READ)
			sg_pcopy_to_buffer(req->table.sgl, req->pieces, bvec_virt(&piece),
					   piece.bv_len, at);
		else
			sg_pcopy_from_buffer(req->table.sgl, req->pieces, bvec_virt(&piece),
					     piece.bv_len, at);
		at += piece.bv_len;
	}
}

/* Undo what filling the table has done. */
static void r3_block_empty(struct r3_request *req)
{
	struct scatterlist *sg;
	int i;

	if (req->copied) {
		for_each_sg(req->table.sgl, sg, req->pieces, i)
			__free_page(sg_page(sg));
	}
	req->copied = false;
	req->pieces = 0;
	sg_free_table_chained(&req->table, R3_INLINE_SEGMENTS);
}

/* Fill a table with pages of ours, with what is to be written. */
static int r3_block_fill_copied(struct request *rq, struct r3_request *req)
{
	u32 left = blk_rq_bytes(rq);
	struct scatterlist *sg;

	req->table.sgl = req->first;
	if (sg_alloc_table_chained(&req->table, DIV_ROUND_UP(left, PAGE_SIZE), req->first,
				   R3_INLINE_SEGMENTS))
		return -ENOMEM;
	req->copied = true;
	for (sg = req->table.sgl; left; sg = sg_next(sg)) {
		struct page *page = alloc_page(GFP_ATOMIC | __GFP_ZERO | __GFP_NOWARN);
		u32 bytes = min_t(u32, left, PAGE_SIZE);

		if (!page) {
			r3_block_empty(req);
			return -ENOMEM;
		}
		sg_set_page(sg, page, bytes, 0);
		req->pieces++;
		left -= bytes;
	}
	if (req_op(rq) == REQ_OP_WRITE)
		r3_block_copy(rq, req);
	return 0;
}

/* Fill a table with what a request reads or writes. */
static int r3_block_fill(struct r3_block *block, struct request *rq, struct r3_request *req)
{
	if (r3_block_shares_pages(block, rq))
		return r3_block_fill_copied(rq, req);
	req->table.sgl = req->first;
	if (sg_alloc_table_chained(&req->table, blk_rq_nr_phys_segments(rq), req->first,
				   R3_INLINE_SEGMENTS))
		return -ENOMEM;
	req->pieces = blk_rq_map_sg(rq->q, rq, req->table.sgl);
	return 0;
}

static void r3_block_unmap(struct r3_block *block, struct request *rq, struct r3_request *req)
{
	if (!req->pieces)
		return;
	dma_unmap_sg(block->dev, req->table.sgl, req->pieces, rq_dma_dir(rq));
	if (req->copied && req_op(rq) == REQ_OP_READ)
		r3_block_copy(rq, req);
	r3_block_empty(req);
}

/* Map a request's data, if it has any. Returns how many segments that makes. */
static int r3_block_map(struct r3_block *block, struct request *rq, struct r3_request *req)
{
	struct scatterlist *sg;
	int mapped;
	int i;

	req->pieces = 0;
	req->copied = false;
	if ((req_op(rq) != REQ_OP_READ && req_op(rq) != REQ_OP_WRITE) ||
	    !blk_rq_nr_phys_segments(rq))
		return 0;
	if (r3_block_fill(block, rq, req))
		return -ENOMEM;
	mapped = dma_map_sg(block->dev, req->table.sgl, req->pieces, rq_dma_dir(rq));
	if (mapped <= 0) {
		r3_block_empty(req);
		return -ENOMEM;
	}
	if (mapped > block->info.max_segments) {
		r3_block_unmap(block, rq, req);
		return -EINVAL;
	}
	/* The limits of the queue promise it, but not everybody asks them. */
	for_each_sg(req->table.sgl, sg, mapped, i) {
		if ((sg_dma_address(sg) | sg_dma_len(sg)) & (block->info.alignment - 1)) {
			r3_block_unmap(block, rq, req);
			return -EINVAL;
		}
	}
	return mapped;
}

/* Memory or space for bouncing may come back, but is not waited for without end. */
static blk_status_t r3_block_unmappable(struct r3_block *block, struct r3_request *req)
{
	if (!req->unmapped)
		req->unmapped = jiffies ?: 1;
	else if (time_after(jiffies, req->unmapped + msecs_to_jiffies(block->request_ms)))
		return BLK_STS_IOERR;
	return BLK_STS_RESOURCE;
}

/*
 * Post one request. Caller holds queue->lock. BLK_STS_RESOURCE has blk-mq come
 * again by itself. After BLK_STS_OK the request may have ended already.
 */
static blk_status_t r3_block_post(struct r3_block_queue *queue, struct request *rq, u32 operation)
{
	struct r3_request *req = blk_mq_rq_to_pdu(rq);
	struct r3_block *block = queue->block;
	struct r3_channel *ch = queue->channel;
	struct scatterlist *sg;
	struct r3_slot *slot;
	u32 token, room;
	int segments, i;

	if (!ch)
		return READ_ONCE(block->failing) ? BLK_STS_IOERR : BLK_STS_RESOURCE;
	/* As below; the operation is in the bits above. */
	if (blk_rq_sectors(rq) > R3_ENTRY_LENGTH)
		return BLK_STS_IOERR;
	room = block->size - (ch->queued - READ_ONCE(queue->released));
	if (room < blk_rq_nr_phys_segments(rq) + 1)
		return BLK_STS_RESOURCE;
	segments = r3_block_map(block, rq, req);
	if (segments == -ENOMEM)
		return r3_block_unmappable(block, req);
	if (segments < 0)
		return BLK_STS_IOERR;
	/* One that is copied can have more than it had. */
	if (room < segments + 1) {
		r3_block_unmap(block, rq, req);
		return BLK_STS_RESOURCE;
	}

	/* Not after blk-mq's own time, with which r3_block_late() compares it. */
	req->posted = jiffies;
	blk_mq_start_request(rq);
	req->unmapped = 0;
	req->sectors = operation == R3_BLOCK_FLUSH ? 0 : blk_rq_sectors(rq);
	req->tag = rq->tag;
	req->entries = segments + 1;
	req->serial = queue->serial++;
	slot = &queue->slot[rq->tag];
	slot->sequence++;
	token = r3_token(rq->tag, slot->sequence);
	r3_channel_submit(ch, operation == R3_BLOCK_FLUSH ? 0 : blk_rq_pos(rq),
			  req->sectors | operation | R3_ENTRY_CONTEXT |
			  (segments ? 0 : R3_ENTRY_LAST), token);
	for_each_sg(req->table.sgl, sg, segments, i)
		r3_channel_submit(ch, sg_dma_address(sg),
				  sg_dma_len(sg) | (i + 1 == segments ? R3_ENTRY_LAST : 0), token);
	WRITE_ONCE(queue->posted, queue->posted + 1);
	/*
	 * The request is reaped from here on, even before it is shown if the driver
	 * guesses its token: nothing of it is touched below.
	 */
	smp_store_release(&slot->rq, rq);
	return BLK_STS_OK;
}

/* Show the driver what has been posted. Caller holds queue->lock. */
static void r3_block_publish(struct r3_block_queue *queue)
{
	struct r3_channel *ch = queue->channel;

	if (!ch || ch->queued == ch->submitted)
		return;
	r3_channel_publish(ch);
	r3_grant_wake(queue->grant);
}

static blk_status_t r3_block_queue_rq(struct blk_mq_hw_ctx *hctx,
				      const struct blk_mq_queue_data *bd)
{
	struct r3_block_queue *queue = hctx->driver_data;
	struct request *rq = bd->rq;
	blk_status_t status;
	u32 operation;

	if (!r3_block_operation(rq, &operation))
		return BLK_STS_NOTSUPP;
	if (!(rq->rq_flags & RQF_DONTPREP))
		r3_block_begin(rq, blk_mq_rq_to_pdu(rq));
	spin_lock(&queue->lock);
	status = r3_block_post(queue, rq, operation);
	/* Those before one that is refused may still wait to be shown. */
	if (bd->last || status != BLK_STS_OK)
		r3_block_publish(queue);
	spin_unlock(&queue->lock);
	return status;
}

static void r3_block_commit_rqs(struct blk_mq_hw_ctx *hctx)
{
	struct r3_block_queue *queue = hctx->driver_data;

	spin_lock(&queue->lock);
	r3_block_publish(queue);
	spin_unlock(&queue->lock);
}

/* ---- completion ---- */

static void r3_block_complete(struct request *rq)
{
	struct r3_request *req = blk_mq_rq_to_pdu(rq);

	blk_mq_end_request(rq, req->status);
}

/* A request is the driver's no longer. Caller holds reap_lock, or is detach. */
static void r3_block_release(struct r3_block_queue *queue, struct request *rq)
{
	struct r3_request *req = blk_mq_rq_to_pdu(rq);

	r3_block_unmap(queue->block, rq, req);
	/* Before its end, after which blk-mq uses the tag again. */
	WRITE_ONCE(queue->slot[req->tag].rq, NULL);
	WRITE_ONCE(queue->released, queue->released + req->entries);
	/* Pairs with the acquire in r3_block_in_flight(). */
	smp_store_release(&queue->ended, queue->ended + 1);
}

static bool r3_block_error(u32 code, blk_status_t *status)
{
	switch (code) {
	case R3_BLOCK_E_IO:
		*status = BLK_STS_IOERR;
		return true;
	case R3_BLOCK_E_MEDIUM:
		*status = BLK_STS_MEDIUM;
		return true;
	case R3_BLOCK_E_TIMEOUT:
		*status = BLK_STS_TIMEOUT;
		return true;
	case R3_BLOCK_E_UNSUPPORTED:
		*status = BLK_STS_NOTSUPP;
		return true;
	case R3_BLOCK_E_PROTECTED:
		*status = BLK_STS_TARGET;
		return true;
	case R3_BLOCK_E_GONE:
		*status = BLK_STS_OFFLINE;
		return true;
	default:
		return false;
	}
}

/* Microseconds are of 1,024 ns here. */
static u32 r3_latency_index(u64 ns)
{
	u64 us = ns >> 10;
	u32 exponent = us ? ilog2(us) : 0;

	if (us < 4)
		return us;
	return min_t(u32, 4 * (exponent - 1) + ((us >> (exponent - 2)) & 3), R3_LATENCIES - 1);
}

/* Nanoseconds that all requests counted there took less than; of the last, and all after it. */
static u64 r3_latency_below(u32 index)
{
	if (index < 4)
		return (u64)(index + 1) << 10;
	return (u64)(index % 4 + 5) << (index / 4 - 1) << 10;
}

/* From its beginning, which the block layer notes unless its statistics are switched off. */
static void r3_block_count(struct r3_block_queue *queue, const struct request *rq, u64 now)
{
	u32 index;

	if (!rq->start_time_ns || now < rq->start_time_ns)
		return;
	index = r3_latency_index(now - rq->start_time_ns);
	WRITE_ONCE(queue->latency[index], queue->latency[index] + 1);
}

/* Is it an error that the driver may have made, rather than the medium or who asks? */
static bool r3_block_dubious(const struct request *rq, blk_status_t status)
{
	return status == BLK_STS_IOERR || status == BLK_STS_TIMEOUT ||
	       (status == BLK_STS_NOTSUPP &&
		(req_op(rq) == REQ_OP_READ || req_op(rq) == REQ_OP_WRITE));
}

/*
 * A driver that fails whatever it is asked harms its users as one that has ended
 * does. Another may do better; if that fails too it is the device, and none is
 * ended for that any more.
 */
static void r3_block_note(struct r3_block *block, const struct request *rq, blk_status_t status)
{
	if (likely(status == BLK_STS_OK)) {
		if (unlikely(READ_ONCE(block->failures)))
			WRITE_ONCE(block->failures, 0);
		if (unlikely(READ_ONCE(block->blamed)))
			WRITE_ONCE(block->blamed, false);
	} else if (r3_block_dubious(rq, status)) {
		WRITE_ONCE(block->failures, READ_ONCE(block->failures) + 1);
	}
}

/* Take one completion. Returns what is wrong with it, or NULL. */
static const char *r3_block_reap_one(struct r3_block_queue *queue, u64 now,
				     struct r3_request **ended)
{
	u32 length_flags, length, token, tag;
	struct r3_request *req;
	struct r3_slot *slot;
	struct request *rq;

	r3_channel_reap(queue->channel, &length_flags, &token);
	length = length_flags & R3_ENTRY_LENGTH;
	tag = token & 0xffff;
	slot = tag < queue->block->info.depth ? &queue->slot[tag] : NULL;
	/* Pairs with the release in r3_block_post(): after it the whole request is visible. */
	rq = slot ? smp_load_acquire(&slot->rq) : NULL;
	if (!rq || token != r3_token(tag, slot->sequence))
		return "a completion that was not asked for";
	req = blk_mq_rq_to_pdu(rq);
	req->status = BLK_STS_OK;
	if (length_flags & R3_ENTRY_ERROR && !r3_block_error(length, &req->status))
		return "an error that is none";
	if (!(length_flags & R3_ENTRY_ERROR) && length != req->sectors)
		return "a completion of another length than asked for";
	r3_block_count(queue, rq, now);
	r3_block_note(queue->block, rq, req->status);
	r3_block_release(queue, rq);
	req->next = *ended;
	*ended = req;
	return NULL;
}

/* Returns how many requests were done, or 0 and what is wrong. */
static u32 r3_block_reap(struct r3_block_queue *queue, const char **wrong)
{
	struct r3_request *ended = NULL;
	u64 now = ktime_get_ns();
	u32 done = 0;
	int count;

	*wrong = NULL;
	spin_lock(&queue->reap_lock);
	count = r3_channel_completed(queue->channel);
	if (count < 0)
		*wrong = "a counter that cannot be";
	while (count-- > 0 && !*wrong)
		*wrong = r3_block_reap_one(queue, now, &ended);
	r3_channel_reaped(queue->channel);
	spin_unlock(&queue->reap_lock);

	/* Outside the lock: an end can do anything, and in particular post. */
	while (ended) {
		struct r3_request *req = ended;

		ended = req->next;
		done += req->status == BLK_STS_OK;
		blk_mq_complete_request(blk_mq_rq_from_pdu(req));
	}
	return done;
}

static void r3_block_kick(struct r3_port *port, u32 channels)
{
	struct r3_block *block = r3_block_of(port);
	/* The port's, and this driver's: a kick comes from it alone. */
	struct r3_grant *grant = rcu_dereference(port->grant);
	u32 i;

	if (!grant || !block->disk)
		return;
	for (i = 0; i < block->info.queues; i++) {
		const char *wrong;

		if (!(channels & BIT(i)) || atomic_read(&grant->failed))
			continue;
		if (r3_block_reap(&block->queue[i], &wrong) &&
		    unlikely(!READ_ONCE(block->carried))) {
			WRITE_ONCE(block->carried, true);
			WRITE_ONCE(port->claim->carried_ns, ktime_get_ns());
		}
		if (wrong)
			r3_grant_fail(grant, R3_END_PROTOCOL, "request ring %u: %s", i, wrong);
	}
	if (unlikely(READ_ONCE(block->failures) >= R3_MOST_FAILURES) &&
	    !READ_ONCE(block->blamed) &&
	    r3_grant_fail(grant, R3_END_FAILING, "it failed %u requests in a row",
			  READ_ONCE(block->failures)))
		WRITE_ONCE(block->blamed, true);
}

/* ---- requests that a driver keeps ---- */

static enum blk_eh_timer_return r3_block_late(struct request *rq)
{
	struct r3_block_queue *queue = rq->mq_hctx->driver_data;
	struct r3_request *req = blk_mq_rq_to_pdu(rq);
	unsigned long limit = msecs_to_jiffies(queue->block->request_ms);

	spin_lock(&queue->lock);
	/* Not if it has just been completed, or taken back, or that and given to another driver. */
	if (queue->grant && READ_ONCE(queue->slot[req->tag].rq) == rq &&
	    !time_before(jiffies, req->posted + limit)) {
		WRITE_ONCE(queue->grant->stall.missed, req->posted);
		r3_grant_fail(queue->grant, R3_END_STALLED, "a request not completed for %u ms",
			      jiffies_to_msecs(jiffies - req->posted));
	}
	spin_unlock(&queue->lock);
	/* It ends when the grant has ended: until then the device can reach its pages. */
	return BLK_EH_RESET_TIMER;
}

/* ---- without a driver ---- */

/* Let requests wait for a driver, up to hold_ms from now. */
static void r3_block_hold(struct r3_block *block)
{
	spin_lock_bh(&block->lock);
	blk_mq_quiesce_queue_nowait(block->disk->queue);
	block->held = true;
	mod_timer(&block->hold_timer, jiffies + msecs_to_jiffies(block->hold_ms));
	spin_unlock_bh(&block->lock);
}

/* No driver is to be waited for, for now. Any context. */
static void r3_block_give_up(struct r3_block *block)
{
	bool held;

	spin_lock_bh(&block->lock);
	held = block->held;
	if (held) {
		block->held = false;
		/* Before the queue runs. */
		WRITE_ONCE(block->failing, true);
		blk_mq_unquiesce_queue(block->disk->queue);
	}
	spin_unlock_bh(&block->lock);
}

static void r3_block_hold_over(struct timer_list *timer)
{
	r3_block_give_up(container_of(timer, struct r3_block, hold_timer));
}

/* There is a driver: the queues' channels are set. */
static void r3_block_resume(struct r3_block *block)
{
	del_timer_sync(&block->hold_timer);
	spin_lock_bh(&block->lock);
	WRITE_ONCE(block->failing, false);
	if (block->held) {
		block->held = false;
		blk_mq_unquiesce_queue(block->disk->queue);
	}
	spin_unlock_bh(&block->lock);
}

static int r3_block_older(const void *a, const void *b)
{
	struct r3_request *x = blk_mq_rq_to_pdu(*(struct request *const *)a);
	struct r3_request *y = blk_mq_rq_to_pdu(*(struct request *const *)b);

	return x->serial < y->serial ? -1 : x->serial > y->serial;
}

/* May the next driver have this one? */
static bool r3_block_may_reissue(struct r3_block *block, struct r3_request *req)
{
	if (block->policy != R3_BLOCK_REISSUE)
		return false;
	if (!req->lost)
		req->lost = jiffies ?: 1;
	return !time_after(jiffies, req->lost + msecs_to_jiffies(block->hold_ms));
}

/* Take back what the driver had in this queue, oldest first. Nobody else touches the slots now. */
static void r3_block_take_back(struct r3_block_queue *queue)
{
	struct r3_block *block = queue->block;
	u32 count = 0;
	u32 i;

	for (i = 0; i < block->info.depth; i++) {
		if (queue->slot[i].rq)
			block->taken[count++] = queue->slot[i].rq;
	}
	sort(block->taken, count, sizeof(*block->taken), r3_block_older, NULL);
	for (i = 0; i < count; i++) {
		struct request *rq = block->taken[R3_REQUEUE_NEWEST_FIRST ? count - 1 - i : i];
		struct r3_request *req = blk_mq_rq_to_pdu(rq);

		r3_block_release(queue, rq);
		if (r3_block_may_reissue(block, req)) {
			blk_mq_requeue_request(rq, false);
		} else {
			req->status = BLK_STS_IOERR;
			blk_mq_complete_request(rq);
		}
	}
}

/* ---- the disk ---- */

static const struct block_device_operations r3_block_fops = {
	.owner = THIS_MODULE,
};

static int r3_block_init_hctx(struct blk_mq_hw_ctx *hctx, void *data, unsigned int index)
{
	struct r3_block *block = data;

	hctx->driver_data = &block->queue[index];
	return 0;
}

static const struct blk_mq_ops r3_block_mq_ops = {
	.queue_rq = r3_block_queue_rq,
	.commit_rqs = r3_block_commit_rqs,
	.complete = r3_block_complete,
	.timeout = r3_block_late,
	.init_hctx = r3_block_init_hctx,
};

/* Length of a text that a device says of itself, without what pads it. */
static size_t r3_block_length(const char *text, size_t size)
{
	size_t length = strnlen(text, size);

	while (length && text[length - 1] == ' ')
		length--;
	return length;
}

static ssize_t r3_block_show(char *to, const char *text, size_t size)
{
	return sysfs_emit(to, "%.*s\n", (int)r3_block_length(text, size), text);
}

static struct r3_block *r3_block_of_disk(struct device *dev)
{
	return dev_to_disk(dev)->private_data;
}

static ssize_t model_show(struct device *dev, struct device_attribute *attribute, char *to)
{
	const struct r3_block_attach *info = &r3_block_of_disk(dev)->info;

	return r3_block_show(to, info->model, sizeof(info->model));
}

static ssize_t serial_show(struct device *dev, struct device_attribute *attribute, char *to)
{
	const struct r3_block_attach *info = &r3_block_of_disk(dev)->info;

	return r3_block_show(to, info->serial, sizeof(info->serial));
}

/* A line for each latency that requests had: nanoseconds that they took less than, and how many. */
static ssize_t latency_show(struct device *dev, struct device_attribute *attribute, char *to)
{
	struct r3_block *block = r3_block_of_disk(dev);
	ssize_t length = 0;
	u32 index, i;

	for (index = 0; index < R3_LATENCIES; index++) {
		unsigned long count = 0;

		for (i = 0; i < block->info.queues; i++)
			count += READ_ONCE(block->queue[i].latency[index]);
		if (count)
			length += sysfs_emit_at(to, length, "%llu %lu\n",
						r3_latency_below(index), count);
	}
	return length;
}

static DEVICE_ATTR_RO(model);
static DEVICE_ATTR_RO(serial);
static DEVICE_ATTR_RO(latency);

static struct attribute *r3_block_attributes[] = {
	&dev_attr_model.attr,
	&dev_attr_serial.attr,
	&dev_attr_latency.attr,
	NULL,
};

static const struct attribute_group r3_block_group = {
	.attrs = r3_block_attributes,
};

static const struct attribute_group *r3_block_groups[] = {
	&r3_block_group,
	NULL,
};

/* Takes no lock of ours: it waits for reads of the partition table. */
static void r3_block_add(struct work_struct *work)
{
	struct r3_block *block = container_of(work, struct r3_block, add_work);
	int err = device_add_disk(block->dev, block->disk, r3_block_groups);

	if (err)
		dev_err(block->dev, "ring3: disk %s cannot be added: error %d\n",
			block->name, -err);
	else
		block->added = true;
	WRITE_ONCE(block->add_error, err);
}

static void r3_block_free_disk(struct r3_block *block)
{
	u32 i;

	for (i = 0; i < R3_MAX_CHANNELS; i++) {
		kvfree(block->queue[i].slot);
		block->queue[i].slot = NULL;
	}
	kvfree(block->taken);
	block->taken = NULL;
	dma_set_max_seg_size(block->dev, UINT_MAX);
	dma_set_seg_boundary(block->dev, ULONG_MAX);
	if (!block->disk)
		return;
	put_disk(block->disk);
	blk_mq_free_tag_set(&block->tags);
	block->disk = NULL;
}

/* The most that one segment can be here, where some are bounced. */
static u32 r3_block_max_segment(struct r3_block *block, const struct r3_block_attach *info)
{
	return min_t(u64, info->max_segment,
		     round_down(dma_max_mapping_size(block->dev), (size_t)info->logical_block));
}

/* Make the disk that the first driver tells of. Adding it comes after its attach. */
static int r3_block_make_disk(struct r3_block *block, const struct r3_block_attach *info)
{
	struct gendisk *disk;
	u32 i;
	int err;

	block->taken = kvcalloc(info->depth, sizeof(*block->taken), GFP_KERNEL);
	if (!block->taken)
		return -ENOMEM;
	for (i = 0; i < info->queues; i++) {
		block->queue[i].slot = kvcalloc(info->depth, sizeof(*block->queue[i].slot),
						GFP_KERNEL);
		if (!block->queue[i].slot) {
			r3_block_free_disk(block);
			return -ENOMEM;
		}
	}
	/* So that an IOMMU joins no more than the device can do. */
	block->max_segment = r3_block_max_segment(block, info);
	dma_set_max_seg_size(block->dev, block->max_segment);
	dma_set_seg_boundary(block->dev, info->boundary ? info->boundary - 1 : ULONG_MAX);

	block->tags = (struct blk_mq_tag_set) {
		.ops = &r3_block_mq_ops,
		.nr_hw_queues = info->queues,
		.queue_depth = info->depth,
		.numa_node = dev_to_node(block->dev),
		.cmd_size = sizeof(struct r3_request),
		.flags = BLK_MQ_F_SHOULD_MERGE,
		.timeout = msecs_to_jiffies(block->request_ms),
		.driver_data = block,
	};
	err = blk_mq_alloc_tag_set(&block->tags);
	if (err) {
		r3_block_free_disk(block);
		return err;
	}
	disk = r3_alloc_disk(&block->tags, info, block->max_segment);
	if (IS_ERR(disk)) {
		blk_mq_free_tag_set(&block->tags);
		r3_block_free_disk(block);
		return PTR_ERR(disk);
	}
	strscpy(disk->disk_name, block->name, sizeof(disk->disk_name));
	disk->fops = &r3_block_fops;
	disk->private_data = block;
	set_capacity(disk, info->sectors);
	set_disk_ro(disk, info->features & R3_BLOCK_READ_ONLY);
	block->info = *info;
	block->disk = disk;
	return 0;
}

/* ---- attaching ---- */

static bool r3_block_text(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	size_t i;

	for (i = 0; i < length; i++) {
		if (!isascii(text[i]) || !isprint(text[i]))
			return false;
	}
	return !memchr_inv(text + length, 0, size - length);
}

static bool r3_power(u64 value, u64 least, u64 most)
{
	return value >= least && value <= most && is_power_of_2(value);
}

/* What is out of range in what a driver says of its disk, or NULL. */
static const char *r3_block_refusal(struct r3_block *block, const struct r3_block_attach *info)
{
	u32 sectors = info->logical_block >> SECTOR_SHIFT;

	if (!r3_power(info->logical_block, SECTOR_SIZE, PAGE_SIZE))
		return "a logical block is a power of two from 512 to 4096";
	if (!r3_power(info->physical_block, info->logical_block, R3_MAX_PHYSICAL_BLOCK))
		return "a physical block is a power of two from the logical block to 1 MiB";
	if (!info->sectors || info->sectors > LLONG_MAX >> SECTOR_SHIFT ||
	    info->sectors & (sectors - 1))
		return "the disk is not a number of whole logical blocks that Linux can count";
	if (info->max_sectors < PAGE_SIZE >> SECTOR_SHIFT || info->max_sectors > R3_ENTRY_LENGTH ||
	    info->max_sectors & (sectors - 1))
		return "a request is at most 8 to 1048575 sectors, in whole logical blocks";
	if (!info->max_segments || info->max_segments > R3_MAX_SEGMENTS ||
	    info->max_segments >= block->size)
		return "a request has 1 to 1024 segments, which fit the ring with one entry more";
	if (info->max_segment < PAGE_SIZE || info->max_segment > 512 * 1024 ||
	    info->max_segment & (info->logical_block - 1))
		return "a segment is at most 4096 to 524288 bytes, in whole logical blocks";
	if (info->boundary && (info->boundary < PAGE_SIZE || !is_power_of_2(info->boundary)))
		return "a boundary is a power of two from 4096";
	if (!r3_power(info->alignment, 4, info->logical_block))
		return "an alignment is a power of two from 4 to the logical block";
	if (!info->depth || info->depth > R3_MAX_DEPTH)
		return "a queue has 1 to 1024 requests at a time";
	if (!info->queues || info->queues > block->port.channels)
		return "a driver serves 1 queue to all of the port's";
	if (info->features & ~R3_BLOCK_FEATURES)
		return "an unknown feature";
	if (!!info->max_discard != !!(info->features & (R3_BLOCK_DISCARD | R3_BLOCK_ZEROES)) ||
	    info->max_discard > R3_ENTRY_LENGTH || info->max_discard & (sectors - 1))
		return "a discard is up to 1048575 sectors, in whole logical blocks, or 0 for none";
	/* Linux does not split a discard that cannot be of whole physical blocks. */
	if (info->max_discard && info->max_discard < info->physical_block >> SECTOR_SHIFT)
		return "a discard is at least one physical block";
	if (!r3_block_text(info->model, sizeof(info->model)) ||
	    !r3_block_text(info->serial, sizeof(info->serial)))
		return "model and serial are printable ASCII, padded";
	return NULL;
}

static bool r3_block_same_serial(const struct r3_block_attach *a, const struct r3_block_attach *b)
{
	size_t length = r3_block_length(a->serial, sizeof(a->serial));

	return length == r3_block_length(b->serial, sizeof(b->serial)) &&
	       !memcmp(a->serial, b->serial, length);
}

/* What keeps a later driver from taking requests that are made for the first, or NULL. */
static const char *r3_block_mismatch(struct r3_block *block, const struct r3_block_attach *info)
{
	const struct r3_block_attach *first = &block->info;
	const u32 needs = R3_BLOCK_DISCARD | R3_BLOCK_ZEROES |
			  (first->features & R3_BLOCK_CACHE ? R3_BLOCK_FUA : 0);

	if (info->sectors != first->sectors || !r3_block_same_serial(info, first))
		return "it is another disk: size or serial number differ";
	if (info->logical_block != first->logical_block)
		return "its logical block differs";
	/* Flushes that are not sent would be as bad as ones that are not understood. */
	if ((info->features ^ first->features) & R3_BLOCK_CACHE)
		return "one has a cache, the other not";
	if (first->features & needs & ~info->features)
		return "it lacks a feature";
	if (info->features & ~first->features & R3_BLOCK_READ_ONLY)
		return "it is read-only now";
	if (info->max_sectors < first->max_sectors || info->max_segments < first->max_segments ||
	    r3_block_max_segment(block, info) < block->max_segment ||
	    info->max_discard < first->max_discard)
		return "it can take only smaller requests";
	if (info->alignment > first->alignment)
		return "it wants more alignment";
	if (info->boundary && (!first->boundary || info->boundary < first->boundary))
		return "it has a narrower boundary";
	if (info->depth < first->depth || info->queues < first->queues)
		return "it has fewer or shorter queues";
	return NULL;
}

static int r3_block_attach(struct r3_port *port, struct r3_grant *grant,
			   const struct r3_port_attach *args)
{
	struct r3_block *block = r3_block_of(port);
	const struct r3_block_attach *info = &args->block;
	bool first = !block->disk;
	const char *refusal;
	int err;
	u32 i;

	if (memchr_inv(args->room + sizeof(*info), 0, sizeof(args->room) - sizeof(*info)))
		return -EINVAL;
	refusal = r3_block_refusal(block, info);
	if (refusal)
		return r3_refuse(grant->claim, -EINVAL, "attach: %s", refusal);
	if (first) {
		err = r3_block_make_disk(block, info);
		if (err)
			return r3_refuse(grant->claim, err, "disk %s cannot be made: error %d",
					 block->name, -err);
	} else {
		err = READ_ONCE(block->add_error);
		if (err)
			return r3_refuse(grant->claim, -EIO, "disk %s cannot be added: error %d",
					 block->name, -err);
		refusal = r3_block_mismatch(block, info);
		if (refusal)
			return r3_refuse(grant->claim, -EINVAL, "not what disk %s began with: %s",
					 block->name, refusal);
	}

	block->carried = false;
	block->failures = 0;
	for (i = 0; i < block->info.queues; i++) {
		struct r3_block_queue *queue = &block->queue[i];

		spin_lock(&queue->lock);
		queue->released = 0;
		queue->channel = &grant->channel[i];
		queue->grant = grant;
		spin_unlock(&queue->lock);
	}
	r3_block_resume(block);
	/* Its reads wait for the driver, which is in this call. */
	if (first)
		queue_work(system_unbound_wq, &block->add_work);
	return 0;
}

/* The device is quiet, and no kick is under way. */
static void r3_block_detach(struct r3_port *port, struct r3_grant *grant)
{
	struct r3_block *block = r3_block_of(port);
	u32 i;

	/* Who posts after this finds no channel, and who comes again finds the queue quiesced. */
	r3_block_hold(block);
	for (i = 0; i < block->info.queues; i++) {
		spin_lock(&block->queue[i].lock);
		block->queue[i].channel = NULL;
		block->queue[i].grant = NULL;
		spin_unlock(&block->queue[i].lock);
	}
	for (i = 0; i < block->info.queues; i++)
		r3_block_take_back(&block->queue[i]);
	blk_mq_kick_requeue_list(block->disk->queue);
}

/* There is nothing to configure: all that is wanted of a disk comes as requests. */
static void r3_block_config(struct r3_port *port, struct r3_port_config *out)
{
}

static int r3_block_report(struct r3_port *port, const struct r3_port_report *args)
{
	return -EOPNOTSUPP;
}

static u32 r3_block_in_flight(struct r3_port *port)
{
	struct r3_block *block = r3_block_of(port);
	u32 count = 0;
	u32 i;

	for (i = 0; i < port->channels; i++) {
		/* First those that have ended: the others are not fewer then. */
		u32 ended = smp_load_acquire(&block->queue[i].ended);

		count += READ_ONCE(block->queue[i].posted) - ended;
	}
	return count;
}

static void r3_block_down(struct r3_port *port)
{
	struct r3_block *block = r3_block_of(port);

	if (block->disk)
		r3_block_give_up(block);
}

/* ---- making and ending a port ---- */

static void r3_block_free(struct r3_block *block)
{
	mutex_lock(&r3_disks_lock);
	list_del(&block->node);
	mutex_unlock(&r3_disks_lock);
	kfree(block);
}

/* Who has the disk open keeps the gendisk, and gets errors from it; none of that comes here. */
static void r3_block_destroy(struct r3_port *port)
{
	struct r3_block *block = r3_block_of(port);

	WARN_ON(r3_block_in_flight(port));
	if (block->disk) {
		/* All that waits fails, so that nothing below has to wait for a driver. */
		r3_block_give_up(block);
		del_timer_sync(&block->hold_timer);
		flush_work(&block->add_work);
		if (block->added) {
			blk_mark_disk_dead(block->disk);
			del_gendisk(block->disk);
		}
		r3_block_free_disk(block);
	}
	r3_block_free(block);
}

static const struct r3_port_ops r3_block_ops = {
	.kind = R3_PORT_KIND_BLOCK,
	.attach = r3_block_attach,
	.detach = r3_block_detach,
	.config = r3_block_config,
	.report = r3_block_report,
	.kick = r3_block_kick,
	.tx_frames = r3_block_in_flight,
	.down = r3_block_down,
	.destroy = r3_block_destroy,
};

/*
 * "r3", letters, then digits or "%d". No disk of another driver begins so, and no
 * partition has such a name: theirs end in a letter and digits after digits.
 */
static bool r3_block_name_valid(const char *name, size_t size, bool *pattern)
{
	size_t length = strnlen(name, size);
	size_t at = 2;
	size_t digits;

	if (length == size || strncmp(name, "r3", 2))
		return false;
	while (name[at] >= 'a' && name[at] <= 'z')
		at++;
	*pattern = !strcmp(name + at, "%d");
	digits = strspn(name + at, "0123456789");
	return at > 2 && (*pattern || (digits && at + digits == length));
}

static bool r3_block_name_taken(const char *name)
{
	struct r3_block *other;

	lockdep_assert_held(&r3_disks_lock);
	list_for_each_entry(other, &r3_disks, node) {
		if (!strcmp(other->name, name))
			return true;
	}
	return false;
}

/* Take a name that is like the one asked for. */
static int r3_block_enlist(struct r3_block *block, const char *name, bool pattern)
{
	int err = -EEXIST;
	int i;

	mutex_lock(&r3_disks_lock);
	for (i = 0; i <= (pattern ? 9999 : 0) && err; i++) {
		if (pattern)
			snprintf(block->name, sizeof(block->name), "%.*s%d",
				 (int)strlen(name) - 2, name, i);
		else
			strscpy(block->name, name, sizeof(block->name));
		if (!r3_block_name_taken(block->name))
			err = 0;
	}
	if (!err)
		list_add_tail(&block->node, &r3_disks);
	mutex_unlock(&r3_disks_lock);
	return err;
}

static int r3_block_check(struct r3_claim *claim, const struct r3_port_block *args, bool *pattern)
{
	if (args->reserved)
		return -EINVAL;
	if (!args->queues || args->queues > R3_MAX_CHANNELS)
		return r3_refuse(claim, -EINVAL, "a block port has 1 to %u queues, not %u",
				 R3_MAX_CHANNELS, args->queues);
	if (args->ring_size < 64 || args->ring_size > 4096 || !is_power_of_2(args->ring_size))
		return r3_refuse(claim, -EINVAL,
				 "a ring has 64 to 4096 entries, a power of two, not %u",
				 args->ring_size);
	if (args->policy > R3_BLOCK_FAIL)
		return r3_refuse(claim, -EINVAL, "there is no policy %u", args->policy);
	if (!args->hold_ms || args->hold_ms > R3_MAX_HOLD_MS || !args->request_ms ||
	    args->request_ms > R3_MAX_HOLD_MS)
		return r3_refuse(claim, -EINVAL, "requests wait 1 to %u ms", R3_MAX_HOLD_MS);
	if (!r3_block_name_valid(args->name, sizeof(args->name), pattern))
		return r3_refuse(claim, -EINVAL,
				 "a disk's name is r3, letters, then digits or %%d, at most 15 characters");
	return 0;
}

/* Caller holds dev->lock. */
struct r3_port *r3_block_create(struct r3_claim *claim, const struct r3_port_block *args)
{
	struct r3_block *block;
	bool pattern = false;
	u32 i;
	int err;

	err = r3_block_check(claim, args, &pattern);
	if (err)
		return ERR_PTR(err);
	block = kzalloc(sizeof(*block), GFP_KERNEL);
	if (!block)
		return ERR_PTR(-ENOMEM);
	err = r3_block_enlist(block, args->name, pattern);
	if (err) {
		kfree(block);
		return ERR_PTR(r3_refuse(claim, err, "there is a disk %s", args->name));
	}
	block->dev = &claim->dev->pdev->dev;
	block->confined = claim->dev->confined;
	block->size = args->ring_size;
	block->policy = args->policy;
	block->hold_ms = args->hold_ms;
	block->request_ms = args->request_ms;
	spin_lock_init(&block->lock);
	timer_setup(&block->hold_timer, r3_block_hold_over, 0);
	INIT_WORK(&block->add_work, r3_block_add);
	block->port.ops = &r3_block_ops;
	block->port.claim = claim;
	block->port.channels = args->queues;
	for (i = 0; i < args->queues; i++) {
		struct r3_block_queue *queue = &block->queue[i];

		queue->block = block;
		spin_lock_init(&queue->lock);
		spin_lock_init(&queue->reap_lock);
		block->port.channel[i].kind = R3_CHANNEL_BLOCK;
		block->port.channel[i].size = block->size;
	}
	block->port.rings_length = r3_port_layout(&block->port);
	return &block->port;
}
