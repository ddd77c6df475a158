// SPDX-License-Identifier: GPL-2.0
/*
 * A grant: what one driver process may touch, and how it is taken back.
 */
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/ktime.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ring3.h"

static const struct file_operations r3_grant_fops;

/* ---- life ---- */

static void r3_grant_release_ref(struct kref *ref)
{
	struct r3_grant *grant = container_of(ref, struct r3_grant, ref);
	struct r3_claim *claim = grant->claim;

	/* The end has stopped it, but a WAIT under way then can have started it once more. */
	hrtimer_cancel(&grant->stall.timer);
	xa_destroy(&grant->regions);
	xa_destroy(&grant->dma_maps);
	vfree(grant->rings);
	r3_count(claim, R3_N_GRANTS, -1);
	kfree(grant);
	r3_claim_put(claim);
}

void r3_grant_get(struct r3_grant *grant)
{
	kref_get(&grant->ref);
}

void r3_grant_put(struct r3_grant *grant)
{
	kref_put(&grant->ref, r3_grant_release_ref);
}

int r3_grant_hold(struct r3_grant *grant, unsigned int *noio)
{
	down_read(&grant->live_lock);
	if (!grant->ended) {
		*noio = memalloc_noio_save();
		return 0;
	}
	up_read(&grant->live_lock);
	return grant->ended_errno;
}

void r3_grant_unhold(struct r3_grant *grant, unsigned int noio)
{
	memalloc_noio_restore(noio);
	up_read(&grant->live_lock);
}

void r3_grant_event(struct r3_grant *grant, u32 event)
{
	atomic_or(event, &grant->events);
	/* As in r3_grant_wake(). */
	smp_mb__after_atomic();
	r3_stall_watch(grant);
	r3_wait_wake(grant);
}

void r3_grant_wake(struct r3_grant *grant)
{
	/*
	 * Pairs with prepare_to_wait() in WAIT: it sees the counter, or we see it
	 * waiting, and idle.
	 */
	smp_mb();
	r3_stall_watch(grant);
	/* The barrier above is what this needs. */
	if (waitqueue_active(&grant->wait))
		r3_wait_wake(grant);
}

/*
 * Reset the function where it can reset itself. A reset of the whole bus would
 * take a second and others with it; without one the bus stays closed to the
 * device until its next driver has reset it.
 */
static void r3_function_reset(struct pci_dev *pdev)
{
	if (pcie_reset_flr(pdev, PCI_RESET_PROBE))
		return;
	pci_save_state(pdev);
	pcie_reset_flr(pdev, PCI_RESET_DO_RESET);
	pci_restore_state(pdev);
}

/* BAR of an IDE controller's bus masters, with 8 ports for each of its two channels. */
#define R3_IDE_MASTERS	4

/*
 * Stop the bus masters of an IDE controller. It has neither transactions that can be waited for
 * nor a reset, and not every one drops what it has begun when it loses the bus: QEMU's goes on.
 */
static void r3_ide_stop(struct pci_dev *pdev)
{
	bool master = pdev->class >> 8 == PCI_CLASS_STORAGE_IDE && pdev->class & BIT(7);

	if (!master || !(pci_resource_flags(pdev, R3_IDE_MASTERS) & IORESOURCE_IO) ||
	    pci_resource_len(pdev, R3_IDE_MASTERS) < 16)
		return;
	outb(0, pci_resource_start(pdev, R3_IDE_MASTERS));
	outb(0, pci_resource_start(pdev, R3_IDE_MASTERS) + 8);
}

static void r3_regions_free(struct r3_grant *grant)
{
	struct r3_region *region;
	unsigned long id;

	xa_for_each(&grant->regions, id, region) {
		xa_erase(&grant->regions, id);
		if (region->kind == R3_REGION_DMA)
			r3_dma_free_region(grant, region);
		r3_count(grant->claim, R3_N_REGIONS, -1);
		kfree(region);
	}
}

void r3_grant_channels(const struct r3_grant *grant, struct r3_channels *out)
{
	u32 i;

	out->generation = grant->generation;
	out->channels = grant->channels;
	for (i = 0; i < grant->channels; i++)
		r3_channel_state(&grant->channel[i], &out->state[i]);
}

