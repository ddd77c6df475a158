// SPDX-License-Identifier: GPL-2.0
/*
 * Stalls: work that a driver does not come for.
 *
 * "since" says from when on there has been work, and 0 while the driver is
 * idle. Whoever makes work sets it if it is 0, and starts the timer if that
 * is not running; WAIT clears it before it sleeps, and looks for work after
 * that. The timer is left alone by all of them while it runs: it finds out
 * for itself whether the driver has waited meanwhile, and comes again only
 * while there is work. So a driver that sleeps is disturbed at most once,
 * and a busy one pays for a test.
 *
 * Times are kept in jiffies, since reading a clock can cost more than all of
 * WAIT. A processor's jiffies can lag (R3_STALL_LAG), and lag must not make a
 * stall of what is none.
 */
#include <linux/jiffies.h>

#include "ring3.h"

/* After 5 ticks without an update the next processor that ticks makes it; and rounding. */
#define R3_STALL_LAG	8

/* Something the driver has to do. */
struct r3_work {
	const char *what;	/* if it is no interrupt */
	int vector;		/* of an interrupt, else -1 */
	bool told;		/* WAIT has delivered it */
	bool ignored;		/* WAITs that came for it did not touch it */
};

static unsigned long r3_stall_limit(const struct r3_stall *stall)
{
	return msecs_to_jiffies(stall->limit_ms) + R3_STALL_LAG;
}

static void r3_stall_start(struct r3_stall *stall, unsigned long in)
{
	hrtimer_start(&stall->timer, ns_to_ktime(jiffies_to_nsecs(in)), HRTIMER_MODE_REL_SOFT);
}

static const char *r3_stall_told(u32 events)
{
	if (events & R3_EVENT_IRQ)
		return "an interrupt";
	if (events & R3_EVENT_PORT)
		return "work in its rings";
	if (events & R3_EVENT_CONFIG)
		return "a change of configuration";
	return events & R3_EVENT_SIGNAL ? "a message" : NULL;
}

static const char *r3_stall_channel(u32 kind)
{
	switch (kind) {
	case R3_CHANNEL_NET_TX:
		return "frames to send";
	case R3_CHANNEL_NET_RX:
		return "receive buffers";
	default:
		return "requests";
	}
}

/* Is there work, and what? */
static bool r3_stall_work(const struct r3_grant *grant, struct r3_work *work)
{
	const struct r3_stall *stall = &grant->stall;
	u32 events;
	u32 i;

	work->what = NULL;
	work->vector = -1;
	work->told = false;
	work->ignored = READ_ONCE(stall->ignored);
	for (i = 0; i < grant->channels; i++) {
		const struct r3_channel *ch = &grant->channel[i];

		if (r3_channel_pending(ch, r3_channel_seen(ch))) {
			work->what = r3_stall_channel(ch->kind);
			return true;
		}
	}
	work->ignored = false;
	for (i = 0; i < grant->irqs; i++) {
		if (READ_ONCE(grant->vector[i].pending)) {
			work->vector = i;
			return true;
		}
	}
	events = atomic_read(&grant->events);
	work->told = !events;
	work->what = r3_stall_told(events ?: READ_ONCE(stall->told));
	return work->what;
}

void r3_stall_begin(struct r3_grant *grant)
{
	struct r3_stall *stall = &grant->stall;

	WRITE_ONCE(stall->since, jiffies ?: 1);
	/*
	 * Pairs with the barrier in r3_stall_expired(): it sees "since", or we see it off
	 * the queue.
	 */
	smp_mb();
	if (stall->limit_ms && !hrtimer_is_queued(&stall->timer))
		r3_stall_start(stall, r3_stall_limit(stall));
}

/*
 * Attaching gives a driver work that it comes for only when it has come up
 * altogether. How long that may take is the supervisor's to say.
 */
void r3_stall_first(struct r3_grant *grant)
{
	struct r3_work work;

	WRITE_ONCE(grant->stall.serves, true);
	WRITE_ONCE(grant->stall.since, 0);
	/* As in r3_stall_settle(). */
	smp_mb();
	if (r3_stall_work(grant, &work))
		r3_stall_begin(grant);
}

