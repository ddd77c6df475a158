// SPDX-License-Identifier: GPL-2.0
/*
 * The module: /dev/ring3, the PCI driver that holds devices, and the counters.
 */
#include <linux/dma-mapping.h>
#include <linux/fs.h>
#include <linux/iommu.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sched/mm.h>

#include "ring3.h"

static LIST_HEAD(r3_devices);
static DEFINE_MUTEX(r3_devices_lock);
static struct r3_count r3_total;

struct workqueue_struct *r3_workqueue;

/* ---- counters ---- */

void r3_count(struct r3_claim *claim, enum r3_counter which, s64 by)
{
	atomic64_add(by, &claim->count.n[which]);
	atomic64_add(by, &r3_total.n[which]);
}

void r3_count_read(const struct r3_count *count, struct r3_counters *out)
{
	out->claims = atomic64_read(&count->n[R3_N_CLAIMS]);
	out->grants = atomic64_read(&count->n[R3_N_GRANTS]);
	out->ports = atomic64_read(&count->n[R3_N_PORTS]);
	out->irqs = atomic64_read(&count->n[R3_N_IRQS]);
	out->regions = atomic64_read(&count->n[R3_N_REGIONS]);
	out->mappings = atomic64_read(&count->n[R3_N_MAPPINGS]);
	out->dma_maps = atomic64_read(&count->n[R3_N_DMA_MAPS]);
	out->pinned_pages = atomic64_read(&count->n[R3_N_PINNED_PAGES]);
	out->dma_bytes = atomic64_read(&count->n[R3_N_DMA_BYTES]);
	out->rx_buffers = atomic64_read(&count->n[R3_N_RX_BUFFERS]);
}

/* ---- calls ---- */

int r3_copy_in(void *to, size_t size, void __user *from, u32 allowed_flags)
{
	u32 argsz;
	int err;

	if (get_user(argsz, (u32 __user *)from))
		return -EFAULT;
	if (argsz < size)
		return -EINVAL;
	if (argsz > PAGE_SIZE)
		return -E2BIG;
	err = copy_struct_from_user(to, size, from, argsz);
	if (err)
		return err;
	/* argsz and flags begin every structure. */
	return ((u32 *)to)[1] & ~allowed_flags ? -EINVAL : 0;
}

long r3_call(const struct r3_call *call, void *object, struct r3_device *dev, void __user *user)
{
	void *args = kzalloc(call->size, GFP_KERNEL_ACCOUNT);
	unsigned int noio;
	long ret;

	if (!args)
		return -ENOMEM;
	ret = r3_copy_in(args, call->size, user, 0);
	if (!ret) {
		mutex_lock(&dev->lock);
		/* No waiting for memory that is written to a disk which waits for this call. */
		noio = memalloc_noio_save();
		ret = call->act(object, args);
		memalloc_noio_restore(noio);
		mutex_unlock(&dev->lock);
	}
	if (!ret && call->out) {
		*(u32 *)args = call->size;
		if (copy_to_user(user, args, call->size))
			ret = -EFAULT;
	}
	kfree(args);
	return ret;
}

static u32 r3_total_tx_frames(void)
{
	struct r3_device *dev;
	u32 frames = 0;

	mutex_lock(&r3_devices_lock);
	list_for_each_entry(dev, &r3_devices, node) {
		mutex_lock(&dev->lock);
		if (dev->claim && dev->claim->port)
			frames += dev->claim->port->ops->tx_frames(dev->claim->port);
		mutex_unlock(&dev->lock);
	}
	mutex_unlock(&r3_devices_lock);
	return frames;
}

static long r3_ioctl_claim(void __user *arg)
{
	struct r3_claim_args args;
	int err;

	err = r3_copy_in(&args, sizeof(args), arg, 0);
	if (err)
		return err;
	if (!memchr(args.address, 0, sizeof(args.address)))
		return -EINVAL;
	if (!capable(CAP_SYS_RAWIO))
		return -EPERM;
	return r3_claim_open(args.address);
}

static long r3_ioctl_totals(void __user *arg)
{
	struct r3_totals args;
	int err;

	err = r3_copy_in(&args, sizeof(args), arg, 0);
	if (err)
		return err;
	if (args.reserved)
		return -EINVAL;
	args.abi_version = R3_ABI_VERSION;
	r3_count_read(&r3_total, &args.counters);
	args.counters.tx_frames = r3_total_tx_frames();
	return copy_to_user(arg, &args, sizeof(args)) ? -EFAULT : 0;
}