void r3_grant_end(struct r3_grant *grant, u32 reason, const char *text)
{
	struct r3_claim *claim = grant->claim;
	struct r3_device *dev = claim->dev;
	bool present;

	lockdep_assert_held(&dev->lock);
	if (grant->ended)
		return;
	if (reason != R3_END_NONE) {
		claim->ended_ns = ktime_get_ns();
		claim->stalled_ms = reason == R3_END_STALLED ?
				    jiffies_to_msecs(jiffies - grant->stall.missed) : 0;
		if (grant->channels)
			r3_grant_channels(grant, &claim->last);
	}

	/* No new fault, call or mapping after this; those under way finish first. */
	down_write(&grant->live_lock);
	grant->ended_errno = dev->lost ? -ENODEV : -EKEYREVOKED;
	/* Pairs with the acquire in WAIT, which does not take the lock. */
	smp_store_release(&grant->ended, true);
	up_write(&grant->live_lock);
	wake_up_all(&grant->wait);
	/* The driver may still run: it must not touch the device in its reset, or after. */
	if (grant->mapping)
		unmap_mapping_range(grant->mapping, 0, 0, 1);

	/* The device falls silent ... */
	r3_irqs_remove(grant);
	/* A device that was only unbound is still there to be waited for. */
	present = pci_device_is_present(dev->pdev);
	if (present)
		r3_ide_stop(dev->pdev);
	pci_clear_master(dev->pdev);
	if (present) {
		pci_wait_for_pending_transaction(dev->pdev);
		r3_function_reset(dev->pdev);
	}

	/* ... and only then does what it could reach become free. */
	r3_port_detach(grant);
	/* Only a WAIT under way makes work now. A look that saw us live is over after this. */
	hrtimer_cancel(&grant->stall.timer);
	r3_dma_unmap_all(grant);
	r3_regions_free(grant);

	if (reason != R3_END_NONE)
		claim->end = reason;
	if (text[0])
		strscpy(claim->text, text, sizeof(claim->text));
	claim->grant = NULL;
	r3_claim_changed(claim);
	r3_grant_put(grant);
}

static void r3_grant_end_work(struct work_struct *work)
{
	struct r3_grant *grant = container_of(work, struct r3_grant, end_work);
	struct r3_device *dev = grant->claim->dev;

	mutex_lock(&dev->lock);
	r3_grant_end(grant, grant->fail_reason, grant->fail_text);
	mutex_unlock(&dev->lock);
	r3_grant_put(grant);
}

bool r3_grant_fail(struct r3_grant *grant, u32 reason, const char *format, ...)
{
	va_list list;

	if (atomic_cmpxchg(&grant->failed, 0, 1))
		return false;
	grant->fail_reason = reason;
	va_start(list, format);
	vscnprintf(grant->fail_text, sizeof(grant->fail_text), format, list);
	va_end(list);
	r3_grant_get(grant);
	queue_work(r3_workqueue, &grant->end_work);
	return true;
}

/*
 * The process that has mapped the grant ends. Its files are closed only when all
 * of its memory has been given back, which can take longer than a recovery.
 */
static void r3_grant_mm_release(struct mmu_notifier *notifier, struct mm_struct *mm)
{
	struct r3_grant *grant = container_of(notifier, struct r3_grant, notifier);

	r3_grant_fail(grant, R3_END_RELEASED, "%s", "");
}

static const struct mmu_notifier_ops r3_grant_mm_ops = {
	.release = r3_grant_mm_release,
};

/* Watch the first process that maps the grant. Caller holds the mmap_lock of mm for writing. */
static int r3_grant_watch(struct r3_grant *grant, struct mm_struct *mm)
{
	int err;

	if (cmpxchg(&grant->mm, NULL, mm))
		return 0;
	grant->notifier.ops = &r3_grant_mm_ops;
	err = __mmu_notifier_register(&grant->notifier, mm);
	if (err)
		WRITE_ONCE(grant->mm, NULL);
	return err;
}

static int r3_grant_release(struct inode *inode, struct file *file)
{
	struct r3_grant *grant = file->private_data;
	struct r3_device *dev = grant->claim->dev;

	mutex_lock(&dev->lock);
	r3_grant_end(grant, R3_END_RELEASED, "");
	mutex_unlock(&dev->lock);
	if (grant->mm)
		mmu_notifier_unregister(&grant->notifier, grant->mm);
	r3_grant_put(grant);
	return 0;
}

/* ---- making one ---- */

