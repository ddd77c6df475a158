/* SPDX-License-Identifier: MIT */
/* Contents that whoever receives them can make as well: pseudo-random, from a key. */
#ifndef RING3_WORKLOAD_CONTENT_H
#define RING3_WORKLOAD_CONTENT_H

#include <stdint.h>
#include <string.h>

/* The finaliser of splitmix64 (Steele, Lea, Flood 2014). */
static inline uint64_t mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

/* A part of the content of a key: `from` is a multiple of 8. */
static inline void fill(void *to, size_t size, uint64_t key, uint64_t from)
{
	uint64_t start = mix(key), index = from / 8;
	uint8_t *bytes = to;
	size_t at;

	for (at = 0; at < size; at += 8, index++) {
		uint64_t word = mix(start ^ index);

		memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
	}
}

/* Where two contents differ first; `size` if they do not. */
static inline size_t differ(const uint8_t *one, const uint8_t *other, size_t size)
{
	size_t at = 0;

	if (!memcmp(one, other, size))
		return size;
	while (one[at] == other[at])
		at++;
	return at;
}

#endif
