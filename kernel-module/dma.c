// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that a device may reach because its driver asked: coherent memory,
 * and pages of the driver's own, pinned. All of it is counted against the
 * grant's limit and ends with the grant.
 */
#include <linux/cred.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/user.h>
#include <linux/slab.h>

#include "ring3.h"

static int r3_dma_charge(struct r3_grant *grant, u64 bytes)
{
	if (bytes > grant->dma_limit)
		return -EDQUOT;
	if (atomic64_add_return(bytes, &grant->dma_used) > grant->dma_limit) {
		atomic64_sub(bytes, &grant->dma_used);
		return -EDQUOT;
	}
	return 0;
}

/* ---- coherent memory ---- */

/* Caller holds dev->lock and the grant lives. */
int r3_dma_alloc(struct r3_grant *grant, struct r3_dma_alloc *args)
{
	struct r3_claim *claim = grant->claim;
	struct r3_region *region;
	u64 length;
	int err;

	if (!args->length || args->length >= BIT_ULL(R3_REGION_SHIFT))
		return -EINVAL;
	length = PAGE_ALIGN(args->length);
	err = r3_dma_charge(grant, length);
	if (err)
		return r3_refuse(claim, err,
				 "DMA memory: %llu bytes asked for, the manifest grants %llu",
				 length, grant->dma_limit);
	err = -ENOMEM;
	region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);
	if (!region)
		goto uncharge;
	region->kind = R3_REGION_DMA;
	region->length = length;
	region->cpu = dma_alloc_coherent(&claim->dev->pdev->dev, length, &region->dma,
					 GFP_KERNEL | __GFP_NOWARN);
	if (!region->cpu)
		goto free_region;
	if (!r3_region_add(grant, region))
		goto free_memory;
	r3_count(claim, R3_N_DMA_BYTES, length);
	args->length = length;
	args->address = region->dma;
	args->mmap_offset = (u64)region->id << R3_REGION_SHIFT;
	return 0;

free_memory:
	dma_free_coherent(&claim->dev->pdev->dev, length, region->cpu, region->dma);
free_region:
	kfree(region);
uncharge:
	atomic64_sub(length, &grant->dma_used);
	return err;
}

void r3_dma_free_region(struct r3_grant *grant, struct r3_region *region)
{
	dma_free_coherent(&grant->claim->dev->pdev->dev, region->length, region->cpu, region->dma);
	r3_count(grant->claim, R3_N_DMA_BYTES, -(s64)region->length);
}

/* ---- the driver's own pages ---- */

struct r3_mapping {
	const struct cred *cred;	/* of the user whose locked memory it counts as; referenced */
	struct page **pages;
	unsigned long count;
	struct sg_table table;
	enum dma_data_direction direction;
};

/*
 * Counted for the user, not for the process: a process could have as much again
 * for each child, and its mmap_lock, which it can keep busy, would be waited for
 * when the grant ends. The user is held by credentials, as not every kernel lets
 * a module give up a user_struct.
 */
static const struct cred *r3_locked_charge(unsigned long pages)
{
	unsigned long limit = rlimit(RLIMIT_MEMLOCK) >> PAGE_SHIFT;
	struct user_struct *user = current_user();

	if (atomic_long_add_return(pages, &user->locked_vm) > limit && !capable(CAP_IPC_LOCK)) {
		atomic_long_sub(pages, &user->locked_vm);
		return NULL;
	}
	return get_current_cred();
}

static void r3_locked_uncharge(const struct cred *cred, unsigned long pages)
{
	atomic_long_sub(pages, &cred->user->locked_vm);
	put_cred(cred);
}

static void r3_mapping_free(struct r3_grant *grant, struct r3_mapping *mapping)
{
	bool dirty = mapping->direction != DMA_TO_DEVICE;

	unpin_user_pages_dirty_lock(mapping->pages, mapping->count, dirty);
	r3_locked_uncharge(mapping->cred, mapping->count);
	atomic64_sub((u64)mapping->count << PAGE_SHIFT, &grant->dma_used);
	r3_count(grant->claim, R3_N_PINNED_PAGES, -(s64)mapping->count);
	kvfree(mapping->pages);
	kfree(mapping);
}

static void r3_mapping_unmap(struct r3_grant *grant, struct r3_mapping *mapping)
{
	dma_unmap_sgtable(&grant->claim->dev->pdev->dev, &mapping->table, mapping->direction, 0);
	sg_free_table(&mapping->table);
	r3_count(grant->claim, R3_N_DMA_MAPS, -1);
}

/* Pin the caller's pages; nothing of the device is touched. */
static struct r3_mapping *r3_mapping_pin(struct r3_grant *grant, const struct r3_dma_map *args)
{
	unsigned int gup = FOLL_LONGTERM | (args->flags & R3_DMA_FROM_DEVICE ? FOLL_WRITE : 0);
	unsigned long first = args->address & PAGE_MASK;
	struct r3_mapping *mapping;
	const struct cred *cred;
	unsigned long count;
	u64 end;
	long got;
	int err;

