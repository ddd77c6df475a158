/* SPDX-License-Identifier: MIT */
/* Times, and what is said of many of them. */
#ifndef RING3_BENCH_TIMES_H
#define RING3_BENCH_TIMES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "../clock.h"

/* As they are kept: what is longer than four seconds is four seconds. */
static inline uint32_t kept_ns(uint64_t ns)
{
	return ns > UINT32_MAX ? UINT32_MAX : ns;
}

static inline int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* The members of a JSON object that tell of `count` times, which are sorted; 0 of none. */
static inline void print_times(const uint32_t *sorted_ns, uint64_t count)
{
	static const struct { const char *name; double share; } places[] = {
		{ "p50_us", 0.5 }, { "p99_us", 0.99 }, { "p999_us", 0.999 }, { "max_us", 1 },
	};
	size_t i;

	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		/* The smallest that the share does not exceed. */
		uint64_t rank = (uint64_t)(places[i].share * count + 0.999999);

		printf(",\"%s\":%.1f", places[i].name,
		       count ? sorted_ns[rank ? rank - 1 : 0] / 1e3 : 0.0);
	}
}

/* Tells whoever has started us of a moment. */
static inline void say(const char *word)
{
	puts(word);
	fflush(stdout);
}

#endif
