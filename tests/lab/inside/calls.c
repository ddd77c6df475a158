// SPDX-License-Identifier: MIT
/*
 * System calls for the tests, each with its error as its result: between two
 * calls of JavaScript's, errno may have been used for something else.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ring3.h"

static int64_t result(int64_t value)
{
	return value < 0 ? -errno : value;
}

int64_t t_read(int fd, void *to, uint64_t size)
{
	return result(read(fd, to, size));
}

/* A socket for datagrams to a port, with so much room for those that nobody reads; 0: the usual. */
int64_t t_datagrams(uint16_t port, int32_t room)
{
	const struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port) };
	const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int64_t failed = 0;

	if (fd < 0)
		return -errno;
	if ((room && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room))) ||
	    bind(fd, (const struct sockaddr *)&at, sizeof(at))) {
		failed = -errno;
		close(fd);
	}
	return failed ? failed : fd;
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

/* From a WAIT's beginning to the message that ends it. */
#define SIGNAL_NS	100000
/* Longer than that takes wherever a test runs. */
#define LONG_US		10000000

struct signals {
	int claim;
	unsigned int count;
	atomic_uint waits;	/* that have begun */
};

static void *signal_soon(void *data)
{
	struct r3_signal call = { .argsz = sizeof(call) };
	struct signals *signals = data;
	unsigned int i;

	for (i = 1; i <= signals->count; i++) {
		int64_t begin;

		while (atomic_load(&signals->waits) < i)
			;
		begin = t_monotonic();
		while (t_monotonic() - begin < SIGNAL_NS)
			;
		ioctl(signals->claim, R3_SIGNAL, &call);
	}
	return NULL;
}

/* So many WAITs of a grant, each ended by a message that comes soon after its beginning. */
int64_t t_wait_for_signals(int grant, int claim, uint32_t count)
{
	struct signals signals = { .claim = claim, .count = count };
	int64_t failed = 0;
	pthread_t thread;
	uint32_t i;

	if (pthread_create(&thread, NULL, signal_soon, &signals))
		return -EAGAIN;
	for (i = 1; i <= count; i++) {
		struct r3_wait wait = { .argsz = sizeof(wait), .timeout_us = LONG_US };

		atomic_store(&signals.waits, i);
		if (ioctl(grant, R3_WAIT, &wait))
			failed = -errno;
		else if (!(wait.events & R3_EVENT_SIGNAL))
			failed = -ETIMEDOUT;
	}
	pthread_join(thread, NULL);
	return failed;
}
