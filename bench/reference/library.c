// SPDX-License-Identifier: MIT
/* libring3.so with a made-up kernel and card, for a driver in Deno. The rest is libring3's own. */
#define r3_call r3_call_of_the_kernel
#define r3_map r3_map_of_a_descriptor
#define r3_now r3_now_of_libring3
#include "../../ffi/libring3.c"
#undef r3_call
#undef r3_map
#undef r3_now

#include "null.h"

EXPORT int r3_call(int fd, uint32_t number, void *args);
EXPORT int r3_map(int fd, uint64_t offset, uint64_t length, void *over);
EXPORT double r3_now(void);

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

double r3_now(void)
{
	card_run_registers();
	return r3_now_of_libring3();
}
