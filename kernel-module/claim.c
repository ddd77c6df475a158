// SPDX-License-Identifier: GPL-2.0
/*
 * A claim: the supervisor's exclusive hold on a device.
 */
#include <linux/fs.h>
#include <linux/poll.h>
#include <linux/slab.h>

#include "ring3.h"

static void r3_claim_release_ref(struct kref *ref)
{
	struct r3_claim *claim = container_of(ref, struct r3_claim, ref);

	r3_count(claim, R3_N_CLAIMS, -1);
	r3_device_put(claim->dev);
	kfree(claim);
}

void r3_claim_get(struct r3_claim *claim)
{
	kref_get(&claim->ref);
}

void r3_claim_put(struct r3_claim *claim)
{
	kref_put(&claim->ref, r3_claim_release_ref);
}

void r3_claim_changed(struct r3_claim *claim)
{
	atomic_inc(&claim->changes);
	wake_up_all(&claim->wait);
}

int r3_refuse(struct r3_claim *claim, int err, const char *format, ...)
{
	va_list list;

	lockdep_assert_held(&claim->dev->lock);
	va_start(list, format);
	vscnprintf(claim->text, sizeof(claim->text), format, list);
	va_end(list);
	return err;
}

/* End what hangs on the claim: first the grant, which uses the port, then the port. */
static void r3_claim_end(struct r3_claim *claim, u32 reason)
{
	lockdep_assert_held(&claim->dev->lock);
	if (claim->grant)
		r3_grant_end(claim->grant, reason, "");
	if (claim->port) {
		claim->port->ops->destroy(claim->port);
		claim->port = NULL;
		r3_count(claim, R3_N_PORTS, -1);
	}
}

void r3_claim_lost(struct r3_claim *claim)
{
	r3_claim_end(claim, R3_END_DEVICE_LOST);
	r3_claim_changed(claim);
}

static int r3_claim_release(struct inode *inode, struct file *file)
{
	struct r3_claim *claim = file->private_data;
	struct r3_device *dev = claim->dev;

	mutex_lock(&dev->lock);
	r3_claim_end(claim, R3_END_REVOKED);
	dev->claim = NULL;
	mutex_unlock(&dev->lock);
	r3_claim_put(claim);
	return 0;
}

static __poll_t r3_claim_poll(struct file *file, poll_table *table)
{
	struct r3_claim *claim = file->private_data;
	__poll_t events = 0;

	poll_wait(file, &claim->wait, table);
	if (atomic_read(&claim->changes))
		events |= EPOLLIN | EPOLLRDNORM;
	if (READ_ONCE(claim->dev->lost))
		events |= EPOLLHUP;
	return events;
}

static long r3_do_grant(void *object, void *args)
{
	struct r3_claim *claim = object;

	if (claim->dev->lost)
		return -ENODEV;
	if (claim->grant)
		return r3_refuse(claim, -EBUSY, "the last grant is still in use");
	return r3_grant_open(claim, args);
}

static long r3_port_may_be_made(struct r3_claim *claim)
{
	if (claim->dev->lost)
		return -ENODEV;
	if (claim->port)
		return -EEXIST;
	if (claim->grant)
		return r3_refuse(claim, -EBUSY, "make the port before the grant that is to use it");
	return 0;
}

static long r3_port_made(struct r3_claim *claim, struct r3_port *port)
{
	if (IS_ERR(port))
		return PTR_ERR(port);
	claim->port = port;
	r3_count(claim, R3_N_PORTS, 1);
	return 0;
}

static long r3_do_port_net(void *object, void *args)
{
	struct r3_claim *claim = object;
	long err = r3_port_may_be_made(claim);

	return err ?: r3_port_made(claim, r3_net_create(claim, args));
}

static long r3_do_port_block(void *object, void *args)
{
	struct r3_claim *claim = object;
	long err = r3_port_may_be_made(claim);

	return err ?: r3_port_made(claim, r3_block_create(claim, args));
}

static long r3_do_status(void *object, void *args)
{
	struct r3_claim *claim = object;
	struct r3_status *out = args;

	memset(out, 0, sizeof(*out));
	/* What changes after this, changes under the lock, and so is reported again. */
	atomic_set(&claim->changes, 0);
	out->generation = claim->generation;
	out->live = !!claim->grant;
	out->end = claim->end;
	out->iommu = claim->dev->confined;
	r3_count_read(&claim->count, &out->counters);
	if (claim->port)
		out->counters.tx_frames = claim->port->ops->tx_frames(claim->port);
	out->irqs_total = atomic64_read(&claim->irqs);
	out->waits_total = atomic64_read(&claim->waits);
	out->wakeups_total = atomic64_read(&claim->wakeups);
	out->pio_total = atomic64_read(&claim->pios);
	out->ended_ns = claim->ended_ns;
	out->attached_ns = claim->attached_ns;
	out->carried_ns = READ_ONCE(claim->carried_ns);
	out->stalled_ms = claim->stalled_ms;
	strscpy(out->text, claim->text, sizeof(out->text));
	return 0;
}

