// SPDX-License-Identifier: GPL-2.0
/*
 * The network port: a netdev whose hardware is a driver process.
 *
 * Transmit: each frame's memory is mapped for the device and posted as bus
 * addresses; where an IOMMU translates, short frames are copied into buffers that
 * stay mapped. Receive: halves of pages of our own, mapped once and reused while
 * nobody else holds them, are posted and come back filled. Other payload is never
 * copied but for small frames. The device may write to a receive page at any time, so
 * headers are copied out before anything is decided by them, and no kernel
 * structure ever lies in such a page.
 *
 * The pool is our own rather than page_pool because its pages must be unmapped
 * before the device goes, while some are still held by sockets.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/if_vlan.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/scatterlist.h>
#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/tcp.h>

#include "ring3.h"

#define R3_NET_TX	0	/* channel numbers */
#define R3_NET_RX	1

#define R3_SEGMENTS	(MAX_SKB_FRAGS + 1)
/*
 * Where an IOMMU translates, frames to send up to this are copied: it takes longer
 * to map and unmap one, as a strict domain has the IOMMU forget each at once. And
 * the device sees no more of a page than the frame.
 */
#define R3_TX_COPY	2048
#define R3_TX_COPIES	(PAGE_SIZE / R3_TX_COPY)	/* in a page */
/*
 * A socket has room for so many bytes of memory that it holds, not of datagrams:
 * with a page for each it takes half as many, and loses what comes in a burst.
 */
#define R3_RX_BUFFER	(PAGE_SIZE / 2)
#define R3_RX_HALVES	(PAGE_SIZE / R3_RX_BUFFER)
#define R3_RX_COPY	256	/* frames up to this are copied, their buffer is free at once */
#define R3_RX_HEAD	128	/* of longer ones, this much is copied to find the headers in */
/* Of a received frame, all its buffers: what one skb holds. */
#define R3_FRAME_MAX	min_t(u32, MAX_SKB_FRAGS * R3_RX_BUFFER, ETH_MAX_MTU + ETH_HLEN)
#define R3_KEPT_LOOK	HZ		/* between looks whether frames move */
#define R3_KEPT_LOOKS	3		/* at least: so many at which none had */
#define R3_REFILL_RETRY	(HZ / 20)	/* after a refill that found no memory */
#define R3_POOL_FACTOR	4	/* pool pages per posted one: how long sockets may hold one */

/* A frame the driver has been given and has not completed. */
struct r3_tx_frame {
	struct sk_buff *skb;
	u16 sequence;			/* in the token: tells reuses of an id apart */
	u16 entries;			/* submissions it took */
	u16 pieces;			/* of its memory that are mapped; 0 if it was copied */
	struct scatterlist sg[R3_SEGMENTS];
	void *copy;			/* R3_TX_COPY bytes that stay mapped; NULL without an IOMMU */
	dma_addr_t copy_address;
};

/* A page of the pool, of which one half at most is posted. */
struct r3_rx_page {
	struct page *page;
	dma_addr_t address;
	u16 sequence;
	u16 dirty[R3_RX_HALVES];	/* bytes from its start that its next reader may not see */
	u8 held;			/* bits: halves that somebody may still hold */
	u8 half;			/* the one that is posted, or was last */
	bool posted;
};

struct r3_net {
	struct r3_port port;
	struct net_device *netdev;
	struct napi_struct napi;
	struct device *dev;			/* DMA is mapped for it */
	bool confined;				/* by an IOMMU */
	u32 size;				/* ring entries */
	u32 max_segments;
	netdev_features_t offered;		/* what the driver's device can do; under rtnl */
	bool registered;

	struct r3_grant *grant;			/* while attached; changes with NAPI disabled */
	struct r3_channel *tx, *rx;		/* the grant's; likewise */
	bool carrying;				/* xmit may use them; under the transmit lock */

	/* Ids of free frames: NAPI puts at free_in, xmit takes at free_out. */
	struct r3_tx_frame *frame;
	u16 *free_frame;
	u32 free_in, free_out;
	u32 tx_released;			/* entries of completed frames; NAPI writes */

	/* Looks after frames that the driver keeps, while it has any. */
	struct timer_list kept_timer;
	u32 kept_released;			/* tx_released at the last look */
	u32 kept_looks;				/* in a row at which that had not moved */

	/* All NAPI's. */
	struct r3_rx_page *pool;
	u32 pool_size;
	u32 filled;				/* pool entries that have had a page */
	u16 *idle_page;				/* FIFO of pool indices that are not posted */
	u32 idle_in, idle_out;
	u32 posted;
	struct timer_list refill_timer;		/* tries again after a refill found no memory */
	struct sk_buff *partial;		/* a frame whose last buffer is still to come */
	bool dropping;				/* the rest of the current frame is dropped */
	bool carried;				/* this driver has had a frame done */
	u32 failures;				/* frames in a row, of this driver */
	bool blamed;				/* one has ended for them since one was last sent */
	u64 packets_before;			/* both ways, by the drivers before it */

	/* tx_* under the transmit lock or by NAPI alone, rx_* by NAPI. */
	u64 tx_packets, tx_bytes, tx_dropped, tx_errors;
	u64 rx_packets, rx_bytes, rx_dropped, rx_errors;
	struct r3_net_report report;		/* under dev->lock */
};

static struct r3_net *r3_net_of(struct r3_port *port)
{
	return container_of(port, struct r3_net, port);
}

static struct r3_net *r3_net_priv(struct net_device *netdev)
{
	return *(struct r3_net **)netdev_priv(netdev);
}

static u32 r3_token(u32 id, u16 sequence)
{
	return id | (u32)sequence << 16;
}

/* ---- transmit ---- */

static u32 r3_tx_room(const struct r3_net *net)
{
	return net->size - (net->tx->queued - READ_ONCE(net->tx_released));
}

/* Room for any frame: its segments and a context entry. */
static bool r3_tx_has_room(const struct r3_net *net)
{
	if (r3_tx_room(net) < R3_SEGMENTS + 1)
		return false;
	/* Pairs with the release in r3_tx_release(): the id is in place. */
	return smp_load_acquire(&net->free_in) != net->free_out;
}

