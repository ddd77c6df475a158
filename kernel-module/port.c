// SPDX-License-Identifier: GPL-2.0
/*
 * What all kinds of port share: their place in memory, and who is attached.
 */
#include <linux/ktime.h>
#include <linux/rcupdate.h>

#include "ring3.h"

/*
 * Lay the channels' parts out in one region and return its length: a page of
 * control blocks, then for each channel submissions and completions.
 */
u32 r3_port_layout(struct r3_port *port)
{
	u32 at = PAGE_SIZE;
	u32 i;

	BUILD_BUG_ON(R3_MAX_CHANNELS * sizeof(struct r3_channel_control) > PAGE_SIZE);
	for (i = 0; i < port->channels; i++) {
		struct r3_channel_info *info = &port->channel[i];

		info->control = i * sizeof(struct r3_channel_control);
		info->submissions = at;
		at += info->size * sizeof(struct r3_entry);
		info->completions = at;
		at += info->size * sizeof(struct r3_entry);
	}
	return PAGE_ALIGN(at);
}

/* The port that this grant's claim owns, or NULL. Caller holds dev->lock. */
static struct r3_port *r3_port_of(struct r3_grant *grant)
{
	lockdep_assert_held(&grant->claim->dev->lock);
	return grant->rings ? grant->claim->port : NULL;
}

int r3_port_attach(struct r3_grant *grant, const struct r3_port_attach *args)
{
	struct r3_port *port = r3_port_of(grant);
	int err;

	if (grant->ended)
		return grant->ended_errno;
	if (!port)
		return r3_refuse(grant->claim, -ENOENT, "the manifest grants no port");
	if (args->kind != port->ops->kind || args->reserved)
		return -EINVAL;
	if (rcu_access_pointer(grant->port))
		return -EALREADY;
	err = port->ops->attach(port, grant, args);
	if (err)
		return err;
	/* Before the first kick can carry anything. */
	grant->claim->attached_ns = ktime_get_ns();
	rcu_assign_pointer(port->grant, grant);
	rcu_assign_pointer(grant->port, port);
	/* What was configured before this driver came is replayed to it. */
	r3_port_config_changed(port);
	return 0;
}

void r3_port_detach(struct r3_grant *grant)
{
	struct r3_device *dev = grant->claim->dev;
	struct r3_port *port = rcu_dereference_protected(grant->port, lockdep_is_held(&dev->lock));

	if (!port)
		return;
	RCU_INIT_POINTER(port->grant, NULL);
	RCU_INIT_POINTER(grant->port, NULL);
	/*
	 * No kick and no configuration event is under way after this. Expedited:
	 * ends are few, and the port's traffic waits for the next driver.
	 */
	synchronize_rcu_expedited();
	port->ops->detach(port, grant);
}

int r3_port_config(struct r3_grant *grant, struct r3_port_config *out)
{
	struct r3_port *port = r3_port_of(grant);

	if (grant->ended)
		return grant->ended_errno;
	if (!port || !rcu_access_pointer(grant->port))
		return -ENOENT;
	out->kind = port->ops->kind;
	/* Before the content: a change during the copy shows as another event. */
	out->sequence = atomic_read(&port->config_sequence);
	port->ops->config(port, out);
	return 0;
}

int r3_port_report(struct r3_grant *grant, const struct r3_port_report *args)
{
	struct r3_port *port = r3_port_of(grant);

	if (grant->ended)
		return grant->ended_errno;
	if (!port || !rcu_access_pointer(grant->port))
		return -ENOENT;
	if (args->kind != port->ops->kind || args->reserved)
		return -EINVAL;
	return port->ops->report(port, args);
}

/* Take the completions of these channels, on this CPU, before returning. */
void r3_port_kick(struct r3_grant *grant, u32 channels)
{
	struct r3_port *port;

	local_bh_disable();
	rcu_read_lock();
	port = rcu_dereference(grant->port);
	if (port)
		port->ops->kick(port, channels);
	rcu_read_unlock();
	/* Runs what the kick has scheduled. */
	local_bh_enable();
}

/* Any context. */
void r3_port_config_changed(struct r3_port *port)
{
	struct r3_grant *grant;

	atomic_inc(&port->config_sequence);
	rcu_read_lock();
	grant = rcu_dereference(port->grant);
	if (grant)
		r3_grant_event(grant, R3_EVENT_CONFIG);
	rcu_read_unlock();
}
