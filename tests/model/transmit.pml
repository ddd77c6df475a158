/*
 * The transmit channel, both ways: does anybody ever sleep over work?
 *
 *   Xmit     r3_net_xmit(), r3_channel_publish(), r3_grant_wake()   kernel-module/{net,channel,grant}.c
 *   Napi     r3_net_poll(), r3_tx_reap()                            kernel-module/net.c
 *   Device   sends what it was given, then raises its line
 *   Driver   Channel's available(), take(), complete(), publish();  src/driver/rings.ts
 *            the loop                                               src/host/loop.ts
 *
 * Stores of Xmit and of Napi become visible late, in any order that the code does not forbid: they go into
 * memory by Buffer. The driver's are Atomics, sequentially consistent, or read by its own thread only.
 *
 * Defining one of these takes away what the name says; then an assertion fails:
 *   NO_SECOND_LOOK      WAIT looks before it joins the queue of waiters, and not after
 *   ARM_LAST            WAIT looks, then unmasks the interrupt
 *   NO_WAKE_BARRIER     r3_grant_wake() looks for waiters before its counter is visible
 *   NO_RELEASE          the counter may be visible before the entries
 *   NO_QUEUE_BARRIER    r3_tx_reap() looks for a stopped queue before the room it made is visible
 *   NO_MISSED           NAPI forgets a kick that comes while it polls
 */

#define FRAMES	3	/* to send; each is one entry, its token its number from 1 */
#define SIZE	2	/* entries of a ring: less than the frames, so that the queue stops */

/* ---- memory that is shared, and what of it is still in a store buffer ---- */

byte entry[SIZE];		/* submissions: tokens */
byte submitted;			/* r3_channel_control.submitted: the driver reads this one */
byte private_submitted;		/* r3_channel.submitted: WAIT reads this one */
byte completion[SIZE];
byte completed;			/* r3_channel_control.completed */
byte released;			/* r3_net.tx_released */

byte late_entry[SIZE];		/* equal to the above once they are visible */
byte late_submitted;
byte late_private;
byte late_released;

#define ENTRIES_VISIBLE	(entry[0] == late_entry[0] && entry[1] == late_entry[1])
#define XMIT_VISIBLE	(ENTRIES_VISIBLE && submitted == late_submitted && private_submitted == late_private)

#ifdef NO_RELEASE
#define COUNTER_MAY_SHOW true
#else
#define COUNTER_MAY_SHOW (ENTRIES_VISIBLE && private_submitted == late_private)	/* smp_store_release() */
#endif

active proctype Buffer()
{
end:	do
	:: entry[0] != late_entry[0] -> entry[0] = late_entry[0]
	:: entry[1] != late_entry[1] -> entry[1] = late_entry[1]
	:: private_submitted != late_private -> private_submitted = late_private
	:: (submitted != late_submitted && COUNTER_MAY_SHOW) -> submitted = late_submitted
	:: released != late_released -> released = late_released
	od
}

byte seen;			/* written and read by the driver's thread alone */
#define WORK (private_submitted != seen)
#include "wait.pml"

/* ---- transmit, in the kernel ---- */

byte queued;			/* Xmit's: entries written */
byte reaped;			/* Napi's */
bool stopped;			/* the interface's queue; atomic bit operations */

#define ROOM	(SIZE - (queued - released))

active proctype Xmit()
{
	bool another;
	byte room;

	do
	:: queued < FRAMES ->
		!stopped;			/* else the stack keeps its frames until it is woken */
		assert(ROOM > 0);		/* a running queue has room */
		another = false;
		if
		:: queued + 1 < FRAMES -> another = true	/* the stack says that one follows at once */
		:: true
		fi;
		atomic { late_entry[queued % SIZE] = queued + 1; queued++ };
		room = ROOM;
		if
		:: room == 0 ->
			stopped = true;		/* netif_stop_queue(), smp_mb(): visible at once */
			room = ROOM;
			if
			:: room > 0 -> stopped = false
			:: else
			fi
		:: else
		fi;
		if
		:: !another || stopped ->
			late_private = queued;
			late_submitted = queued;
#ifndef NO_WAKE_BARRIER
			XMIT_VISIBLE;		/* smp_mb() of r3_grant_wake() */
#endif
			wake_if_waiting()
		:: else
		fi
	:: else -> break
	od
}

/* ---- completions, in the kernel ---- */

active proctype Napi()
{
	byte upto;

end:	do
	:: napi != IDLE ->
		upto = completed;		/* smp_load_acquire() */
		assert(upto - reaped <= SIZE);
		do
		:: reaped < upto ->
			assert(completion[reaped % SIZE] == reaped + 1);
			reaped++;
			late_released = reaped
		:: else -> break
		od;
#ifndef NO_QUEUE_BARRIER
		released == late_released;	/* smp_mb() of r3_tx_reap() */
#endif
		if
		:: stopped ->
			if
			:: SIZE - (queued - late_released) > 0 -> stopped = false
			:: else
			fi
		:: else
		fi;
		napi_complete()
	od
}

/* ---- the device ---- */

byte posted;			/* frames that the driver has given to the device */
byte sent;			/* frames whose descriptors the device has marked done */

active proctype Device()
{
end:	do
	:: sent < posted -> sent++; line = true
	od
}

/* ---- the driver's process ---- */

active proctype Driver()
{
	byte upto, taken, done;

	do
	::	interrupt();
		/* poll(): available(), take() */
		upto = submitted;
		seen = upto;
		more = false;
		do
		:: taken < upto ->
			assert(entry[taken % SIZE] == taken + 1);
			taken++;
			posted = taken
		:: taken < upto -> more = true; break	/* the budget is used up */
		:: taken == upto -> break
		od;
		/* poll(): complete() each, publish() once */
		upto = sent;
		if
		:: done < upto ->
			do
			:: done < upto -> completion[done % SIZE] = done + 1; done++
			:: else -> break
			od;
			completed = done;
			kick = true
		:: else
		fi;
		wait_call()
	od
}

/* When nothing can move any more, everything has been sent, completed and taken, and the driver sleeps. */
active proctype Nothing_is_slept_over()
{
	timeout ->
	assert(queued == FRAMES && sent == FRAMES && completed == FRAMES && reaped == FRAMES);
	assert(sleeping && waiting && !masked && !line && pending == 0 && !stopped)
}