static long r3_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case R3_CLAIM:
		return r3_ioctl_claim((void __user *)arg);
	case R3_TOTALS:
		return r3_ioctl_totals((void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations r3_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = r3_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice r3_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "ring3",
	.fops = &r3_fops,
	.mode = 0600,
};

/* ---- devices ---- */

static void r3_device_release(struct kref *ref)
{
	struct r3_device *dev = container_of(ref, struct r3_device, ref);

	pci_dev_put(dev->pdev);
	kfree(dev);
}

void r3_device_put(struct r3_device *dev)
{
	kref_put(&dev->ref, r3_device_release);
}

/* Find a device by its PCI address; returns it referenced. */
struct r3_device *r3_device_find(const char *address)
{
	unsigned int domain, bus, slot, func;
	struct r3_device *dev, *found = NULL;
	char canonical[24];
	struct pci_dev *pdev;

	if (sscanf(address, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4 ||
	    bus > 0xff || slot > 0x1f || func > 7)
		return ERR_PTR(-EINVAL);
	/* sscanf() also takes spaces, prefixes and what follows. */
	snprintf(canonical, sizeof(canonical), "%04x:%02x:%02x.%x", domain, bus, slot, func);
	if (strcmp(address, canonical))
		return ERR_PTR(-EINVAL);
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!pdev)
		return ERR_PTR(-ENXIO);
	mutex_lock(&r3_devices_lock);
	list_for_each_entry(dev, &r3_devices, node) {
		if (dev->pdev == pdev) {
			kref_get(&dev->ref);
			found = dev;
			break;
		}
	}
	mutex_unlock(&r3_devices_lock);
	pci_dev_put(pdev);
	return found ?: ERR_PTR(-ENODEV);
}

/* An interrupt is a write as well: unless those are translated too, the device can send any. */
static bool r3_confined(struct pci_dev *pdev)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&pdev->dev);

	return domain && (domain->type & __IOMMU_DOMAIN_PAGING) &&
	       r3_interrupts_isolated(&pdev->dev);
}

static int r3_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct r3_device *dev;
	int err;

	if (pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return -EINVAL;
	dev = kzalloc(sizeof(*dev), GFP_KERNEL);
	if (!dev)
		return -ENOMEM;
	err = pci_enable_device(pdev);
	if (err)
		goto free;
	pci_clear_master(pdev);
	/* Nobody handles its line before a grant does, and others may share it. */
	pci_intx(pdev, 0);
	/* A driver splits its segments itself: most drivers' limits are none of the device's. */
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	dma_set_seg_boundary(&pdev->dev, ULONG_MAX);
	err = pci_request_regions(pdev, "ring3");
	if (err)
		goto disable;

	kref_init(&dev->ref);
	mutex_init(&dev->lock);
	dev->pdev = pci_dev_get(pdev);
	dev->confined = r3_confined(pdev);
	pci_set_drvdata(pdev, dev);
	mutex_lock(&r3_devices_lock);
	list_add_tail(&dev->node, &r3_devices);
	mutex_unlock(&r3_devices_lock);
	return 0;

disable:
	pci_disable_device(pdev);
free:
	kfree(dev);
	return err;
}

/* Unplugged, or unbound by hand: everything on it ends here, before the device does. */
static void r3_remove(struct pci_dev *pdev)
{
	struct r3_device *dev = pci_get_drvdata(pdev);

	mutex_lock(&r3_devices_lock);
	list_del(&dev->node);
	mutex_unlock(&r3_devices_lock);

	mutex_lock(&dev->lock);
	dev->lost = true;
	if (dev->claim)
		r3_claim_lost(dev->claim);
	mutex_unlock(&dev->lock);

	pci_release_regions(pdev);
	pci_disable_device(pdev);
	r3_device_put(dev);
}

/* No table: devices come to us through driver_override only. */
static const struct pci_device_id r3_ids[] = { { } };

static struct pci_driver r3_pci_driver = {
	.name = "ring3",
	.id_table = r3_ids,
	.probe = r3_probe,
	.remove = r3_remove,
};

static int __init r3_init(void)
{
	int err;

	/*
	 * Ends of grants, and nothing that waits for memory: a disk it is written to
	 * waits for them.
	 */
	r3_workqueue = alloc_workqueue("ring3", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!r3_workqueue)
		return -ENOMEM;
	err = pci_register_driver(&r3_pci_driver);
	if (err)
		goto workqueue;
	err = misc_register(&r3_misc);
	if (err)
		goto driver;
	return 0;

driver:
	pci_unregister_driver(&r3_pci_driver);
workqueue:
	destroy_workqueue(r3_workqueue);
	return err;
}

static void __exit r3_exit(void)
{
	int i;

	misc_deregister(&r3_misc);
	pci_unregister_driver(&r3_pci_driver);
	destroy_workqueue(r3_workqueue);
	for (i = 0; i < R3_N_COUNTERS; i++)
		WARN(atomic64_read(&r3_total.n[i]), "ring3: counter %d is %lld at unload\n", i,
		     (long long)atomic64_read(&r3_total.n[i]));
}

module_init(r3_init);
module_exit(r3_exit);

MODULE_DESCRIPTION("Capabilities for device drivers outside the kernel");
MODULE_LICENSE("GPL");
