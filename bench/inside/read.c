// SPDX-License-Identifier: MIT
/*
 * read DISK
 *
 * For each line "SECTORS REQUESTS MILLISECONDS" that it reads, reads a disk from
 * its start, past the page cache, in so many requests of so many sectors, one
 * after the other, as the disk benchmark of Leslie et al. 2005, section 4.1
 * does, or as many as that time lasts for. For each a line of JSON: sectors,
 * requests, bytes, seconds, and busy, the seconds that processors were not
 * idle, of all together.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../clock.h"

#define SECTOR 512
#define LARGEST 8192
#define MAX_CPUS 1024

static void die(const char *what)
{
	fprintf(stderr, "read: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Seconds that a processor has been idle: it is counted by the clock, busy time by ticks only. */
static double idle(long cpus)
{
	unsigned long long ticks, waited, sum = 0;
	long cpu, found = 0;
	char line[512];
	FILE *stat = fopen("/proc/stat", "r");

	if (!stat)
		die("/proc/stat");
	while (fgets(line, sizeof(line), stat)) {
		if (!isdigit(line[3]) ||
		    sscanf(line, "cpu%ld %*u %*u %*u %llu %llu", &cpu, &ticks, &waited) != 3)
			continue;
		sum += ticks + waited;
		found++;
	}
	fclose(stat);
	if (found != cpus) {
		fprintf(stderr, "read: /proc/stat tells of %ld processors, not %ld\n", found, cpus);
		exit(1);
	}
	return sum / (double)sysconf(_SC_CLK_TCK);
}

static void measure(int fd, char *buffer, size_t request, size_t most, double longest)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double before = idle(cpus), seconds;
	size_t requests = 0, at = 0;
	uint64_t start = now_ns();

	do {
		ssize_t got = pread(fd, buffer, request, at);

		if (got < 0)
			die("reading");
		if ((size_t)got != request) {
			fprintf(stderr, "read: the disk ends at %zu bytes\n", at + got);
			exit(1);
		}
		requests++;
		at += request;
		seconds = (now_ns() - start) / 1e9;
	} while (requests < most && seconds < longest);
	printf("{\"sectors\":%zu,\"requests\":%zu,\"bytes\":%zu,\"seconds\":%.6f,\"busy\":%.6f}\n",
	       request / SECTOR, requests, at, seconds, seconds * cpus - (idle(cpus) - before));
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[128];
	void *buffer;
	int fd;

	if (argc != 2) {
		fprintf(stderr, "usage: read DISK\n");
		return 64;
	}
	fd = open(argv[1], O_RDONLY | O_DIRECT);
	if (fd < 0)
		die(argv[1]);
	if (posix_memalign(&buffer, 4096, (size_t)LARGEST * SECTOR))
		die("no memory");
	while (fgets(line, sizeof(line), stdin)) {
		long sectors, requests, milliseconds;

		if (sscanf(line, "%ld %ld %ld", &sectors, &requests, &milliseconds) != 3 ||
		    sectors < 1 || sectors > LARGEST || requests < 1) {
			fprintf(stderr,
				"read: not 1 to %d sectors, a request or more, and milliseconds: %s",
				LARGEST, line);
			return 64;
		}
		measure(fd, buffer, sectors * SECTOR, requests, milliseconds / 1e3);
	}
	return 0;
}
