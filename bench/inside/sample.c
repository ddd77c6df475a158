// SPDX-License-Identifier: MIT
/*
 * sample [IRQ]
 *
 * For each line that it reads, a line of JSON of what /proc/stat has counted
 * since boot: seconds, the time on the monotonic clock; idle, for each
 * processor the seconds in which it was idle (which is counted by the clock,
 * busy time by ticks only); interrupts of the line IRQ, or of all; receives, runs of the
 * network's receive softirq; switches of context.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../clock.h"

#define NET_RX 3	/* of the softirqs, from 0 */

static void die(const char *what)
{
	fprintf(stderr, "sample: %s: %s\n", what, strerror(errno));
	exit(1);
}

/*
 * The number at a place, from 0, of those that follow a line's name and their
 * total; the total at -1.
 */
static unsigned long long at(const char *line, long place)
{
	char *next;
	unsigned long long value;

	value = strtoull(strchr(line, ' '), &next, 10);
	while (place-- >= 0) {
		const char *from = next;

		value = strtoull(from, &next, 10);
		if (next == from) {
			fprintf(stderr, "sample: /proc/stat does not tell of number %ld of %.8s\n",
				place, line);
			exit(1);
		}
	}
	return value;
}

static void sample(long irq)
{
	unsigned long long ticks, waited, interrupts = 0, receives = 0, switches = 0;
	double tick = 1.0 / sysconf(_SC_CLK_TCK);
	const char *comma = "";
	char *line = NULL;
	size_t size = 0;
	FILE *stat = fopen("/proc/stat", "r");

	if (!stat)
		die("/proc/stat");
	printf("{\"seconds\":%.6f,\"idle\":[", now_ns() / 1e9);
	while (getline(&line, &size, stat) > 0) {
		if (sscanf(line, "cpu%*d %*u %*u %*u %llu %llu", &ticks, &waited) == 2 &&
		    line[3] != ' ') {
			printf("%s%.3f", comma, (ticks + waited) * tick);
			comma = ",";
		} else if (!strncmp(line, "intr ", 5)) {
			interrupts = at(line, irq);
		} else if (!strncmp(line, "softirq ", 8)) {
			receives = at(line, NET_RX);
		} else {
			sscanf(line, "ctxt %llu", &switches);
		}
	}
	free(line);
	fclose(stat);
	printf("],\"interrupts\":%llu,\"receives\":%llu,\"switches\":%llu}\n", interrupts,
	       receives, switches);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	char line[16];

	if (argc > 2 || (argc == 2 && atol(argv[1]) < 0)) {
		fprintf(stderr, "usage: sample [IRQ]\n");
		return 64;
	}
	while (fgets(line, sizeof(line), stdin))
		sample(argc == 2 ? atol(argv[1]) : -1);
	return 0;
}
