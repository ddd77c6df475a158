// SPDX-License-Identifier: MIT
/*
 * System calls for the tests, each with its error as its result: between two
 * calls of JavaScript's, errno may have been used for something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int64_t result(int64_t value)
{
	return value < 0 ? -errno : value;
}

int64_t t_read(int fd, void *to, uint64_t size)
{
	return result(read(fd, to, size));
}

int64_t t_poll(void *pollfd, int timeout_ms)
{
	return result(poll(pollfd, 1, timeout_ms));
}

int64_t t_fcntl(int fd, int command, int argument)
{
	return result(fcntl(fd, command, argument));
}

int64_t t_mmap(uint64_t length, int prot, int flags, int fd, int64_t offset)
{
	void *at = mmap(NULL, length, prot, flags, fd, offset);

	return at == MAP_FAILED ? -errno : (int64_t)(intptr_t)at;
}

int64_t t_mprotect(uint64_t address, uint64_t length, int prot)
{
	return result(mprotect((void *)(uintptr_t)address, length, prot));
}

/* The kernel's clock for its own times, nanoseconds. */
int64_t t_monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

int64_t t_munmap(uint64_t address, uint64_t length)
{
	return result(munmap((void *)(uintptr_t)address, length));
}