static void r3_tx_unmap(struct r3_net *net, struct r3_tx_frame *frame)
{
	if (frame->pieces)
		dma_unmap_sg(net->dev, frame->sg, frame->pieces, DMA_TO_DEVICE);
	frame->pieces = 0;
}

/* Copies a frame that is short enough; false if it has to be mapped. */
static bool r3_tx_copy(struct r3_net *net, struct r3_tx_frame *frame, struct sk_buff *skb)
{
	if (!frame->copy || skb->len > R3_TX_COPY || skb_is_gso(skb) ||
	    skb_copy_bits(skb, 0, frame->copy, skb->len))
		return false;
	dma_sync_single_for_device(net->dev, frame->copy_address, skb->len, DMA_TO_DEVICE);
	sg_dma_address(frame->sg) = frame->copy_address;
	sg_dma_len(frame->sg) = skb->len;
	return true;
}

/*
 * Map a frame, all of it at once: an IOMMU then has one range to forget, where it
 * would have one for each piece. Returns how many bus addresses that makes, or 0.
 */
static int r3_tx_map(struct r3_net *net, struct r3_tx_frame *frame, struct sk_buff *skb)
{
	int pieces = 1;
	int mapped;

	if (skb_is_nonlinear(skb)) {
		sg_init_table(frame->sg, skb_shinfo(skb)->nr_frags + 1);
		pieces = skb_to_sgvec(skb, frame->sg, 0, skb->len);
		if (pieces <= 0)
			return 0;
	} else {
		sg_init_one(frame->sg, skb->data, skb->len);
	}
	mapped = dma_map_sg(net->dev, frame->sg, pieces, DMA_TO_DEVICE);
	if (mapped)
		frame->pieces = pieces;
	return mapped;
}

/*
 * Prepare a frame for segmentation as adapters expect it: no lengths and no IP
 * checksum in the headers, the pseudo header's sum without length in TCP's.
 */
static int r3_tx_prepare_tso(struct sk_buff *skb)
{
	int err = skb_cow_head(skb, 0);

	if (err)
		return err;
	if (skb_shinfo(skb)->gso_type & SKB_GSO_TCPV4) {
		struct iphdr *ip = ip_hdr(skb);

		ip->tot_len = 0;
		ip->check = 0;
		tcp_hdr(skb)->check = ~csum_tcpudp_magic(ip->saddr, ip->daddr, 0, IPPROTO_TCP, 0);
	} else {
		ipv6_hdr(skb)->payload_len = 0;
		tcp_v6_gso_csum_prep(skb);
	}
	return 0;
}

/* The context entry's two address words; 0 flags means the frame needs none. */
static int r3_tx_context(struct sk_buff *skb, u64 *context, u32 *flags)
{
	u32 start, offset, high = 0;
	int err;

	*flags = 0;
	if (skb->ip_summed != CHECKSUM_PARTIAL)
		return 0;
	*flags = R3_ENTRY_CSUM;
	if (skb_is_gso(skb)) {
		err = r3_tx_prepare_tso(skb);
		if (err)
			return err;
		*flags |= R3_ENTRY_TSO |
			  (skb_shinfo(skb)->gso_type & SKB_GSO_TCPV6 ? R3_ENTRY_IPV6 : 0);
		high = skb_shinfo(skb)->gso_size | skb_tcp_all_headers(skb) << 16;
	}
	start = skb_checksum_start_offset(skb);
	offset = start + skb->csum_offset;
	*context = (u64)high << 32 | offset << 16 | start;
	return 0;
}

static netdev_tx_t r3_net_xmit(struct sk_buff *skb, struct net_device *netdev)
{
	struct r3_net *net = r3_net_priv(netdev);
	struct r3_tx_frame *frame;
	struct scatterlist *sg;
	u32 flags, token, id;
	u64 context = 0;
	int mapped, i;

	if (unlikely(!net->carrying || !r3_tx_has_room(net))) {
		netif_stop_queue(netdev);
		return NETDEV_TX_BUSY;
	}
	if (skb_shinfo(skb)->nr_frags + 1 > net->max_segments && skb_linearize(skb))
		goto drop;
	if (r3_tx_context(skb, &context, &flags))
		goto drop;
	id = net->free_frame[net->free_out & (net->size - 1)];
	frame = &net->frame[id];
	mapped = r3_tx_copy(net, frame, skb) ? 1 : r3_tx_map(net, frame, skb);
	if (!mapped)
		goto drop;

	net->free_out++;
	frame->sequence++;
	frame->entries = mapped + !!flags;
	token = r3_token(id, frame->sequence);
	if (flags)
		r3_channel_submit(net->tx, context, skb->len | R3_ENTRY_CONTEXT | flags, token);
	for_each_sg(frame->sg, sg, mapped, i)
		r3_channel_submit(net->tx, sg_dma_address(sg),
				  sg_dma_len(sg) | flags | (i + 1 == mapped ? R3_ENTRY_LAST : 0),
				  token);
	skb_tx_timestamp(skb);
	/*
	 * The frame is reaped from here on, even before it is shown if the driver
	 * guesses its token: nothing of it is touched below.
	 */
	smp_store_release(&frame->skb, skb);

	if (!r3_tx_has_room(net)) {
		netif_stop_queue(netdev);
		/* Pairs with the barrier in r3_tx_reap(): one of us sees the other. */
		smp_mb();
		if (r3_tx_has_room(net))
			netif_start_queue(netdev);
	}
	if (!netdev_xmit_more() || netif_queue_stopped(netdev)) {
		r3_channel_publish(net->tx);
		r3_grant_wake(net->grant);
		/* Its barrier pairs with that in r3_tx_kept(): one of us sees the other. */
		if (!timer_pending(&net->kept_timer))
			mod_timer(&net->kept_timer, jiffies + R3_KEPT_LOOK);
	}
	return NETDEV_TX_OK;

drop:
	net->tx_dropped++;
	dev_kfree_skb_any(skb);
	/* Frames before this one may still wait for their publish. */
	if (net->tx->queued != net->tx->submitted) {
		r3_channel_publish(net->tx);
		r3_grant_wake(net->grant);
	}
	return NETDEV_TX_OK;
}

