/* SPDX-License-Identifier: GPL-2.0 */
/* What differs between the kernels we build for (6.1 and 6.12), in one place. */
#ifndef RING3_COMPAT_H
#define RING3_COMPAT_H

#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/version.h>

#ifndef CONFIG_X86_64
#error "ring3 maps coherent memory the way x86-64 lays it out; port r3_region_pfn() first"
#endif

#ifndef PCI_IRQ_INTX
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* A device can send no interrupt but its own. */
static inline bool r3_interrupts_isolated(struct device *dev)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
	return device_iommu_capable(dev, IOMMU_CAP_INTR_REMAP);
#else
	return msi_device_has_isolated_msi(dev);
#endif
}

/*
 * A descriptor with an inode of its own, so that its mappings can be found and
 * zapped. On failure the caller still owns priv.
 */
static inline int r3_anon_fd(const char *name, const struct file_operations *fops, void *priv)
{
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 8, 0)
	return anon_inode_getfd_secure(name, fops, priv, O_RDWR | O_CLOEXEC, NULL);
#else
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	file = anon_inode_create_getfile(name, fops, priv, O_RDWR, NULL);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		return PTR_ERR(file);
	}
	fd_install(fd, file);
	return fd;
#endif
}

#endif
