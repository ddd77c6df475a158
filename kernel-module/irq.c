// SPDX-License-Identifier: GPL-2.0
/*
 * Interrupts for user space. The handler masks and counts; whoever takes the
 * count and waits again unmasks. So a driver that does not run, or does not
 * quiet its device, costs one interrupt.
 */
#include <linux/fs.h>
#include <linux/irq.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "ring3.h"

struct r3_irq_file {
	struct r3_grant *grant;		/* referenced */
	u32 index;
};

static irqreturn_t r3_irq_handler(int irq, void *data)
{
	struct r3_vector *vector = data;
	struct r3_grant *grant = vector->grant;

	spin_lock(&vector->lock);
	if (vector->by_config) {
		/* Masked, it cannot have been us, even if our status says that we would. */
		if (vector->masked || !pci_check_and_mask_intx(grant->claim->dev->pdev)) {
			spin_unlock(&vector->lock);
			return IRQ_NONE;
		}
	} else {
		disable_irq_nosync(irq);
	}
	vector->masked = true;
	vector->pending++;
	spin_unlock(&vector->lock);

	atomic64_inc(&grant->claim->irqs);
	/*
	 * Pairs with the one in r3_stall_settle(): it sees what is pending, or the watch
	 * sees it idle.
	 */
	smp_mb__after_atomic();
	r3_stall_watch(grant);
	r3_wait_wake(grant);
	return IRQ_HANDLED;
}

static u64 r3_vector_take(struct r3_vector *vector)
{
	unsigned long flags;
	u64 pending;

	spin_lock_irqsave(&vector->lock, flags);
	pending = vector->pending;
	vector->pending = 0;
	spin_unlock_irqrestore(&vector->lock, flags);
	return pending;
}

/* Unmask, unless there is something to take first. */
static void r3_vector_arm(struct r3_vector *vector)
{
	bool asserted = false;
	unsigned long flags;

	spin_lock_irqsave(&vector->lock, flags);
	if (vector->live && vector->masked && !vector->pending) {
		if (!vector->by_config) {
			vector->masked = false;
			enable_irq(vector->irq);
		} else if (pci_check_and_unmask_intx(vector->grant->claim->dev->pdev)) {
			vector->masked = false;
		} else {
			/* Still asserted: it stays masked, and that is an interrupt. */
			vector->pending++;
			asserted = true;
		}
	}
	spin_unlock_irqrestore(&vector->lock, flags);
	if (asserted) {
		/* As in r3_irq_handler(). */
		smp_mb();
		r3_stall_watch(vector->grant);
	}
}

u32 r3_irqs_take(struct r3_grant *grant)
{
	u32 taken = 0;
	u32 i;

	for (i = 0; i < grant->irqs; i++)
		if (READ_ONCE(grant->vector[i].pending) && r3_vector_take(&grant->vector[i]))
			taken |= BIT(i);
	return taken;
}

void r3_irqs_arm(struct r3_grant *grant)
{
	u32 i;

	for (i = 0; i < grant->irqs; i++)
		if (READ_ONCE(grant->vector[i].masked))
			r3_vector_arm(&grant->vector[i]);
}

/*
 * Let the device reach memory, or not. The bit shares a register with that which
 * masks INTx, and pci_set_master() reads and writes it back without a lock: done
 * beside the handler, either would undo what the other did.
 */
void r3_irqs_bus_master(struct r3_grant *grant, bool enable)
{
	void (*set)(struct pci_dev *pdev) = enable ? pci_set_master : pci_clear_master;
	struct pci_dev *pdev = grant->claim->dev->pdev;
	struct r3_vector *vector = &grant->vector[0];
	unsigned long flags;

	if (!grant->irqs || !vector->by_config) {
		set(pdev);
		return;
	}
	spin_lock_irqsave(&vector->lock, flags);
	set(pdev);
	spin_unlock_irqrestore(&vector->lock, flags);
}

/* ---- the IRQ file ---- */

static ssize_t r3_irq_read(struct file *file, char __user *to, size_t size, loff_t *at)
{
	struct r3_irq_file *irq = file->private_data;
	struct r3_grant *grant = irq->grant;
	struct r3_vector *vector = &grant->vector[irq->index];
	unsigned int noio;
	u64 count = 0;
	int err;

	if (size < sizeof(count))
		return -EINVAL;
	r3_stall_serve(grant);
	for (;;) {
		err = r3_grant_hold(grant, &noio);
		if (err)
			return err;
		count = r3_vector_take(vector);
		if (!count)
			r3_vector_arm(vector);
		r3_grant_unhold(grant, noio);
		if (count)
			break;
		if (file->f_flags & O_NONBLOCK) {
			/* Arming may have found the line asserted. */
			count = r3_vector_take(vector);
			if (!count)
				return -EAGAIN;
			break;
		}
		err = wait_event_interruptible(grant->wait, READ_ONCE(vector->pending) ||
					       READ_ONCE(grant->ended));
		if (err)
			return err;
	}
	r3_stall_settle(grant);
	return copy_to_user(to, &count, sizeof(count)) ? -EFAULT : sizeof(count);
}

static __poll_t r3_irq_poll(struct file *file, poll_table *table)
{
	struct r3_irq_file *irq = file->private_data;
	struct r3_grant *grant = irq->grant;
	struct r3_vector *vector = &grant->vector[irq->index];
	unsigned int noio;

	poll_wait(file, &grant->wait, table);
	if (r3_grant_hold(grant, &noio))
		return EPOLLHUP | EPOLLERR;
	r3_vector_arm(vector);
	r3_grant_unhold(grant, noio);
	return READ_ONCE(vector->pending) ? EPOLLIN | EPOLLRDNORM : 0;
}

