/* SPDX-License-Identifier: GPL-2.0 */
/* What differs in the block layers of the kernels we build for (6.1 and 6.12), in one place. */
#ifndef RING3_COMPAT_BLOCK_H
#define RING3_COMPAT_BLOCK_H

#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/version.h>

/*
 * Requests that are requeued one after the other are issued again in that
 * order since 6.5, before in the opposite one.
 */
#define R3_REQUEUE_NEWEST_FIRST	(LINUX_VERSION_CODE < KERNEL_VERSION(6, 5, 0))

/* A disk whose requests look as info says, with segments of at most max_segment bytes. */
static inline struct gendisk *r3_alloc_disk(struct blk_mq_tag_set *set,
					    const struct r3_block_attach *info, u32 max_segment)
{
	u32 discard = info->features & R3_BLOCK_DISCARD ? info->max_discard : 0;
	u32 zeroes = info->features & R3_BLOCK_ZEROES ? info->max_discard : 0;
	unsigned long boundary = info->boundary ? info->boundary - 1 : ULONG_MAX;
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 9, 0)
	struct gendisk *disk = blk_mq_alloc_disk(set, NULL);
	struct request_queue *queue;

	if (IS_ERR(disk))
		return disk;
	queue = disk->queue;
	blk_queue_logical_block_size(queue, info->logical_block);
	blk_queue_physical_block_size(queue, info->physical_block);
	blk_queue_max_hw_sectors(queue, info->max_sectors);
	blk_queue_max_segments(queue, info->max_segments);
	blk_queue_max_segment_size(queue, max_segment);
	blk_queue_segment_boundary(queue, boundary);
	blk_queue_dma_alignment(queue, info->alignment - 1);
	blk_queue_write_cache(queue, info->features & R3_BLOCK_CACHE,
			      info->features & R3_BLOCK_FUA);
	blk_queue_max_discard_sectors(queue, discard);
	if (discard)
		queue->limits.discard_granularity = info->physical_block;
	blk_queue_max_write_zeroes_sectors(queue, zeroes);
	if (info->features & R3_BLOCK_ROTATIONAL)
		blk_queue_flag_clear(QUEUE_FLAG_NONROT, queue);
	else
		blk_queue_flag_set(QUEUE_FLAG_NONROT, queue);
	return disk;
#else
	struct queue_limits limits = {
		.logical_block_size = info->logical_block,
		.physical_block_size = info->physical_block,
		.max_hw_sectors = info->max_sectors,
		.max_segments = info->max_segments,
		.max_segment_size = max_segment,
		.seg_boundary_mask = boundary,
		.dma_alignment = info->alignment - 1,
		.max_hw_discard_sectors = discard,
		.discard_granularity = discard ? info->physical_block : 0,
		.max_write_zeroes_sectors = zeroes,
	};

	if (info->features & R3_BLOCK_CACHE)
		limits.features |= BLK_FEAT_WRITE_CACHE;
	if (info->features & R3_BLOCK_FUA)
		limits.features |= BLK_FEAT_FUA;
	if (info->features & R3_BLOCK_ROTATIONAL)
		limits.features |= BLK_FEAT_ROTATIONAL;
	return blk_mq_alloc_disk(set, &limits, NULL);
#endif
}

#endif