static void r3_tx_release(struct r3_net *net, u32 id, int budget)
{
	struct r3_tx_frame *frame = &net->frame[id];

	r3_tx_unmap(net, frame);
	napi_consume_skb(frame->skb, budget);
	frame->skb = NULL;
	WRITE_ONCE(net->tx_released, net->tx_released + frame->entries);
	net->free_frame[net->free_in & (net->size - 1)] = id;
	/* The id is in place before xmit may take it. */
	smp_store_release(&net->free_in, net->free_in + 1);
}

static int r3_tx_reap(struct r3_net *net, int budget)
{
	int count = r3_channel_completed(net->tx);
	int i;

	if (count <= 0)
		return count;
	for (i = 0; i < count; i++) {
		u32 length_flags, token, id;
		struct r3_tx_frame *frame;

		r3_channel_reap(net->tx, &length_flags, &token);
		id = token & 0xffff;
		frame = id < net->size ? &net->frame[id] : NULL;
		/* Pairs with the release in xmit: the rest of the frame is visible after it. */
		if (!frame || !smp_load_acquire(&frame->skb) ||
		    token != r3_token(id, frame->sequence))
			return -EPROTO;
		if (length_flags & R3_ENTRY_ERROR) {
			net->tx_errors++;
			/* While it goes down, what is left may be dropped. */
			if (netif_running(net->netdev))
				net->failures++;
		} else {
			net->tx_packets++;
			net->tx_bytes += frame->skb->len;
			if (unlikely(net->failures))
				net->failures = 0;
			if (unlikely(net->blamed))
				net->blamed = false;
		}
		r3_tx_release(net, id, budget);
	}
	r3_channel_reaped(net->tx);

	/* Pairs with the barrier in r3_net_xmit(): one of us sees the other. */
	smp_mb();
	if (netif_queue_stopped(net->netdev) && r3_tx_has_room(net))
		netif_wake_queue(net->netdev);
	return count;
}

/*
 * A frame that its driver has seen and keeps is no work that it does not come for
 * (stall.c), and harms whoever waits for it as much. What the card cannot send
 * while it has no link, or is not to send while it is down, may wait; and what a
 * driver was given before it has come up altogether.
 */
static void r3_tx_kept(struct timer_list *timer)
{
	struct r3_net *net = container_of(timer, struct r3_net, kept_timer);
	struct r3_stall *stall = &net->grant->stall;
	u32 looks = max_t(u32, R3_KEPT_LOOKS, DIV_ROUND_UP(stall->limit_ms, MSEC_PER_SEC));
	u32 released;

	/* Off the queue since before this; pairs with the barrier before xmit's look at it. */
	smp_mb();
	released = READ_ONCE(net->tx_released);
	if (released == READ_ONCE(net->tx->queued)) {
		net->kept_looks = 0;
		return;
	}
	if (released != net->kept_released || !READ_ONCE(stall->serves) ||
	    !netif_carrier_ok(net->netdev) || !netif_running(net->netdev))
		net->kept_looks = 0;
	else
		net->kept_looks++;
	net->kept_released = released;
	if (net->kept_looks >= looks && stall->limit_ms) {
		WRITE_ONCE(stall->missed, jiffies - looks * R3_KEPT_LOOK);
		r3_grant_fail(net->grant, R3_END_STALLED, "a frame not completed for %u ms",
			      looks * (u32)MSEC_PER_SEC);
		return;
	}
	mod_timer(timer, jiffies + R3_KEPT_LOOK);
}

/* ---- pages that stay mapped ---- */

/* Zeroed: a driver that lies about a length shows nobody anything of the kernel's. */
static struct page *r3_net_page(struct r3_net *net, enum dma_data_direction direction, gfp_t gfp,
				dma_addr_t *address)
{
	struct page *page = alloc_page(gfp | __GFP_ZERO | __GFP_NOWARN);

	if (!page)
		return NULL;
	*address = dma_map_page(net->dev, page, 0, PAGE_SIZE, direction);
	if (dma_mapping_error(net->dev, *address)) {
		__free_page(page);
		return NULL;
	}
	return page;
}

/* ---- receive ---- */

static int r3_rx_page_fill(struct r3_net *net, struct r3_rx_page *slot, gfp_t gfp)
{
	slot->page = r3_net_page(net, DMA_FROM_DEVICE, gfp, &slot->address);
	memset(slot->dirty, 0, sizeof(slot->dirty));
	slot->held = 0;
	slot->half = 0;
	return slot->page ? 0 : -ENOMEM;
}

static void r3_rx_page_empty(struct r3_net *net, struct r3_rx_page *slot)
{
	dma_unmap_page(net->dev, slot->address, PAGE_SIZE, DMA_FROM_DEVICE);
	put_page(slot->page);
	slot->page = NULL;
}

static void r3_rx_idle(struct r3_net *net, u32 index)
{
	net->idle_page[net->idle_in++ & (net->pool_size - 1)] = index;
}

static u32 r3_rx_offset(const struct r3_rx_page *slot)
{
	return slot->half * R3_RX_BUFFER;
}

static void *r3_rx_data(const struct r3_rx_page *slot)
{
	return page_address(slot->page) + r3_rx_offset(slot);
}

/* Find a half that nobody but the pool holds; replace the page if sockets hold both. */
static bool r3_rx_page_ready(struct r3_net *net, struct r3_rx_page *slot)
{
	struct r3_rx_page fresh = {};

	/* Of two that were handed up, the count does not tell which one is still held. */
	if (page_ref_count(slot->page) == 1)
		slot->held = 0;
	if (slot->held != BIT(R3_RX_HALVES) - 1) {
		slot->half = slot->held & BIT(0) ? 1 : 0;
		/*
		 * What was handed up once, and whatever its reader made of it in place,
		 * is not the next one's, however long the driver says that frame is.
		 */
		memset64(r3_rx_data(slot), 0,
			 DIV_ROUND_UP(slot->dirty[slot->half], sizeof(u64)));
		slot->dirty[slot->half] = 0;
		dma_sync_single_for_device(net->dev, slot->address + r3_rx_offset(slot),
					   R3_RX_BUFFER, DMA_FROM_DEVICE);
		return true;
	}
	if (r3_rx_page_fill(net, &fresh, GFP_ATOMIC))
		return false;
	r3_rx_page_empty(net, slot);
	fresh.sequence = slot->sequence;
	*slot = fresh;
	return true;
}