void r3_stall_settle(struct r3_grant *grant)
{
	struct r3_work work;

	if (!READ_ONCE(grant->stall.since) || r3_stall_work(grant, &work))
		return;
	WRITE_ONCE(grant->stall.since, 0);
	/* Pairs with the barrier before r3_stall_watch(): it sees 0, or we see its work. */
	smp_mb();
	if (r3_stall_work(grant, &work))
		r3_stall_begin(grant);
}

static void r3_stall_end(struct r3_grant *grant, const struct r3_work *work)
{
	u32 ms = grant->stall.limit_ms;

	if (work->told)
		r3_grant_fail(grant, R3_END_STALLED,
			      "no WAIT for %u ms since it was told of %s", ms, work->what);
	else if (work->ignored)
		r3_grant_fail(grant, R3_END_STALLED,
			      "%s pending for %u ms, and no WAIT has seen them", work->what, ms);
	else if (work->vector >= 0)
		r3_grant_fail(grant, R3_END_STALLED,
			      "no WAIT for %u ms with interrupt %d pending", ms, work->vector);
	else
		r3_grant_fail(grant, R3_END_STALLED, "no WAIT for %u ms with %s pending",
			      ms, work->what);
}

static enum hrtimer_restart r3_stall_expired(struct hrtimer *timer)
{
	struct r3_grant *grant = container_of(timer, struct r3_grant, stall.timer);
	struct r3_stall *stall = &grant->stall;
	unsigned long since, waited, missed;
	struct r3_work work;
	long left;

	/* Off the queue since before this; pairs with the barrier in r3_stall_begin(). */
	smp_mb();
	if (READ_ONCE(grant->ended))
		return HRTIMER_NORESTART;
	since = READ_ONCE(stall->since);
	if (!r3_stall_work(grant, &work)) {
		/*
		 * Idle; or the driver has seen its work without a WAIT; or a WAIT that
		 * has taken the work is about to tell, which it does without a barrier:
		 * then it is found at the next look.
		 */
		if (since) {
			r3_stall_settle(grant);
			r3_stall_start(stall, r3_stall_limit(stall));
		}
		return HRTIMER_NORESTART;
	}
	if (!since) {
		/* It has just come, or a WAIT has told of it when we did the above. */
		r3_stall_begin(grant);
		return HRTIMER_NORESTART;
	}
	waited = READ_ONCE(stall->waited);
	missed = time_after(waited, since) ? waited : since;
	left = missed + r3_stall_limit(stall) - jiffies;
	if (left > 0) {
		r3_stall_start(stall, left);
	} else {
		stall->missed = missed;
		r3_stall_end(grant, &work);
	}
	return HRTIMER_NORESTART;
}

/* A look at the rings by WAIT; returns whether there is something unseen. */
bool r3_stall_look(struct r3_grant *grant)
{
	struct r3_stall *stall = &grant->stall;
	bool ignored = false;
	u32 unseen = 0;
	u32 i;

	for (i = 0; i < grant->channels; i++) {
		u32 seen = r3_channel_seen(&grant->channel[i]);

		if (stall->unseen & BIT(i) && stall->seen[i] == seen)
			ignored = true;
		if (r3_channel_pending(&grant->channel[i], seen)) {
			unseen |= BIT(i);
			stall->seen[i] = seen;
		}
	}
	stall->unseen = unseen;
	WRITE_ONCE(stall->ignored, ignored);
	if (!ignored)
		WRITE_ONCE(stall->waited, jiffies);
	return unseen;
}

void r3_stall_init(struct r3_grant *grant, u32 limit_ms)
{
	struct r3_stall *stall = &grant->stall;

	stall->limit_ms = limit_ms;
	stall->since = 1;
	stall->waited = jiffies;
	hrtimer_init(&stall->timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_SOFT);
	stall->timer.function = r3_stall_expired;
}
