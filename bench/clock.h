/* SPDX-License-Identifier: MIT */
/* The clock of all that is timed in C. */
#ifndef RING3_BENCH_CLOCK_H
#define RING3_BENCH_CLOCK_H

#include <stdint.h>
#include <time.h>

/* On the monotonic clock. */
static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

#endif
