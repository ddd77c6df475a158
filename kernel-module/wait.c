// SPDX-License-Identifier: GPL-2.0
/*
 * WAIT: the one call of the data path. It hands over what the driver has done,
 * and returns when there is something for it to do; docs/rings.md has the steps.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>

#include "ring3.h"

/* What has happened; takes it, and so the driver has it to do. */
static u32 r3_wait_events(struct r3_grant *grant, u32 *irqs)
{
	u32 events = 0;

	if (atomic_read(&grant->events))
		events = atomic_xchg(&grant->events, 0);
	*irqs |= r3_irqs_take(grant);
	if (*irqs)
		events |= R3_EVENT_IRQ;
	if (r3_stall_look(grant))
		events |= R3_EVENT_PORT;
	WRITE_ONCE(grant->stall.told, events);
	if (events)
		r3_stall_watch(grant);
	return events;
}

/*
 * From this on a timeout is kept by ticks: late by an eighth at most, at a
 * fraction of what a timer costs.
 */
#define R3_WAIT_TICKS_US	(100 * USEC_PER_MSEC)

struct r3_wait_time {
	bool ticks;
	long left;	/* of them */
	ktime_t until;	/* where it is a timer */
};

static void r3_wait_begin(struct r3_wait_time *time, u32 timeout_us)
{
	time->ticks = timeout_us >= R3_WAIT_TICKS_US;
	if (timeout_us == R3_WAIT_FOREVER)
		time->left = MAX_SCHEDULE_TIMEOUT;
	else if (time->ticks)
		/* The present tick is over in part. */
		time->left = usecs_to_jiffies(timeout_us) + 1;
	else
		time->until = ktime_add_us(ktime_get(), timeout_us);
}

/* Sleep until woken, or returns false when the time is over. */
static bool r3_wait_schedule(struct r3_wait_time *time)
{
	if (!time->ticks)
		return schedule_hrtimeout_range(&time->until, 50 * NSEC_PER_USEC, HRTIMER_MODE_ABS);
	time->left = schedule_timeout(time->left);
	return time->left;
}

static long r3_wait_sleep(struct r3_grant *grant, struct r3_wait *args)
{
	struct r3_wait_time time;
	bool slept = false;
	DEFINE_WAIT(wait);
	long ret = 0;

	r3_wait_begin(&time, args->timeout_us);
	for (;;) {
		/*
		 * Idle, unless the look below finds something; before the barrier that pairs
		 * with the wakers'.
		 */
		WRITE_ONCE(grant->stall.since, 0);
		prepare_to_wait(&grant->wait, &wait, TASK_INTERRUPTIBLE);
		/* As in r3_wait(). */
		if (smp_load_acquire(&grant->ended)) {
			ret = grant->ended_errno;
			break;
		}
		/* Unmask, then look again: what came in between is not slept over. */
		r3_irqs_arm(grant);
		args->events = r3_wait_events(grant, &args->irqs);
		if (args->events)
			break;
		if (signal_pending(current)) {
			ret = -EINTR;
			break;
		}
		slept = true;
		if (!r3_wait_schedule(&time)) {
			args->events = r3_wait_events(grant, &args->irqs) | R3_EVENT_TIMEOUT;
			break;
		}
	}
	finish_wait(&grant->wait, &wait);
	if (slept && args->events & ~R3_EVENT_TIMEOUT)
		atomic64_inc(&grant->claim->wakeups);
	return ret;
}

long r3_wait(struct r3_grant *grant, void __user *arg)
{
	struct r3_wait args;
	long ret;

	ret = r3_copy_in(&args, sizeof(args), arg, 0);
	if (ret)
		return ret;
	/* Pairs with the release in r3_grant_end(). */
	if (smp_load_acquire(&grant->ended))
		return grant->ended_errno;
	if (args.kick >> grant->channels)
		return -EINVAL;
	atomic64_inc(&grant->claim->waits);
	r3_stall_serve(grant);
	if (args.kick)
		r3_port_kick(grant, args.kick);
	args.irqs = 0;
	args.events = r3_wait_events(grant, &args.irqs);
	if (!args.events && args.timeout_us) {
		ret = r3_wait_sleep(grant, &args);
		if (ret)
			return ret;
	} else if (!args.events) {
		r3_stall_settle(grant);
	}
	return copy_to_user(arg, &args, sizeof(args)) ? -EFAULT : 0;
}