static void r3_rx_refill(struct r3_net *net)
{
	u32 before = net->rx->queued;

	while (net->posted < net->size) {
		u32 index = net->idle_page[net->idle_out & (net->pool_size - 1)];
		struct r3_rx_page *slot = &net->pool[index];

		net->idle_out++;
		if (!r3_rx_page_ready(net, slot)) {
			r3_rx_idle(net, index);
			/* Without a buffer nothing is received, so nothing else would try again. */
			mod_timer(&net->refill_timer, jiffies + R3_REFILL_RETRY);
			break;
		}
		slot->sequence++;
		slot->posted = true;
		net->posted++;
		r3_channel_submit(net->rx, slot->address + r3_rx_offset(slot), R3_RX_BUFFER,
				  r3_token(index, slot->sequence));
	}
	if (net->rx->queued != before)
		r3_channel_publish(net->rx);
}

static void r3_rx_refill_again(struct timer_list *timer)
{
	struct r3_net *net = container_of(timer, struct r3_net, refill_timer);

	/* Does nothing once NAPI is disabled, which detach does first. */
	napi_schedule(&net->napi);
}

static void r3_rx_drop(struct r3_net *net)
{
	dev_kfree_skb_any(net->partial);
	net->partial = NULL;
}

/*
 * Length of a frame's headers. The general dissector takes longer than all else
 * that is done for a frame here, so it is left to frames that are not TCP or UDP
 * in plain IP. data is a copy, and begins with a whole Ethernet header.
 */
static u32 r3_rx_headers(struct r3_net *net, const u8 *data, u32 length)
{
	const __be16 kind = ((const struct ethhdr *)data)->h_proto;
	const struct ipv6hdr *ip6 = (const void *)(data + ETH_HLEN);
	const struct iphdr *ip4 = (const void *)(data + ETH_HLEN);
	u32 end = ETH_HLEN;
	u8 protocol;

	if (kind == htons(ETH_P_IP) && length >= end + sizeof(*ip4) && ip4->version == 4 &&
	    ip4->ihl == 5 && !ip_is_fragment(ip4)) {
		end += sizeof(*ip4);
		protocol = ip4->protocol;
	} else if (kind == htons(ETH_P_IPV6) && length >= end + sizeof(*ip6) && ip6->version == 6) {
		end += sizeof(*ip6);
		protocol = ip6->nexthdr;
	} else {
		goto dissect;
	}
	if (protocol == IPPROTO_UDP) {
		end += sizeof(struct udphdr);
	} else if (protocol == IPPROTO_TCP && length >= end + sizeof(struct tcphdr)) {
		const u32 header = ((const struct tcphdr *)(data + end))->doff * 4;

		end += max_t(u32, header, sizeof(struct tcphdr));
	} else {
		goto dissect;
	}
	return min(end, length);

dissect:
	return eth_get_headlen(net->netdev, data, length);
}

/* Begin a frame: its headers are copied, so that the device cannot change them later. */
static struct sk_buff *r3_rx_begin(struct r3_net *net, const u8 *data, u32 length, bool last)
{
	const bool whole = last && length <= R3_RX_COPY;
	/*
	 * R3_RX_HEAD and what goes around it are 512 bytes, which is half of what one
	 * more would take and clear.
	 */
	struct sk_buff *skb = napi_alloc_skb(&net->napi,
					     whole ? max_t(u32, length, R3_RX_HEAD) : R3_RX_HEAD);

	if (!skb)
		return NULL;
	if (whole) {
		skb_put_data(skb, data, length);
		return skb;
	}
	/* Parsed in the copy; what turns out to be payload is left to the page. */
	if (likely(length >= R3_RX_HEAD))
		/* Of a constant length, a few moves. */
		memcpy(__skb_put(skb, R3_RX_HEAD), data, R3_RX_HEAD);
	else
		skb_put_data(skb, data, length);
	skb_trim(skb, r3_rx_headers(net, skb->data, skb->len));
	return skb;
}

/* Take one filled buffer. Returns false if the frame must be dropped. */
static bool r3_rx_take(struct r3_net *net, struct r3_rx_page *slot, u32 length, bool last)
{
	u32 from = 0;

	if (!net->partial) {
		net->partial = r3_rx_begin(net, r3_rx_data(slot), length, last);
		if (!net->partial) {
			net->rx_dropped++;
			return false;
		}
		from = net->partial->len;
	}
	if (from == length)
		return true;
	/* Longer than any packet: who takes its length for 16 bits would take it for another. */
	if (skb_shinfo(net->partial)->nr_frags == MAX_SKB_FRAGS ||
	    net->partial->len + length - from > R3_FRAME_MAX) {
		net->rx_errors++;
		return false;
	}
	get_page(slot->page);
	slot->held |= BIT(slot->half);
	skb_add_rx_frag(net->partial, skb_shinfo(net->partial)->nr_frags, slot->page,
			r3_rx_offset(slot) + from, length - from, R3_RX_BUFFER);
	return true;
}

static void r3_rx_deliver(struct r3_net *net, bool verified)
{
	struct sk_buff *skb = net->partial;

	net->partial = NULL;
	if (!netif_running(net->netdev)) {
		dev_kfree_skb_any(skb);
		return;
	}
	net->rx_packets++;
	net->rx_bytes += skb->len;
	if (verified && net->netdev->features & NETIF_F_RXCSUM)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	skb->protocol = eth_type_trans(skb, net->netdev);
	skb_record_rx_queue(skb, 0);
	napi_gro_receive(&net->napi, skb);
}