u32 r3_region_add(struct r3_grant *grant, struct r3_region *region)
{
	region->id = ++grant->next_region;
	if (xa_err(xa_store(&grant->regions, region->id, region, GFP_KERNEL)))
		return 0;
	r3_count(grant->claim, R3_N_REGIONS, 1);
	return region->id;
}

/* The MSI-X table and pending bits: who writes them directs interrupts at will. */
static bool r3_window_hits_msix(struct pci_dev *pdev, const struct r3_window *window)
{
	static const int registers[] = { PCI_MSIX_TABLE, PCI_MSIX_PBA };
	u64 first = window->offset, last = window->offset + window->length - 1;
	u32 value, vectors;
	u16 control;
	int i;

	if (!pdev->msix_cap)
		return false;
	pci_read_config_word(pdev, pdev->msix_cap + PCI_MSIX_FLAGS, &control);
	vectors = (control & PCI_MSIX_FLAGS_QSIZE) + 1;
	for (i = 0; i < ARRAY_SIZE(registers); i++) {
		u64 at, end;

		pci_read_config_dword(pdev, pdev->msix_cap + registers[i], &value);
		if ((value & PCI_MSIX_TABLE_BIR) != window->bar)
			continue;
		at = value & PCI_MSIX_TABLE_OFFSET;
		end = at + (i ? DIV_ROUND_UP(vectors, 64) * 8 : vectors * PCI_MSIX_ENTRY_SIZE) - 1;
		/* Whole pages are mapped, so whole pages must not meet. */
		if (first <= (end | ~PAGE_MASK) && last >= (at & PAGE_MASK))
			return true;
	}
	return false;
}

static int r3_grant_window(struct r3_grant *grant, const struct r3_window *window)
{
	struct r3_claim *claim = grant->claim;
	struct pci_dev *pdev = claim->dev->pdev;
	struct r3_window_info *info = &grant->window[grant->windows];
	struct r3_region *region;
	u64 size;

	if (window->flags)
		return r3_refuse(claim, -EINVAL, "BAR %u: a window has no flags", window->bar);
	if (window->bar >= PCI_STD_NUM_BARS)
		return r3_refuse(claim, -EINVAL, "there is no BAR %u", window->bar);
	size = pci_resource_len(pdev, window->bar);
	if (!size)
		return r3_refuse(claim, -EINVAL, "the device has no BAR %u", window->bar);
	if (!window->length || window->offset >= size || window->length > size - window->offset)
		return r3_refuse(claim, -EINVAL, "BAR %u is %llu bytes, the window ends at %llu",
				 window->bar, size, window->offset + window->length);

	info->bar = window->bar;
	info->offset = window->offset;
	info->length = window->length;
	if (pci_resource_flags(pdev, window->bar) & IORESOURCE_IO) {
		info->flags = R3_WINDOW_IO;
		grant->windows++;
		return 0;
	}

	if (!PAGE_ALIGNED(pci_resource_start(pdev, window->bar) + window->offset) ||
	    !PAGE_ALIGNED(window->length))
		return r3_refuse(claim, -EINVAL,
				 "BAR %u: a window is whole pages of %lu bytes, as the processor protects no less",
				 window->bar, PAGE_SIZE);
	if (window->length >= BIT_ULL(R3_REGION_SHIFT))
		return r3_refuse(claim, -EINVAL, "BAR %u: a window is less than 4 GiB",
				 window->bar);
	if (r3_window_hits_msix(pdev, window))
		return r3_refuse(claim, -EPERM, "BAR %u: the window covers the MSI-X table",
				 window->bar);

	region = kzalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return -ENOMEM;
	region->kind = R3_REGION_BAR;
	region->length = window->length;
	region->phys = pci_resource_start(pdev, window->bar) + window->offset;
	if (!r3_region_add(grant, region)) {
		kfree(region);
		return -ENOMEM;
	}
	info->mmap_offset = (u64)region->id << R3_REGION_SHIFT;
	grant->windows++;
	return 0;
}

/* Fresh rings for each grant: nothing an old driver mapped is looked at again. */
static int r3_grant_rings(struct r3_grant *grant)
{
	struct r3_port *port = grant->claim->port;
	struct r3_region *region;
	u32 i;

	if (!port)
		return 0;
	grant->rings = vmalloc_user(port->rings_length);
	if (!grant->rings)
		return -ENOMEM;
	region = kzalloc(sizeof(*region), GFP_KERNEL);
	if (!region)
		return -ENOMEM;
	region->kind = R3_REGION_RINGS;
	region->length = port->rings_length;
	region->cpu = grant->rings;
	if (!r3_region_add(grant, region)) {
		kfree(region);
		return -ENOMEM;
	}
	grant->rings_region = region->id;
	for (i = 0; i < port->channels; i++)
		r3_channel_init(&grant->channel[i], &port->channel[i], grant->rings);
	grant->channels = port->channels;
	return 0;
}

