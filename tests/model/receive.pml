/*
 * The receive channel: does the device ever stay without buffers while the kernel has them?
 *
 *   Napi     r3_net_poll(), r3_rx_reap(), r3_rx_refill()            kernel-module/net.c
 *   Device   fills a buffer with a frame that has come, then raises its line
 *   Driver   as in transmit.pml, with completions for received frames
 *
 * Napi may run on another processor and after WAIT has gone to sleep, as it does when the kernel's thread for
 * soft interrupts has taken it over. Refills ride along with other work: fewer than WAKE_AFTER unseen ones
 * are no reason to wake.
 *
 * Defining one of these takes away what the name says; then the assertion fails:
 *   NO_SECOND_LOOK, ARM_LAST, NO_MISSED    as in transmit.pml
 *   NO_REFILL_WAKE                         r3_rx_refill() publishes, and wakes nobody
 */

#define SIZE		4	/* entries of a ring */
#define WAKE_AFTER	2	/* r3_channel.wake_after */
#define FRAMES		10	/* that come from the wire: more than two rings full */

byte submitted = SIZE;		/* the ring is full when the driver attaches */
byte completed;
byte seen;
#define WORK (submitted - seen >= WAKE_AFTER)
#include "wait.pml"

byte reaped;			/* Napi's */

active proctype Napi()
{
	byte upto;

end:	do
	:: napi != IDLE ->
		upto = completed;
		assert(upto - reaped <= SIZE);
		reaped = upto;
		if
		:: submitted != reaped + SIZE ->
			submitted = reaped + SIZE;
#ifndef NO_REFILL_WAKE
			/* after a barrier, as all of r3_grant_wake() */
			if
			:: WORK -> wake_if_waiting()
			:: else
			fi
#endif
		:: else
		fi;
		napi_complete()
	od
}

byte posted;			/* buffers that the driver has given to the device */
byte filled;			/* of those, buffers with a frame */

active proctype Device()
{
end:	do
	:: (filled < posted && filled < FRAMES) -> filled++; line = true
	od
}

active proctype Driver()
{
	byte upto, done;

	do
	::	interrupt();
		/* receive(): complete() each, publish() once */
		upto = filled;
		if
		:: done < upto -> done = upto; completed = done; kick = true
		:: else
		fi;
		/* refill(): available(), take() */
		upto = submitted;
		seen = upto;
		posted = upto;
		wait_call()
	od
}

/* When nothing can move any more, every frame has been received and taken, and the driver sleeps. */
active proctype Nothing_is_slept_over()
{
	timeout ->
	assert(filled == FRAMES && completed == FRAMES && reaped == FRAMES);
	assert(sleeping && waiting && !masked && !line && pending == 0)
}