static int r3_rx_one(struct r3_net *net, int *frames)
{
	u32 length_flags, length, token, index;
	struct r3_rx_page *slot;
	bool last, keep;

	r3_channel_reap(net->rx, &length_flags, &token);
	index = token & 0xffff;
	length = length_flags & R3_ENTRY_LENGTH;
	last = length_flags & R3_ENTRY_LAST;
	slot = index < net->pool_size ? &net->pool[index] : NULL;
	if (!slot || !slot->posted || token != r3_token(index, slot->sequence) ||
	    length > R3_RX_BUFFER)
		return -EPROTO;
	slot->posted = false;
	net->posted--;

	/* Debugging of DMA finds no mapping of nothing. */
	if (length)
		dma_sync_single_for_cpu(net->dev, slot->address + r3_rx_offset(slot), length,
					DMA_FROM_DEVICE);
	keep = !net->dropping && !(length_flags & R3_ENTRY_ERROR) && length;
	if (length_flags & R3_ENTRY_ERROR && !net->dropping)
		net->rx_errors++;
	/* eth_type_trans() needs a whole header, and only the first buffer can lack it. */
	if (keep && !net->partial && length < ETH_HLEN) {
		net->rx_errors++;
		keep = false;
	}
	if (keep)
		keep = r3_rx_take(net, slot, length, last);
	if (!keep && net->partial)
		r3_rx_drop(net);
	net->dropping = !keep && !last;
	if (last) {
		(*frames)++;
		if (keep)
			r3_rx_deliver(net, length_flags & R3_ENTRY_CSUM);
	}
	slot->dirty[slot->half] = keep ? length : R3_RX_BUFFER;
	r3_rx_idle(net, index);
	return 0;
}

static int r3_rx_reap(struct r3_net *net, int budget)
{
	int count = r3_channel_completed(net->rx);
	int frames = 0;

	if (count < 0)
		return count;
	while (count-- && frames < budget) {
		int err = r3_rx_one(net, &frames);

		if (err)
			return err;
	}
	r3_channel_reaped(net->rx);
	r3_rx_refill(net);
	/* Polled elsewhere than in the driver's kick, the driver may be asleep by now. */
	if (r3_channel_pending(net->rx, r3_channel_seen(net->rx)))
		r3_grant_wake(net->grant);
	return frames;
}

static int r3_net_poll(struct napi_struct *napi, int budget)
{
	struct r3_net *net = container_of(napi, struct r3_net, napi);
	int done, err;

	/* The refill timer schedules without a look at this. */
	if (unlikely(atomic_read(&net->grant->failed)))
		goto broken;
	err = r3_tx_reap(net, budget);
	if (err < 0) {
		r3_grant_fail(net->grant, R3_END_PROTOCOL,
			      "transmit ring: a completion that was not asked for");
		goto broken;
	}
	/* As for disks: another may do better, and if it does not, it is the card. */
	if (unlikely(net->failures >= R3_MOST_FAILURES) && !net->blamed &&
	    r3_grant_fail(net->grant, R3_END_FAILING, "it failed %u frames in a row",
			  net->failures)) {
		net->blamed = true;
		goto broken;
	}
	done = r3_rx_reap(net, budget);
	if (done < 0) {
		r3_grant_fail(net->grant, R3_END_PROTOCOL,
			      "receive ring: a completion that was not asked for, or too long");
		goto broken;
	}
	if (unlikely(!net->carried) && net->tx_packets + net->rx_packets != net->packets_before) {
		net->carried = true;
		WRITE_ONCE(net->port.claim->carried_ns, ktime_get_ns());
	}
	/* A kick during this poll is remembered by NAPI and polls again. */
	if (done < budget)
		napi_complete_done(napi, done);
	return done;

broken:
	/* Nothing more is read from these rings: the grant is about to end. */
	napi_complete_done(napi, 0);
	return 0;
}

static void r3_net_kick(struct r3_port *port, u32 channels)
{
	struct r3_net *net = r3_net_of(port);

	if (!atomic_read(&net->grant->failed))
		napi_schedule(&net->napi);
}

/* ---- netdev ---- */

static int r3_net_open(struct net_device *netdev)
{
	struct r3_net *net = r3_net_priv(netdev);

	/* Without a driver the queue waits; attach starts it. */
	if (READ_ONCE(net->carrying))
		netif_start_queue(netdev);
	r3_port_config_changed(&net->port);
	return 0;
}

static int r3_net_stop(struct net_device *netdev)
{
	netif_stop_queue(netdev);
	r3_port_config_changed(&r3_net_priv(netdev)->port);
	return 0;
}

static void r3_net_set_rx_mode(struct net_device *netdev)
{
	r3_port_config_changed(&r3_net_priv(netdev)->port);
}

static int r3_net_set_mac(struct net_device *netdev, void *address)
{
	int err = eth_mac_addr(netdev, address);

	if (!err)
		r3_port_config_changed(&r3_net_priv(netdev)->port);
	return err;
}

static int r3_net_change_mtu(struct net_device *netdev, int mtu)
{
	WRITE_ONCE(netdev->mtu, mtu);
	r3_port_config_changed(&r3_net_priv(netdev)->port);
	return 0;
}

static netdev_features_t r3_net_features(u32 features)
{
	netdev_features_t out = 0;

	/* The stack sends frames in pieces only where it need not sum them. */
	if (features & R3_NET_TX_CSUM)
		out |= NETIF_F_HW_CSUM | NETIF_F_SG;
	if (features & R3_NET_TSO4)
		out |= NETIF_F_TSO;
	if (features & R3_NET_TSO6)
		out |= NETIF_F_TSO6;
	if (features & R3_NET_RX_CSUM)
		out |= NETIF_F_RXCSUM;
	return out;
}

/* hw_features stay those of all drivers: what this one cannot do is masked here. */
static netdev_features_t r3_net_fix_features(struct net_device *netdev, netdev_features_t features)
{
	return features & (r3_net_priv(netdev)->offered | ~r3_net_features(R3_NET_FEATURES));
}

static int r3_net_set_features(struct net_device *netdev, netdev_features_t features)
{
	netdev->features = features;
	r3_port_config_changed(&r3_net_priv(netdev)->port);
	return 1;
}