static int r3_grant_check(struct r3_claim *claim, const struct r3_grant_args *args)
{
	if (args->reserved)
		return -EINVAL;
	if (args->windows > R3_MAX_WINDOWS)
		return r3_refuse(claim, -EINVAL, "at most %u windows", R3_MAX_WINDOWS);
	if (args->irqs > R3_MAX_IRQS || args->irq_type > R3_IRQ_IDE)
		return r3_refuse(claim, -EINVAL, "at most %u interrupts, of a known type",
				 R3_MAX_IRQS);
	if (args->dma_bits < 24 || args->dma_bits > 64)
		return r3_refuse(claim, -EINVAL, "a device drives 24 to 64 address bits, not %u",
				 args->dma_bits);
	if (args->stall_ms > R3_MAX_STALL_MS)
		return r3_refuse(claim, -EINVAL, "a stall limit is at most %u ms, not %u",
				 R3_MAX_STALL_MS, args->stall_ms);
	return 0;
}

/* Caller holds dev->lock, the device is not lost and has no live grant. Returns a descriptor. */
int r3_grant_open(struct r3_claim *claim, const struct r3_grant_args *args)
{
	struct r3_device *dev = claim->dev;
	struct r3_grant *grant;
	u32 i;
	int err;

	err = r3_grant_check(claim, args);
	if (err)
		return err;
	err = dma_set_mask_and_coherent(&dev->pdev->dev, DMA_BIT_MASK(args->dma_bits));
	if (err)
		return r3_refuse(claim, err, "this machine cannot do %u-bit DMA", args->dma_bits);
	grant = kzalloc(sizeof(*grant), GFP_KERNEL);
	if (!grant)
		return -ENOMEM;
	kref_init(&grant->ref);
	r3_claim_get(claim);
	grant->claim = claim;
	init_rwsem(&grant->live_lock);
	xa_init(&grant->regions);
	xa_init_flags(&grant->dma_maps, XA_FLAGS_ALLOC1);
	init_waitqueue_head(&grant->wait);
	INIT_WORK(&grant->end_work, r3_grant_end_work);
	r3_stall_init(grant, args->stall_ms);
	grant->dma_limit = args->dma_limit;
	grant->generation = claim->generation + 1;
	r3_count(claim, R3_N_GRANTS, 1);

	/* From here r3_grant_end() undoes whatever has been done. */
	claim->grant = grant;
	claim->text[0] = 0;
	for (i = 0; i < args->windows && !err; i++)
		err = r3_grant_window(grant, &args->window[i]);
	if (!err)
		err = r3_grant_rings(grant);
	if (!err)
		err = r3_irqs_install(grant, args->irqs, args->irq_type);
	if (!err) {
		r3_grant_get(grant);	/* the file's */
		err = r3_anon_fd("[ring3-grant]", &r3_grant_fops, grant);
		if (err >= 0) {
			claim->generation = grant->generation;
			claim->attached_ns = 0;
			claim->carried_ns = 0;
			return err;
		}
		r3_grant_put(grant);
	}
	r3_grant_end(grant, R3_END_NONE, "");
	return err;
}

/* ---- mmap ---- */

static unsigned long r3_region_pfn(const struct r3_region *region, u64 offset)
{
	void *at = region->cpu + offset;

	if (region->kind == R3_REGION_BAR)
		return PHYS_PFN(region->phys + offset);
	return is_vmalloc_addr(at) ? vmalloc_to_pfn(at) : PHYS_PFN(virt_to_phys(at));
}

static struct r3_region *r3_region_at(struct r3_grant *grant, unsigned long pgoff)
{
	return xa_load(&grant->regions, pgoff >> (R3_REGION_SHIFT - PAGE_SHIFT));
}

