/*
 * What both directions share: the queue that WAIT sleeps on, the interrupt, NAPI, and WAIT itself.
 *
 *   Handler              r3_irq_handler(), a level-triggered line             kernel-module/irq.c
 *   arm()                r3_irqs_arm()                                        kernel-module/irq.c
 *   look(), wait_call()  r3_wait_events(), r3_wait(), r3_wait_sleep()         kernel-module/wait.c
 *   napi_schedule()      r3_net_kick(), and NAPI's memory of a kick           kernel-module/net.c
 *
 * Every statement is one access to memory that others see. Nothing here has a timeout and no signal comes:
 * what is slept over once is slept over for ever.
 *
 * Who includes this defines WORK: r3_channel_pending(), as WAIT sees it.
 */

/* ---- grant->wait ---- */

bool waiting;			/* on the queue */
bool sleeping;			/* TASK_INTERRUPTIBLE */

/* Under the queue's lock; a woken task leaves the queue (DEFINE_WAIT). */
inline wake_up_all()
{
	atomic {
		if
		:: waiting -> sleeping = false; waiting = false
		:: else
		fi
	}
}

/* Waker's half, after the barrier: waitqueue_active(), without the lock. */
inline wake_if_waiting()
{
	if
	:: waiting -> wake_up_all()
	:: else
	fi
}

/* On the queue and TASK_INTERRUPTIBLE, with a barrier. */
inline prepare_to_wait()
{
	atomic { waiting = true; sleeping = true }
}

/* ---- the interrupt ---- */

bool line;			/* the device asserts it until its cause register is read */
bool masked = true;
byte pending;

active proctype Handler()
{
end:	do
	:: atomic { (line && !masked) -> masked = true; pending++ };
	   wake_up_all()
	od
}

/* Under the vector's lock. */
inline arm()
{
	atomic {
		if
		:: (masked && pending == 0 && line) -> pending++	/* still asserted: that is an interrupt */
		:: (masked && pending == 0 && !line) -> masked = false
		:: else
		fi
	}
}

/* ---- NAPI: a kick while it polls makes it poll again ---- */

mtype = { IDLE, SCHEDULED, MISSED };
mtype napi = IDLE;

inline napi_schedule()
{
	atomic {
		if
		:: napi == IDLE -> napi = SCHEDULED
#ifndef NO_MISSED
		:: napi != IDLE -> napi = MISSED
#else
		:: else
#endif
		fi
	}
}

inline napi_complete()
{
	atomic {
		if
		:: napi == MISSED -> napi = SCHEDULED
		:: else -> napi = IDLE
		fi
	}
}

/* ---- WAIT ---- */

bool kick, more, irq, work;	/* the driver's alone */

inline look()
{
	atomic { irq = irq || pending > 0; pending = 0 };
	work = WORK
}

inline wait_call()
{
	if
	:: kick -> napi_schedule(); kick = false
	:: else
	fi;
	look();
	if
	:: irq || work || more		/* more: the timeout is 0 */
	:: else ->
		/* r3_busy_poll(): looks for as long as it likes, and takes nothing */
		if
		:: arm()
		:: skip
		fi;
		do
		::
#ifdef NO_SECOND_LOOK
			look();
			if
			:: irq || work -> break
			:: else
			fi;
			prepare_to_wait();
			arm();
#else
			prepare_to_wait();
#ifndef ARM_LAST
			arm();
#endif
			look();
			if
			:: irq || work -> break
			:: else
			fi;
#ifdef ARM_LAST
			arm();
#endif
#endif
end_asleep:		!sleeping		/* schedule() */
		od;
		atomic { waiting = false; sleeping = false }	/* finish_wait() */
	fi
}

/* The driver's interrupt(): reading the cause register takes the line down. */
inline interrupt()
{
	if
	:: irq -> line = false; irq = false
	:: else
	fi
}