	if (!args->length || check_add_overflow(args->address, args->length, &end))
		return ERR_PTR(-EINVAL);
	if (!access_ok(u64_to_user_ptr(args->address), args->length))
		return ERR_PTR(-EFAULT);
	count = (PAGE_ALIGN(end) - first) >> PAGE_SHIFT;
	err = r3_dma_charge(grant, (u64)count << PAGE_SHIFT);
	if (err)
		return ERR_PTR(err);
	err = -ENOMEM;
	/* Before anything is allocated for it. */
	cred = r3_locked_charge(count);
	if (!cred)
		goto uncharge;
	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL_ACCOUNT);
	if (!mapping)
		goto uncharge_locked;
	/* The driver chooses the count: too large a one is its error, not ours to warn of. */
	mapping->pages = kvcalloc(count, sizeof(*mapping->pages),
				  GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!mapping->pages)
		goto free;
	mapping->cred = cred;
	mapping->direction = args->flags == R3_DMA_TO_DEVICE ? DMA_TO_DEVICE :
			     args->flags == R3_DMA_FROM_DEVICE ? DMA_FROM_DEVICE :
			     DMA_BIDIRECTIONAL;
	got = pin_user_pages_fast(first, count, gup, mapping->pages);
	if (got != count) {
		if (got > 0)
			unpin_user_pages(mapping->pages, got);
		err = got < 0 ? got : -EFAULT;
		goto free;
	}
	mapping->count = count;
	r3_count(grant->claim, R3_N_PINNED_PAGES, count);
	return mapping;

free:
	kvfree(mapping->pages);
	kfree(mapping);
uncharge_locked:
	r3_locked_uncharge(cred, count);
uncharge:
	atomic64_sub((u64)count << PAGE_SHIFT, &grant->dma_used);
	return ERR_PTR(err);
}

/* The segments as user space gets them, in memory of our own. */
static struct r3_segment *r3_mapping_segments(const struct r3_mapping *mapping)
{
	struct r3_segment *segments;
	struct scatterlist *sg;
	int i;

	segments = kvmalloc_array(mapping->table.nents, sizeof(*segments),
				  GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	if (!segments)
		return NULL;
	for_each_sgtable_dma_sg(&mapping->table, sg, i) {
		segments[i].address = sg_dma_address(sg);
		segments[i].length = sg_dma_len(sg);
	}
	return segments;
}

int r3_dma_map(struct r3_grant *grant, struct r3_dma_map *args)
{
	struct r3_mapping *mapping;
	struct r3_segment *segments;
	unsigned int noio;
	u32 count;
	int err;

	/* Only for the right error: it can end right after. */
	err = r3_grant_hold(grant, &noio);
	if (err)
		return err;
	r3_grant_unhold(grant, noio);
	if (!args->flags)
		return -EINVAL;
	/* Pinning takes mmap_lock, so it stays outside live_lock. */
	mapping = r3_mapping_pin(grant, args);
	if (IS_ERR(mapping))
		return PTR_ERR(mapping);
	err = r3_grant_hold(grant, &noio);
	if (err)
		goto free;
	err = sg_alloc_table_from_pages_segment(&mapping->table, mapping->pages, mapping->count,
						offset_in_page(args->address), args->length,
						dma_get_max_seg_size(&grant->claim->dev->pdev->dev),
						GFP_KERNEL_ACCOUNT);
	if (err)
		goto unhold;
	err = dma_map_sgtable(&grant->claim->dev->pdev->dev, &mapping->table,
			      mapping->direction, 0);
	if (err)
		goto free_table;
	r3_count(grant->claim, R3_N_DMA_MAPS, 1);
	err = -ENOSPC;
	count = mapping->table.nents;
	if (count > args->segments)
		goto unmap;
	err = -ENOMEM;
	segments = r3_mapping_segments(mapping);
	if (!segments)
		goto unmap;
	err = xa_alloc(&grant->dma_maps, &args->handle, mapping, xa_limit_31b, GFP_KERNEL_ACCOUNT);
	if (err)
		goto free_segments;
	r3_grant_unhold(grant, noio);

	/* The grant owns the mapping now, and another thread may end it: only the copy is ours. */
	args->segments = count;
	if (copy_to_user(u64_to_user_ptr(args->segment), segments, count * sizeof(*segments))) {
		r3_dma_unmap(grant, args->handle);
		err = -EFAULT;
	}
	kvfree(segments);
	return err;

free_segments:
	kvfree(segments);
unmap:
	r3_mapping_unmap(grant, mapping);
	goto unhold;
free_table:
	sg_free_table(&mapping->table);
unhold:
	r3_grant_unhold(grant, noio);
free:
	r3_mapping_free(grant, mapping);
	return err;
}

int r3_dma_unmap(struct r3_grant *grant, u32 handle)
{
	struct r3_mapping *mapping;
	unsigned int noio;
	int err;

	err = r3_grant_hold(grant, &noio);
	if (err)
		return err;
	mapping = xa_erase(&grant->dma_maps, handle);
	if (mapping)
		r3_mapping_unmap(grant, mapping);
	r3_grant_unhold(grant, noio);
	if (!mapping)
		return -ENOENT;
	r3_mapping_free(grant, mapping);
	return 0;
}

void r3_dma_unmap_all(struct r3_grant *grant)
{
	struct r3_mapping *mapping;
	unsigned long handle;

	xa_for_each(&grant->dma_maps, handle, mapping) {
		xa_erase(&grant->dma_maps, handle);
		r3_mapping_unmap(grant, mapping);
		r3_mapping_free(grant, mapping);
	}
}