static vm_fault_t r3_grant_fault(struct vm_fault *vmf)
{
	struct r3_grant *grant = vmf->vma->vm_file->private_data;
	vm_fault_t ret = VM_FAULT_SIGBUS;
	struct r3_region *region;
	unsigned int noio;
	u64 offset;

	if (r3_grant_hold(grant, &noio))
		return VM_FAULT_SIGBUS;
	region = r3_region_at(grant, vmf->pgoff);
	offset = ((u64)vmf->pgoff << PAGE_SHIFT) & (BIT_ULL(R3_REGION_SHIFT) - 1);
	if (region && offset < region->length)
		ret = vmf_insert_pfn(vmf->vma, vmf->address, r3_region_pfn(region, offset));
	r3_grant_unhold(grant, noio);
	return ret;
}

static void r3_grant_vma_open(struct vm_area_struct *vma)
{
	struct r3_grant *grant = vma->vm_file->private_data;

	atomic_inc(&grant->vmas);
	r3_count(grant->claim, R3_N_MAPPINGS, 1);
}

static void r3_grant_vma_close(struct vm_area_struct *vma)
{
	struct r3_grant *grant = vma->vm_file->private_data;

	atomic_dec(&grant->vmas);
	r3_count(grant->claim, R3_N_MAPPINGS, -1);
}

/* The end of a grant goes through all of them under the device's lock, so there is a limit. */
static bool r3_grant_vmas_full(struct r3_grant *grant)
{
	return atomic_read(&grant->vmas) >= R3_MAX_MAPPINGS;
}

static int r3_grant_vma_may_split(struct vm_area_struct *vma, unsigned long at)
{
	return r3_grant_vmas_full(vma->vm_file->private_data) ? -ENOMEM : 0;
}

static const struct vm_operations_struct r3_grant_vm_ops = {
	.open = r3_grant_vma_open,
	.close = r3_grant_vma_close,
	.may_split = r3_grant_vma_may_split,
	.fault = r3_grant_fault,
};

static int r3_grant_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct r3_grant *grant = file->private_data;
	u64 offset = ((u64)vma->vm_pgoff << PAGE_SHIFT) & (BIT_ULL(R3_REGION_SHIFT) - 1);
	u64 length = vma->vm_end - vma->vm_start;
	struct r3_region *region;
	unsigned int noio;
	int err;

	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EINVAL;
	/*
	 * Threads of several processes can pass this at once: it is exceeded by their
	 * number at most.
	 */
	if (r3_grant_vmas_full(grant))
		return -ENOMEM;
	err = r3_grant_watch(grant, vma->vm_mm);
	if (err)
		return err;
	err = r3_grant_hold(grant, &noio);
	if (err)
		return err;
	region = r3_region_at(grant, vma->vm_pgoff);
	if (!region || offset >= region->length || length > region->length - offset) {
		r3_grant_unhold(grant, noio);
		return -EINVAL;
	}
	/* A child that the driver forks gets none of it. */
	vm_flags_set(vma, VM_PFNMAP | VM_IO | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vm_flags_clear(vma, VM_MAYEXEC);
	if (region->kind == R3_REGION_BAR)
		vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vma->vm_ops = &r3_grant_vm_ops;
	WRITE_ONCE(grant->mapping, file->f_mapping);
	r3_grant_unhold(grant, noio);
	r3_grant_vma_open(vma);
	return 0;
}

/* ---- calls ---- */

static long r3_do_info(void *object, void *args)
{
	struct r3_grant *grant = object;
	struct r3_info *out = args;
	struct r3_device *dev = grant->claim->dev;
	struct pci_dev *pdev = dev->pdev;
	struct r3_port *port = grant->claim->port;
	u32 i;

	if (grant->ended)
		return grant->ended_errno;
	memset(out, 0, sizeof(*out));
	strscpy(out->address, pci_name(pdev), sizeof(out->address));
	out->vendor = pdev->vendor;
	out->device = pdev->device;
	out->subsystem_vendor = pdev->subsystem_vendor;
	out->subsystem_device = pdev->subsystem_device;
	out->class_revision = pdev->class << 8 | pdev->revision;
	out->iommu = dev->confined;
	out->windows = grant->windows;
	for (i = 0; i < grant->windows; i++)
		out->window[i] = grant->window[i];
	out->irqs = grant->irqs;
	out->irq_type = grant->irq_type;
	out->generation = grant->generation;
	out->dma_limit = grant->dma_limit;
	if (port && grant->rings) {
		out->port_kind = port->ops->kind;
		out->port_mmap_offset = (u64)grant->rings_region << R3_REGION_SHIFT;
		out->port_mmap_length = port->rings_length;
		out->channels = port->channels;
		for (i = 0; i < port->channels; i++)
			out->channel[i] = port->channel[i];
	}
	return 0;
}