static void r3_net_get_stats(struct net_device *netdev, struct rtnl_link_stats64 *stats)
{
	struct r3_net *net = r3_net_priv(netdev);

	stats->tx_packets = READ_ONCE(net->tx_packets);
	stats->tx_bytes = READ_ONCE(net->tx_bytes);
	stats->tx_dropped = READ_ONCE(net->tx_dropped);
	stats->tx_errors = READ_ONCE(net->tx_errors);
	stats->rx_packets = READ_ONCE(net->rx_packets);
	stats->rx_bytes = READ_ONCE(net->rx_bytes);
	stats->rx_dropped = READ_ONCE(net->rx_dropped);
	stats->rx_missed_errors = READ_ONCE(net->report.rx_missed);
	stats->rx_crc_errors = READ_ONCE(net->report.rx_crc_errors);
	stats->rx_length_errors = READ_ONCE(net->report.rx_length_errors);
	stats->rx_errors = READ_ONCE(net->rx_errors) + stats->rx_crc_errors +
			   stats->rx_length_errors;
	stats->collisions = READ_ONCE(net->report.collisions);
}

static const struct net_device_ops r3_netdev_ops = {
	.ndo_open = r3_net_open,
	.ndo_stop = r3_net_stop,
	.ndo_start_xmit = r3_net_xmit,
	.ndo_set_rx_mode = r3_net_set_rx_mode,
	.ndo_set_mac_address = r3_net_set_mac,
	.ndo_change_mtu = r3_net_change_mtu,
	.ndo_fix_features = r3_net_fix_features,
	.ndo_set_features = r3_net_set_features,
	.ndo_get_stats64 = r3_net_get_stats,
	.ndo_validate_addr = eth_validate_addr,
};

static void r3_net_drvinfo(struct net_device *netdev, struct ethtool_drvinfo *info)
{
	strscpy(info->driver, "ring3", sizeof(info->driver));
	strscpy(info->bus_info, dev_name(r3_net_priv(netdev)->dev), sizeof(info->bus_info));
}

static int r3_net_link_ksettings(struct net_device *netdev, struct ethtool_link_ksettings *settings)
{
	struct r3_net *net = r3_net_priv(netdev);

	ethtool_link_ksettings_zero_link_mode(settings, supported);
	settings->base.speed = net->report.link ? net->report.speed : SPEED_UNKNOWN;
	settings->base.duplex = !net->report.link ? DUPLEX_UNKNOWN :
				net->report.full_duplex ? DUPLEX_FULL : DUPLEX_HALF;
	settings->base.port = PORT_OTHER;
	return 0;
}

static const struct ethtool_ops r3_ethtool_ops = {
	.get_drvinfo = r3_net_drvinfo,
	.get_link = ethtool_op_get_link,
	.get_link_ksettings = r3_net_link_ksettings,
	.get_ts_info = ethtool_op_get_ts_info,
};

/* ---- port ---- */

static u32 r3_net_features_in_use(netdev_features_t features)
{
	return (features & NETIF_F_HW_CSUM ? R3_NET_TX_CSUM : 0) |
	       (features & NETIF_F_TSO ? R3_NET_TSO4 : 0) |
	       (features & NETIF_F_TSO6 ? R3_NET_TSO6 : 0) |
	       (features & NETIF_F_RXCSUM ? R3_NET_RX_CSUM : 0);
}

static int r3_net_register(struct r3_net *net, const struct r3_net_attach *args)
{
	struct net_device *netdev = net->netdev;
	int err;

	/* One that failed halfway cannot be registered again. */
	if (netdev->reg_state != NETREG_UNINITIALIZED)
		return -EIO;
	eth_hw_addr_set(netdev, args->mac);
	memcpy(netdev->perm_addr, args->mac, ETH_ALEN);
	netdev->max_mtu = args->max_mtu;
	netdev->mtu = min(netdev->mtu, netdev->max_mtu);
	net->offered = r3_net_features(args->features);
	netdev->hw_features = r3_net_features(R3_NET_FEATURES);
	netdev->features = netdev->hw_features;
	/* No segmentation behind a VLAN tag: the ring format has no place for where IP begins. */
	netdev->vlan_features = netdev->hw_features & ~NETIF_F_ALL_TSO;
	netif_carrier_off(netdev);
	err = register_netdev(netdev);
	if (!err)
		net->registered = true;
	return err;
}

/* A later driver may be able to do less; what it can do is offered again. */
static int r3_net_readjust(struct r3_net *net, const struct r3_net_attach *args)
{
	struct net_device *netdev = net->netdev;
	int err = 0;

	rtnl_lock();
	/* Whoever has built on the interface may forbid it. */
	if (netdev->mtu > args->max_mtu)
		err = dev_set_mtu(netdev, args->max_mtu);
	if (!err) {
		netdev->max_mtu = args->max_mtu;
		net->offered = r3_net_features(args->features);
		netdev_update_features(netdev);
	}
	rtnl_unlock();
	return err;
}

/*
 * Not before the first grant: it is what tells the device's DMA mask. Complete or
 * not, free undoes it.
 */
static int r3_net_fill_pool(struct r3_net *net)
{
	for (; net->filled < net->pool_size; net->filled++) {
		if (r3_rx_page_fill(net, &net->pool[net->filled], GFP_KERNEL))
			return -ENOMEM;
		r3_count(net->port.claim, R3_N_RX_BUFFERS, 1);
		r3_rx_idle(net, net->filled);
	}
	return 0;
}

/* Likewise. */
static int r3_net_fill_copies(struct r3_net *net)
{
	u32 first, i;

	for (first = 0; net->confined && first < net->size; first += R3_TX_COPIES) {
		dma_addr_t address;
		struct page *page;

		if (net->frame[first].copy)
			continue;
		page = r3_net_page(net, DMA_TO_DEVICE, GFP_KERNEL, &address);
		if (!page)
			return -ENOMEM;
		for (i = 0; i < R3_TX_COPIES; i++) {
			net->frame[first + i].copy = page_address(page) + i * R3_TX_COPY;
			net->frame[first + i].copy_address = address + i * R3_TX_COPY;
		}
	}
	return 0;
}