static int r3_irq_release(struct inode *inode, struct file *file)
{
	struct r3_irq_file *irq = file->private_data;

	r3_grant_put(irq->grant);
	kfree(irq);
	return 0;
}

static const struct file_operations r3_irq_fops = {
	.owner = THIS_MODULE,
	.read = r3_irq_read,
	.poll = r3_irq_poll,
	.release = r3_irq_release,
};

int r3_irq_open(struct r3_grant *grant, u32 index)
{
	struct r3_irq_file *irq;
	int fd;

	if (index >= grant->irqs)
		return -EINVAL;
	irq = kzalloc(sizeof(*irq), GFP_KERNEL_ACCOUNT);
	if (!irq)
		return -ENOMEM;
	r3_grant_get(grant);
	irq->grant = grant;
	irq->index = index;
	fd = r3_anon_fd("[ring3-irq]", &r3_irq_fops, irq);
	if (fd < 0) {
		r3_grant_put(grant);
		kfree(irq);
	}
	return fd;
}

/* ---- installing ---- */

#define R3_IDE_IRQ	14	/* of the first channel on the ISA bus; the next is the second's */

static const struct {
	u32 type;
	unsigned int flag;
} r3_irq_types[] = {
	{ R3_IRQ_MSIX, PCI_IRQ_MSIX },
	{ R3_IRQ_MSI, PCI_IRQ_MSI },
	{ R3_IRQ_INTX, PCI_IRQ_INTX },
};

/* Interrupts of a controller that answers where IDE did on the ISA bus, and not by its own. */
static bool r3_irqs_ide(struct pci_dev *pdev, u32 count)
{
	/* A bit of the programming interface for each channel: set in native mode. */
	u8 native = (pdev->class & BIT(0) ? BIT(0) : 0) | (pdev->class & BIT(2) ? BIT(1) : 0);

	return pdev->class >> 8 == PCI_CLASS_STORAGE_IDE && count <= 2 &&
	       !(native & (BIT(count) - 1));
}

static int r3_irqs_allocate(struct r3_grant *grant, u32 count, u32 type)
{
	struct pci_dev *pdev = grant->claim->dev->pdev;
	int i;

	/* Before INTx, which it may have as well, and not use. */
	if ((type == R3_IRQ_NONE || type == R3_IRQ_IDE) && r3_irqs_ide(pdev, count)) {
		grant->irq_type = R3_IRQ_IDE;
		grant->have_vectors = true;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(r3_irq_types); i++) {
		if (type != R3_IRQ_NONE && type != r3_irq_types[i].type)
			continue;
		if (pci_alloc_irq_vectors(pdev, count, count, r3_irq_types[i].flag) == count) {
			grant->irq_type = r3_irq_types[i].type;
			grant->have_vectors = true;
			return 0;
		}
	}
	return r3_refuse(grant->claim, -EINVAL,
			 "the device has no %u interrupt vectors of the type asked for", count);
}

/* Install count handlers. On failure r3_irqs_remove() undoes what was done. */
int r3_irqs_install(struct r3_grant *grant, u32 count, u32 type)
{
	struct pci_dev *pdev = grant->claim->dev->pdev;
	u32 i;
	int err;

	if (!count)
		return 0;
	err = r3_irqs_allocate(grant, count, type);
	if (err)
		return err;
	for (i = 0; i < count; i++) {
		struct r3_vector *vector = &grant->vector[i];
		bool intx = grant->irq_type == R3_IRQ_INTX;

		vector->grant = grant;
		spin_lock_init(&vector->lock);
		vector->irq = grant->irq_type == R3_IRQ_IDE ? R3_IDE_IRQ + i :
			      pci_irq_vector(pdev, i);
		vector->by_config = intx && pci_intx_mask_supported(pdev);
		/* Nobody waits yet: begin masked. */
		if (vector->by_config) {
			pci_intx(pdev, 0);
			vector->masked = true;
		}
		err = request_irq(vector->irq, r3_irq_handler, vector->by_config ? IRQF_SHARED : 0,
				  "ring3", vector);
		if (err)
			return r3_refuse(grant->claim, err, "interrupt %d cannot be had: error %d",
					 vector->irq, -err);
		vector->live = true;
		grant->irqs = i + 1;
		r3_count(grant->claim, R3_N_IRQS, 1);
	}
	return 0;
}

/* After this no handler of the grant runs, and the device asserts nothing. */
void r3_irqs_remove(struct r3_grant *grant)
{
	struct pci_dev *pdev = grant->claim->dev->pdev;
	u32 i;

	if (!grant->have_vectors)
		return;
	/* A WAIT or read() under way unmasks nothing after this ... */
	for (i = 0; i < grant->irqs; i++) {
		spin_lock_irq(&grant->vector[i].lock);
		grant->vector[i].live = false;
		spin_unlock_irq(&grant->vector[i].lock);
	}
	/* ... so what is masked here stays masked. */
	if (grant->irq_type == R3_IRQ_INTX)
		pci_intx(pdev, 0);
	for (i = 0; i < grant->irqs; i++) {
		struct r3_vector *vector = &grant->vector[i];

		free_irq(vector->irq, vector);
		r3_count(grant->claim, R3_N_IRQS, -1);
	}
	pci_free_irq_vectors(pdev);
	/* Without MSI the device would fall back to its line. */
	pci_intx(pdev, 0);
	grant->have_vectors = false;
}