static long r3_ioctl_irq(struct r3_grant *grant, void __user *arg)
{
	struct r3_irq args;
	unsigned int noio;
	long ret;

	ret = r3_copy_in(&args, sizeof(args), arg, 0);
	if (ret)
		return ret;
	if (args.reserved)
		return -EINVAL;
	ret = r3_grant_hold(grant, &noio);
	if (ret)
		return ret;
	ret = r3_irq_open(grant, args.index);
	r3_grant_unhold(grant, noio);
	return ret;
}

/* If the address cannot be told, the memory stays the grant's and ends with it. */
static long r3_do_dma_alloc(void *object, void *args)
{
	struct r3_grant *grant = object;

	return grant->ended ? grant->ended_errno : r3_dma_alloc(grant, args);
}

static long r3_ioctl_dma_map(struct r3_grant *grant, void __user *arg)
{
	struct r3_dma_map args;
	long ret;

	ret = r3_copy_in(&args, sizeof(args), arg, R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE);
	if (ret)
		return ret;
	ret = r3_dma_map(grant, &args);
	if (!ret && copy_to_user(arg, &args, sizeof(args))) {
		r3_dma_unmap(grant, args.handle);
		ret = -EFAULT;
	}
	return ret;
}

static long r3_ioctl_dma_unmap(struct r3_grant *grant, void __user *arg)
{
	struct r3_dma_unmap args;
	long ret;

	ret = r3_copy_in(&args, sizeof(args), arg, 0);
	if (ret)
		return ret;
	return args.reserved ? -EINVAL : r3_dma_unmap(grant, args.handle);
}

static long r3_do_bus_master(void *object, void *args)
{
	struct r3_grant *grant = object;
	const struct r3_bus_master *in = args;

	if (in->enable > 1 || in->reserved)
		return -EINVAL;
	if (grant->ended)
		return grant->ended_errno;
	r3_irqs_bus_master(grant, in->enable);
	return 0;
}

static long r3_do_port_attach(void *object, void *args)
{
	return r3_port_attach(object, args);
}

static long r3_do_port_config(void *object, void *args)
{
	memset(args, 0, sizeof(struct r3_port_config));
	return r3_port_config(object, args);
}

static long r3_do_port_report(void *object, void *args)
{
	return r3_port_report(object, args);
}

static const struct r3_call r3_call_info = {
	sizeof(struct r3_info), true, r3_do_info
};

static const struct r3_call r3_call_dma_alloc = {
	sizeof(struct r3_dma_alloc), true, r3_do_dma_alloc
};

static const struct r3_call r3_call_bus_master = {
	sizeof(struct r3_bus_master), false, r3_do_bus_master
};

static const struct r3_call r3_call_port_attach = {
	sizeof(struct r3_port_attach), false, r3_do_port_attach
};

static const struct r3_call r3_call_port_config = {
	sizeof(struct r3_port_config), true, r3_do_port_config
};

static const struct r3_call r3_call_port_report = {
	sizeof(struct r3_port_report), false, r3_do_port_report
};

static long r3_grant_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct r3_grant *grant = file->private_data;
	struct r3_device *dev = grant->claim->dev;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case R3_WAIT:
		return r3_wait(grant, user);
	case R3_INFO:
		return r3_call(&r3_call_info, grant, dev, user);
	case R3_IRQ:
		return r3_ioctl_irq(grant, user);
	case R3_DMA_ALLOC:
		return r3_call(&r3_call_dma_alloc, grant, dev, user);
	case R3_DMA_MAP:
		return r3_ioctl_dma_map(grant, user);
	case R3_DMA_UNMAP:
		return r3_ioctl_dma_unmap(grant, user);
	case R3_BUS_MASTER:
		return r3_call(&r3_call_bus_master, grant, dev, user);
	case R3_PORT_ATTACH:
		return r3_call(&r3_call_port_attach, grant, dev, user);
	case R3_PORT_CONFIG:
		return r3_call(&r3_call_port_config, grant, dev, user);
	case R3_PIO:
		return r3_pio(grant, user);
	case R3_PORT_REPORT:
		return r3_call(&r3_call_port_report, grant, dev, user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations r3_grant_fops = {
	.owner = THIS_MODULE,
	.release = r3_grant_release,
	.mmap = r3_grant_mmap,
	.unlocked_ioctl = r3_grant_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};