static long r3_do_signal(void *object, void *args)
{
	struct r3_claim *claim = object;

	if (claim->dev->lost)
		return -ENODEV;
	if (!claim->grant)
		return -ENOENT;
	r3_grant_event(claim->grant, R3_EVENT_SIGNAL);
	return 0;
}

static long r3_do_revoke(void *object, void *args)
{
	struct r3_claim *claim = object;

	if (claim->dev->lost)
		return -ENODEV;
	if (!claim->grant)
		return -ENOENT;
	r3_grant_end(claim->grant, R3_END_REVOKED, "");
	return 0;
}

static long r3_do_port_down(void *object, void *args)
{
	struct r3_claim *claim = object;

	if (claim->dev->lost)
		return -ENODEV;
	if (!claim->port)
		return -ENOENT;
	if (claim->grant)
		return r3_refuse(claim, -EBUSY, "a driver serves the port");
	claim->port->ops->down(claim->port);
	return 0;
}

static long r3_do_channels(void *object, void *args)
{
	struct r3_claim *claim = object;
	struct r3_channels *out = args;

	memset(out, 0, sizeof(*out));
	if (claim->grant && claim->grant->channels)
		r3_grant_channels(claim->grant, out);
	else
		*out = claim->last;
	return out->channels ? 0 : -ENOENT;
}

static const struct r3_call r3_call_grant = {
	sizeof(struct r3_grant_args), false, r3_do_grant
};

static const struct r3_call r3_call_port_net = {
	sizeof(struct r3_port_net), false, r3_do_port_net
};

static const struct r3_call r3_call_port_block = {
	sizeof(struct r3_port_block), false, r3_do_port_block
};

static const struct r3_call r3_call_status = {
	sizeof(struct r3_status), true, r3_do_status
};

static const struct r3_call r3_call_signal = {
	sizeof(struct r3_signal), false, r3_do_signal
};

static const struct r3_call r3_call_revoke = {
	sizeof(struct r3_revoke), false, r3_do_revoke
};

static const struct r3_call r3_call_port_down = {
	sizeof(struct r3_port_down), false, r3_do_port_down
};

static const struct r3_call r3_call_channels = {
	sizeof(struct r3_channels), true, r3_do_channels
};

static long r3_claim_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct r3_claim *claim = file->private_data;
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case R3_GRANT:
		return r3_call(&r3_call_grant, claim, claim->dev, user);
	case R3_PORT_NET:
		return r3_call(&r3_call_port_net, claim, claim->dev, user);
	case R3_PORT_BLOCK:
		return r3_call(&r3_call_port_block, claim, claim->dev, user);
	case R3_STATUS:
		return r3_call(&r3_call_status, claim, claim->dev, user);
	case R3_SIGNAL:
		return r3_call(&r3_call_signal, claim, claim->dev, user);
	case R3_REVOKE:
		return r3_call(&r3_call_revoke, claim, claim->dev, user);
	case R3_PORT_DOWN:
		return r3_call(&r3_call_port_down, claim, claim->dev, user);
	case R3_CHANNELS:
		return r3_call(&r3_call_channels, claim, claim->dev, user);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations r3_claim_fops = {
	.owner = THIS_MODULE,
	.release = r3_claim_release,
	.poll = r3_claim_poll,
	.unlocked_ioctl = r3_claim_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

int r3_claim_open(const char *address)
{
	struct r3_device *dev;
	struct r3_claim *claim;
	int fd;

	dev = r3_device_find(address);
	if (IS_ERR(dev))
		return PTR_ERR(dev);
	claim = kzalloc(sizeof(*claim), GFP_KERNEL);
	if (!claim) {
		r3_device_put(dev);
		return -ENOMEM;
	}
	kref_init(&claim->ref);
	claim->dev = dev;
	init_waitqueue_head(&claim->wait);
	r3_count(claim, R3_N_CLAIMS, 1);

	mutex_lock(&dev->lock);
	if (dev->lost) {
		fd = -ENODEV;
	} else if (dev->claim) {
		fd = -EBUSY;
	} else {
		/* Set first: a fast close would otherwise clear it before it is set. */
		dev->claim = claim;
		fd = r3_anon_fd("[ring3-claim]", &r3_claim_fops, claim);
		if (fd < 0)
			dev->claim = NULL;
	}
	mutex_unlock(&dev->lock);
	if (fd < 0)
		r3_claim_put(claim);
	return fd;
}
