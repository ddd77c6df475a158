// SPDX-License-Identifier: MIT
/* The limits only a cgroup sets: memory and threads of all that a driver becomes, and its time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch.h"

/* The period over which processor time is counted, microseconds: cgroup-v2.rst, cpu.max. */
#define CPU_PERIOD 100000

static void put(int directory, const char *file, const char *value)
{
	const size_t size = strlen(value);
	const int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, size) != (ssize_t)size)
		fail(file);
	close(fd);
}

static void limit(int directory, const char *file, unsigned long value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", value);
	put(directory, file, text);
}

/* Makes the cgroup; returns a descriptor to start a process in, or -1 if the system has none. */
int cgroup_make(const struct cgroup_limits *limits)
{
	char quota[64];
	int fd;

	if (!limits->directory || (mkdir(limits->directory, 0755) && errno == ENOENT))
		return -1;
	fd = open(limits->directory, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail(limits->directory);
	if (faccessat(fd, "memory.max", F_OK, 0) || faccessat(fd, "pids.max", F_OK, 0) ||
	    faccessat(fd, "cpu.max", F_OK, 0)) {
		close(fd);
		rmdir(limits->directory);
		return -1;
	}
	limit(fd, "memory.max", limits->memory);
	/* Swap does not count as memory. There is no such file in a kernel without swap. */
	if (!faccessat(fd, "memory.swap.max", F_OK, 0))
		put(fd, "memory.swap.max", "0");
	put(fd, "memory.oom.group", "1");
	limit(fd, "pids.max", limits->threads);
	snprintf(quota, sizeof(quota), "%lu %d", limits->cpu * (CPU_PERIOD / 1000), CPU_PERIOD);
	put(fd, "cpu.max", quota);
	/* The scheduler sums up at each switch what it waits for; nobody asks. From Linux 6.1. */
	if (!faccessat(fd, "cgroup.pressure", F_OK, 0))
		put(fd, "cgroup.pressure", "0");
	return fd;
}

bool cgroup_ran_out_of_memory(int directory)
{
	char text[512], *line;
	const int fd = openat(directory, "memory.events", O_RDONLY | O_CLOEXEC);
	const ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	unsigned long kills = 0;

	if (fd >= 0)
		close(fd);
	if (size < 0)
		return false;
	text[size] = '\0';
	line = strstr(text, "\noom_kill ");
	return line && sscanf(line, "\noom_kill %lu", &kills) == 1 && kills > 0;
}

/* Also ends what the process left in it, as only one outside namespaces of its own can. */
void cgroup_remove(int directory_fd, const char *directory)
{
	/* There is no such file before Linux 5.14. */
	if (!faccessat(directory_fd, "cgroup.kill", F_OK, 0))
		put(directory_fd, "cgroup.kill", "1");
	/* A process that has been waited for may not have left it yet. */
	for (int tries = 0; rmdir(directory) && errno == EBUSY && tries < 100; tries++)
		usleep(10000);
}