static void r3_net_free_copies(struct r3_net *net)
{
	u32 first;

	for (first = 0; net->frame && first < net->size; first += R3_TX_COPIES) {
		struct r3_tx_frame *frame = &net->frame[first];

		if (!frame->copy)
			continue;
		dma_unmap_page(net->dev, frame->copy_address, PAGE_SIZE, DMA_TO_DEVICE);
		__free_page(virt_to_page(frame->copy));
	}
}

/* The rings begin to move: the interface has its settings. */
static void r3_net_begin(struct r3_net *net, struct r3_grant *grant,
			 const struct r3_net_attach *info)
{
	net->max_segments = info->max_segments;
	net->tx_released = 0;
	net->kept_released = 0;
	net->kept_looks = 0;
	net->dropping = false;
	net->carried = false;
	net->failures = 0;
	net->packets_before = net->tx_packets + net->rx_packets;
	net->rx = &grant->channel[R3_NET_RX];
	net->tx = &grant->channel[R3_NET_TX];
	/* Refills ride along with other work; wake for them only when they pile up. */
	net->rx->wake_after = net->size / 4;
	r3_rx_refill(net);
	net->grant = grant;
	napi_enable(&net->napi);
	/* Under rtnl, or this and r3_net_open() could both miss that the other is done. */
	rtnl_lock();
	netif_tx_lock_bh(net->netdev);
	WRITE_ONCE(net->carrying, true);
	netif_tx_unlock_bh(net->netdev);
	if (netif_running(net->netdev))
		netif_wake_queue(net->netdev);
	rtnl_unlock();
}

struct r3_net_attachment {
	struct work_struct work;
	struct r3_net *net;
	struct r3_grant *grant;
	const struct r3_net_attach *info;
	int err;
};

static void r3_net_attach_work(struct work_struct *work)
{
	struct r3_net_attachment *attachment = container_of(work, struct r3_net_attachment, work);
	struct r3_net *net = attachment->net;

	attachment->err = net->registered ? r3_net_readjust(net, attachment->info) :
			  r3_net_register(net, attachment->info);
	if (!attachment->err)
		r3_net_begin(net, attachment->grant, attachment->info);
}

static int r3_net_attach(struct r3_port *port, struct r3_grant *grant,
			 const struct r3_port_attach *args)
{
	struct r3_net *net = r3_net_of(port);
	const struct r3_net_attach *info = &args->net;
	struct r3_net_attachment attachment = { .net = net, .grant = grant, .info = info };
	bool known = net->registered;
	int err;

	if (memchr_inv(args->room + sizeof(*info), 0, sizeof(args->room) - sizeof(*info)))
		return -EINVAL;
	if (!is_valid_ether_addr(info->mac) || info->reserved ||
	    info->features & ~R3_NET_FEATURES ||
	    info->max_mtu < ETH_MIN_MTU || info->max_mtu > R3_FRAME_MAX - ETH_HLEN ||
	    !info->max_segments || info->max_segments > R3_SEGMENTS ||
	    (info->features & (R3_NET_TSO4 | R3_NET_TSO6) && !(info->features & R3_NET_TX_CSUM)))
		return r3_refuse(grant->claim, -EINVAL,
				 "attach: an address, MTU, segments or features out of range");
	err = r3_net_fill_pool(net);
	if (err)
		return r3_refuse(grant->claim, err, "no memory for %u receive buffers",
				 net->pool_size);
	err = r3_net_fill_copies(net);
	if (err)
		return r3_refuse(grant->claim, err, "no memory for %u transmit buffers",
				 net->size);

	/*
	 * The whole machine's network waits for who holds rtnl. A driver's thread
	 * can be one that hardly ever gets a processor, so it is not to be the one.
	 */
	INIT_WORK_ONSTACK(&attachment.work, r3_net_attach_work);
	queue_work(system_unbound_wq, &attachment.work);
	flush_work(&attachment.work);
	destroy_work_on_stack(&attachment.work);
	err = attachment.err;
	if (err && known)
		return r3_refuse(grant->claim, err,
				 "interface %s cannot have an MTU of %u: error %d",
				 net->netdev->name, info->max_mtu, -err);
	if (err)
		return r3_refuse(grant->claim, err, "interface %s cannot be made: error %d",
				 net->netdev->name, -err);
	return 0;
}

/* The device is quiet. Frames it had are dropped and counted, buffers go back to the pool. */
static void r3_net_detach(struct r3_port *port, struct r3_grant *grant)
{
	struct r3_net *net = r3_net_of(port);
	u32 i;

	netif_tx_lock_bh(net->netdev);
	netif_stop_queue(net->netdev);
	WRITE_ONCE(net->carrying, false);
	netif_tx_unlock_bh(net->netdev);
	napi_disable(&net->napi);
	del_timer_sync(&net->refill_timer);
	del_timer_sync(&net->kept_timer);

	for (i = 0; i < net->size; i++) {
		if (net->frame[i].skb) {
			net->tx_dropped++;
			r3_tx_release(net, i, 0);
		}
	}
	for (i = 0; i < net->pool_size; i++) {
		if (net->pool[i].posted) {
			net->pool[i].posted = false;
			net->pool[i].dirty[net->pool[i].half] = R3_RX_BUFFER;
			r3_rx_idle(net, i);
		}
	}
	net->posted = 0;
	if (net->partial)
		r3_rx_drop(net);
	net->grant = NULL;
	net->tx = NULL;
	net->rx = NULL;
}

static void r3_net_config(struct r3_port *port, struct r3_port_config *out)
{
	struct net_device *netdev = r3_net_of(port)->netdev;
	struct r3_net_config *config = &out->net;
	struct netdev_hw_addr *group;
	u32 flags = 0;

	BUILD_BUG_ON(sizeof(*config) > sizeof(out->room));
	netif_addr_lock_bh(netdev);
	ether_addr_copy(config->mac, netdev->dev_addr);
	if (netif_running(netdev))
		flags |= R3_NET_UP;
	if (netdev->flags & IFF_PROMISC)
		flags |= R3_NET_PROMISC;
	if (netdev->flags & IFF_ALLMULTI || netdev_mc_count(netdev) > R3_MAX_MULTICAST) {
		flags |= R3_NET_ALLMULTI;
	} else {
		netdev_for_each_mc_addr(group, netdev)
			ether_addr_copy(config->multicast[config->multicasts++], group->addr);
	}
	config->flags = flags;
	config->mtu = READ_ONCE(netdev->mtu);
	config->features = r3_net_features_in_use(netdev->features);
	netif_addr_unlock_bh(netdev);
}

