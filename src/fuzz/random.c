// SPDX-License-Identifier: MIT
/* Numbers from a seed: splitmix64. */
#include "fuzz.h"

uint64_t random_mix(uint64_t seed, uint64_t number)
{
	uint64_t z = seed + number * UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint64_t random_next(struct random *random)
{
	return random_mix(random->state++, 1);
}

uint32_t random_below(struct random *random, uint32_t n)
{
	return (uint32_t)(random_next(random) % n);
}

bool random_chance(struct random *random, uint32_t n)
{
	return random_below(random, n) == 0;
}

uint64_t random_edge(struct random *random)
{
	static const uint64_t edges[] = {
		0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 255, 256, 4095, 4096, 4097, 65535,
		65536, 0x7fffffff, 0x80000000, 0xfffff000, 0xffffffff, 0x100000000,
		0x7ffffffff000, 0x7fffffffffff, 0x800000000000, 0x7fffffffffffffff,
		0x8000000000000000, 0xffff888000000000, 0xfffffffffffff000, 0xffffffffffffffff,
	};

	if (random_chance(random, 4))
		return random_next(random) >> random_below(random, 64);
	return edges[random_below(random, COUNT(edges))];
}
