// SPDX-License-Identifier: MIT
/* libring3.so with a kernel and a card that are made up, for a driver in Deno. The rest is libring3's own. */
#define r3_call r3_call_of_the_kernel
#define r3_map r3_map_of_a_descriptor
#include "../../ffi/libring3.c"
#undef r3_call
#undef r3_map

#include "null.h"

EXPORT int r3_call(int fd, uint32_t number, void *args);
EXPORT int r3_map(int fd, uint64_t offset, uint64_t length, void *over);

int r3_call(int fd, uint32_t number, void *args)
{
	(void)fd;
	return null_call(number, args);
}

int r3_map(int fd, uint64_t offset, uint64_t length, void *over)
{
	(void)fd;
	return null_map(offset, length, over);
}
