// SPDX-License-Identifier: GPL-2.0
/*
 * Accesses to I/O windows, in batches. Everything is checked and copied before
 * the first access, and copied back after the last: between them the grant is
 * held, under which user memory cannot be touched.
 */
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "ring3.h"

#define R3_PIO_REPEAT_MAX	4096	/* bytes of one access */

/* Bytes that an access moves to or from its buffer. */
static u32 r3_pio_bytes(const struct r3_pio_access *access)
{
	return access->flags & R3_PIO_REPEAT ? access->value * access->width : 0;
}

/* Windows do not change in a grant's life. */
static unsigned long r3_pio_port(struct r3_grant *grant, const struct r3_pio_access *access)
{
	const struct r3_window_info *window = &grant->window[access->window];

	return pci_resource_start(grant->claim->dev->pdev, window->bar) + window->offset +
	       access->offset;
}

static bool r3_pio_valid(struct r3_grant *grant, const struct r3_pio_access *access)
{
	bool repeat = access->flags & R3_PIO_REPEAT;
	const struct r3_window_info *window;

	if (access->flags & ~(R3_PIO_WRITE | R3_PIO_REPEAT) || access->reserved)
		return false;
	if (access->width != 1 && access->width != 2 && access->width != 4)
		return false;
	if (access->window >= grant->windows)
		return false;
	window = &grant->window[access->window];
	if (!(window->flags & R3_WINDOW_IO) || access->width > window->length ||
	    access->offset > window->length - access->width)
		return false;
	if (r3_pio_port(grant, access) & (access->width - 1))
		return false;
	if (!repeat)
		return !access->buffer;
	return access->width > 1 && access->value &&
	       access->value <= R3_PIO_REPEAT_MAX / access->width;
}

static void r3_pio_repeat(const struct r3_pio_access *access, unsigned long port, void *data)
{
	bool write = access->flags & R3_PIO_WRITE;

	if (access->width == 2 && write)
		outsw(port, data, access->value);
	else if (access->width == 2)
		insw(port, data, access->value);
	else if (write)
		outsl(port, data, access->value);
	else
		insl(port, data, access->value);
}

static void r3_pio_single(struct r3_pio_access *access, unsigned long port)
{
	bool write = access->flags & R3_PIO_WRITE;

	if (access->width == 1 && write)
		outb(access->value, port);
	else if (access->width == 1)
		access->value = inb(port);
	else if (access->width == 2 && write)
		outw(access->value, port);
	else if (access->width == 2)
		access->value = inw(port);
	else if (write)
		outl(access->value, port);
	else
		access->value = inl(port);
}

/* data holds what is written by repetition, one access after the other, and takes what is read. */
static int r3_pio_run(struct r3_grant *grant, struct r3_pio_access *accesses, u32 count, u8 *data)
{
	unsigned int noio;
	u32 i;
	int err;

	err = r3_grant_hold(grant, &noio);
	if (err)
		return err;
	for (i = 0; i < count; i++) {
		unsigned long port = r3_pio_port(grant, &accesses[i]);

		if (accesses[i].flags & R3_PIO_REPEAT)
			r3_pio_repeat(&accesses[i], port, data);
		else
			r3_pio_single(&accesses[i], port);
		data += r3_pio_bytes(&accesses[i]);
		cond_resched();
	}
	r3_grant_unhold(grant, noio);
	return 0;
}

/* Copy the data of repeated accesses that go in the direction of flags, R3_PIO_WRITE or 0. */
static int r3_pio_copy(const struct r3_pio_access *accesses, u32 count, u8 *data, u32 flags)
{
	u32 i;

	for (i = 0; i < count; i++) {
		void __user *buffer = u64_to_user_ptr(accesses[i].buffer);
		u32 bytes = r3_pio_bytes(&accesses[i]);

		if (!bytes)
			continue;
		if ((accesses[i].flags & R3_PIO_WRITE) == flags &&
		    (flags ? copy_from_user(data, buffer, bytes) :
			     copy_to_user(buffer, data, bytes)))
			return -EFAULT;
		data += bytes;
	}
	return 0;
}

static long r3_pio_batch(struct r3_grant *grant, struct r3_pio_access *accesses, u32 count)
{
	u8 *data = NULL;
	u32 bytes = 0;
	long ret;
	u32 i;

	for (i = 0; i < count; i++) {
		if (!r3_pio_valid(grant, &accesses[i]))
			return -EINVAL;
		bytes += r3_pio_bytes(&accesses[i]);
	}
	if (bytes) {
		data = kvmalloc(bytes, GFP_KERNEL);
		if (!data)
			return -ENOMEM;
	}
	ret = r3_pio_copy(accesses, count, data, R3_PIO_WRITE);
	if (!ret)
		ret = r3_pio_run(grant, accesses, count, data);
	if (!ret)
		ret = r3_pio_copy(accesses, count, data, 0);
	kvfree(data);
	return ret;
}

long r3_pio(struct r3_grant *grant, void __user *arg)
{
	struct r3_pio_access *accesses;
	struct r3_pio args;
	unsigned int noio;
	size_t size;
	long ret;

	ret = r3_copy_in(&args, sizeof(args), arg, 0);
	if (ret)
		return ret;
	/*
	 * Pairs with the release in r3_grant_end(); only for the right error, it is held
	 * for the accesses.
	 */
	if (smp_load_acquire(&grant->ended))
		return grant->ended_errno;
	if (!args.count || args.count > R3_MAX_PIO || args.reserved)
		return -EINVAL;
	atomic64_inc(&grant->claim->pios);
	size = args.count * sizeof(*accesses);
	/* As in r3_call(): a disk can wait for this. */
	noio = memalloc_noio_save();
	accesses = kmalloc(size, GFP_KERNEL);
	ret = -ENOMEM;
	if (!accesses)
		goto restore;
	ret = -EFAULT;
	if (copy_from_user(accesses, u64_to_user_ptr(args.access), size))
		goto free;
	ret = r3_pio_batch(grant, accesses, args.count);
	if (!ret && copy_to_user(u64_to_user_ptr(args.access), accesses, size))
		ret = -EFAULT;
free:
	kfree(accesses);
restore:
	memalloc_noio_restore(noio);
	return ret;
}