static int r3_net_report(struct r3_port *port, const struct r3_port_report *args)
{
	struct r3_net *net = r3_net_of(port);
	const struct r3_net_report *report = &args->net;

	if (report->link > 1 || report->full_duplex > 1 || report->reserved ||
	    memchr_inv(args->room + sizeof(*report), 0, sizeof(args->room) - sizeof(*report)))
		return -EINVAL;
	net->report = *report;
	if (!!report->link == netif_carrier_ok(net->netdev))
		return 0;
	if (report->link)
		netif_carrier_on(net->netdev);
	else
		netif_carrier_off(net->netdev);
	return 0;
}

static u32 r3_net_tx_frames(struct r3_port *port)
{
	struct r3_net *net = r3_net_of(port);

	return net->size - (READ_ONCE(net->free_in) - READ_ONCE(net->free_out));
}

/* Without a carrier the stack drops what it has queued, and refuses more. */
static void r3_net_down(struct r3_port *port)
{
	netif_carrier_off(r3_net_of(port)->netdev);
}

static void r3_net_free(struct r3_net *net)
{
	u32 i;

	for (i = 0; net->pool && i < net->pool_size; i++) {
		if (net->pool[i].page) {
			r3_rx_page_empty(net, &net->pool[i]);
			r3_count(net->port.claim, R3_N_RX_BUFFERS, -1);
		}
	}
	r3_net_free_copies(net);
	kvfree(net->idle_page);
	kvfree(net->pool);
	kvfree(net->free_frame);
	kvfree(net->frame);
	netif_napi_del(&net->napi);
	free_netdev(net->netdev);
	kfree(net);
}

static void r3_net_destroy(struct r3_port *port)
{
	struct r3_net *net = r3_net_of(port);

	WARN_ON(r3_net_tx_frames(port));
	if (net->registered)
		unregister_netdev(net->netdev);
	r3_net_free(net);
}

static const struct r3_port_ops r3_net_ops = {
	.kind = R3_PORT_KIND_NET,
	.attach = r3_net_attach,
	.detach = r3_net_detach,
	.config = r3_net_config,
	.report = r3_net_report,
	.kick = r3_net_kick,
	.tx_frames = r3_net_tx_frames,
	.down = r3_net_down,
	.destroy = r3_net_destroy,
};

static int r3_net_allocate(struct r3_net *net)
{
	u32 i;

	net->frame = kvcalloc(net->size, sizeof(*net->frame), GFP_KERNEL);
	net->free_frame = kvcalloc(net->size, sizeof(*net->free_frame), GFP_KERNEL);
	net->pool = kvcalloc(net->pool_size, sizeof(*net->pool), GFP_KERNEL);
	net->idle_page = kvcalloc(net->pool_size, sizeof(*net->idle_page), GFP_KERNEL);
	if (!net->frame || !net->free_frame || !net->pool || !net->idle_page)
		return -ENOMEM;
	for (i = 0; i < net->size; i++)
		net->free_frame[net->free_in++] = i;
	return 0;
}

/* Caller holds dev->lock. */
struct r3_port *r3_net_create(struct r3_claim *claim, const struct r3_port_net *args)
{
	struct r3_net *net;
	int err;

	if (args->queues != 1)
		return ERR_PTR(r3_refuse(claim, -EOPNOTSUPP,
					 "a network port has one queue today, not %u",
					 args->queues));
	if (args->ring_size < 64 || args->ring_size > 4096 || !is_power_of_2(args->ring_size))
		return ERR_PTR(r3_refuse(claim, -EINVAL,
					 "a ring has 64 to 4096 entries, a power of two, not %u",
					 args->ring_size));
	if (!memchr(args->name, 0, sizeof(args->name)) || !args->name[0])
		return ERR_PTR(r3_refuse(claim, -EINVAL,
					 "an interface name has 1 to 15 characters"));

	net = kzalloc(sizeof(*net), GFP_KERNEL);
	if (!net)
		return ERR_PTR(-ENOMEM);
	net->netdev = alloc_netdev(sizeof(struct r3_net *), args->name, NET_NAME_USER, ether_setup);
	if (!net->netdev) {
		kfree(net);
		return ERR_PTR(-ENOMEM);
	}
	*(struct r3_net **)netdev_priv(net->netdev) = net;
	SET_NETDEV_DEV(net->netdev, &claim->dev->pdev->dev);
	net->netdev->netdev_ops = &r3_netdev_ops;
	net->netdev->ethtool_ops = &r3_ethtool_ops;
	net->netdev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	netif_napi_add(net->netdev, &net->napi, r3_net_poll);
	timer_setup(&net->refill_timer, r3_rx_refill_again, 0);
	timer_setup(&net->kept_timer, r3_tx_kept, 0);

	net->dev = &claim->dev->pdev->dev;
	net->confined = claim->dev->confined;
	net->size = args->ring_size;
	net->pool_size = args->ring_size * R3_POOL_FACTOR;
	net->port.ops = &r3_net_ops;
	net->port.claim = claim;
	net->port.channels = 2;
	net->port.channel[R3_NET_TX].kind = R3_CHANNEL_NET_TX;
	net->port.channel[R3_NET_TX].size = net->size;
	net->port.channel[R3_NET_RX].kind = R3_CHANNEL_NET_RX;
	net->port.channel[R3_NET_RX].size = net->size;
	net->port.channel[R3_NET_RX].buffer_size = R3_RX_BUFFER;
	net->port.rings_length = r3_port_layout(&net->port);
	err = r3_net_allocate(net);
	if (err) {
		r3_net_free(net);
		return ERR_PTR(err);
	}
	return &net->port;
}
