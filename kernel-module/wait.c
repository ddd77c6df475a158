// SPDX-License-Identifier: GPL-2.0
/*
 * WAIT: the one call of the data path. It hands over what the driver has done,
 * and returns when there is something for it to do; docs/rings.md has the steps.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/moduleparam.h>
#include <linux/sched/clock.h>
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
	u64 least;	/* local_clock(), before which they are not over */
	ktime_t until;	/* where it is a timer */
};

static void r3_wait_begin(struct r3_wait_time *time, u64 now, u32 timeout_us)
{
	time->ticks = timeout_us >= R3_WAIT_TICKS_US;
	time->least = now + (u64)timeout_us * NSEC_PER_USEC;
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
	/* Ticks may have lagged at the beginning, and then come all at once. */
	if (!time->left && local_clock() < time->least)
		time->left = 1;
	return time->left;
}

/* ---- being woken ---- */

#define R3_WAKE_MOST_NS		NSEC_PER_MSEC

/* Wake the driver, and keep when: WAIT learns what it takes. */
void r3_wait_wake(struct r3_grant *grant)
{
	if (waitqueue_active(&grant->wait) && !READ_ONCE(grant->woken))
		WRITE_ONCE(grant->woken, local_clock());
	wake_up_all(&grant->wait);
}

static void r3_wake_learn(struct r3_grant *grant)
{
	u64 woken = READ_ONCE(grant->woken);
	s64 ns = READ_ONCE(grant->wake_ns);
	s64 took;

	if (!woken)
		return;
	took = clamp_t(s64, local_clock() - woken, 0, R3_WAKE_MOST_NS);
	/* Quick to fall, slow to rise: it may be late as another had the processor. */
	ns += (took - ns) / (took < ns ? 2 : 16);
	WRITE_ONCE(grant->wake_ns, ns);
}

/* ---- busy polling ---- */

/*
 * To put a driver to sleep and wake it takes longer than many a device takes to
 * answer, so WAIT looks for a while first: at most for as long as it takes to be
 * woken so many times, be that on a processor or an emulated one. For how long is
 * learned, as KVM learns it for idle guests (halt_poll_ns): for twice as long after
 * a sleep that a longer look would have spared, and for half as long after one that
 * it would not have. So a driver soon sleeps at once where there is little to do,
 * and goes on looking where there is much and one answer in many is late.
 */
#define R3_BUSY_POLL_WAKES	8
#define R3_BUSY_POLL_MOST_US	1000
#define R3_BUSY_POLL_LEAST_NS	(10 * NSEC_PER_USEC)

static unsigned int r3_busy_poll_us = R3_BUSY_POLL_MOST_US;
module_param_named(busy_poll_us, r3_busy_poll_us, uint, 0644);
MODULE_PARM_DESC(busy_poll_us,
		 "longest time that WAIT looks for work before it sleeps, up to 1000; 0: none");

static u32 r3_busy_poll_limit(const struct r3_grant *grant)
{
	u32 us = min_t(u32, READ_ONCE(r3_busy_poll_us), R3_BUSY_POLL_MOST_US);

	/* On the only processor it would be in the way of those who make work. */
	if (num_online_cpus() == 1)
		return 0;
	return min_t(u32, us * NSEC_PER_USEC, R3_BUSY_POLL_WAKES * READ_ONCE(grant->wake_ns));
}

/* Would r3_wait_events() find something, or the driver have to go? Takes nothing. */
static bool r3_wait_due(const struct r3_grant *grant)
{
	u32 i;

	if (READ_ONCE(grant->ended) || atomic_read(&grant->events))
		return true;
	for (i = 0; i < grant->irqs; i++)
		if (READ_ONCE(grant->vector[i].pending))
			return true;
	for (i = 0; i < grant->channels; i++)
		if (r3_channel_pending(&grant->channel[i], r3_channel_seen(&grant->channel[i])))
			return true;
	return false;
}

static void r3_busy_poll(struct r3_grant *grant, u64 begin, u32 timeout_us)
{
	u64 ns = min(READ_ONCE(grant->busy_poll_ns), r3_busy_poll_limit(grant));

	if (!ns)
		return;
	ns = min(ns, (u64)timeout_us * NSEC_PER_USEC);
	/* Interrupts are to come meanwhile. */
	r3_irqs_arm(grant);
	while (!r3_wait_due(grant) && !need_resched() && !signal_pending(current) &&
	       local_clock() - begin < ns)
		cpu_relax();
}

/* The driver has slept; from the beginning of WAIT to work it took so long. */
static void r3_busy_poll_learn(struct r3_grant *grant, u64 took)
{
	u32 ns = READ_ONCE(grant->busy_poll_ns);
	u32 limit = r3_busy_poll_limit(grant);

	if (took > limit)
		ns = ns / 2 < R3_BUSY_POLL_LEAST_NS ? 0 : ns / 2;
	else if (took > ns)
		ns = clamp_t(u32, 2 * ns, R3_BUSY_POLL_LEAST_NS, limit);
	WRITE_ONCE(grant->busy_poll_ns, ns);
}

/* ---- sleeping ---- */

static long r3_wait_sleep(struct r3_grant *grant, struct r3_wait *args)
{
	const u64 begin = local_clock();
	struct r3_wait_time time;
	bool slept = false;
	DEFINE_WAIT(wait);
	long ret = 0;

	r3_wait_begin(&time, begin, args->timeout_us);
	r3_busy_poll(grant, begin, args->timeout_us);
	/*
	 * Whom the kick has woken on this processor goes first. What it asks for in turn
	 * is then found below, where it would have had to wake the driver.
	 */
	cond_resched();
	for (;;) {
		/*
		 * Idle, unless the look below finds something; before the barrier that pairs
		 * with the wakers'.
		 */
		WRITE_ONCE(grant->stall.since, 0);
		WRITE_ONCE(grant->woken, 0);
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
		r3_wake_learn(grant);
	}
	finish_wait(&grant->wait, &wait);
	if (slept && !ret && args->events & ~R3_EVENT_TIMEOUT) {
		atomic64_inc(&grant->claim->wakeups);
		r3_busy_poll_learn(grant, local_clock() - begin);
	} else if (slept) {
		/* For nothing. */
		r3_busy_poll_learn(grant, U64_MAX);
	}
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
