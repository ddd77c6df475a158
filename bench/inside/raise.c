// SPDX-License-Identifier: MIT
/*
 * raise PID CPU WARM COUNT GARBAGE
 *
 * Interrupts the driver of an edu device, whose process is PID, and tells how
 * long that takes to answer. It holds the driver's own grant for that, taken
 * from its process: the device's registers and the memory are nobody else's. It
 * takes the time, writes the register that raises the interrupt, and looks at
 * the driver's answer in memory without a pause, on a processor that nobody
 * takes from it; so both times are its own, and the driver, in whatever
 * language, does no more than to store a word.
 *
 * WARM interrupts do not count, COUNT do. Meanwhile the driver is asked to make
 * garbage every GARBAGE milliseconds, 0 being never. Ends with a line of JSON,
 * of what counts: ns, the times; busy, the indices of those that came while the
 * driver made garbage; seconds, of all; cpu_ns, what all threads of the process
 * ran, and main_ns its first; waited_ns, how long that was ready to run and did
 * not; switches, how often it slept; lots, of garbage; took_us and longest_us,
 * all that they took and the longest (which is of the process's whole life).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "../clock.h"
#include "ring3.h"
#include "wakeup.h"

#define GRANT		"anon_inode:[ring3-grant]"
#define PRIORITY	50
#define GAP_NS		250000		/* between an answer and the next interrupt, */
#define MORE_NS		350000		/* and up to this more */
#define DEADLINE_NS	2000000000	/* of an answer */
#define LOOKS		4096		/* between two looks at the time */

static void die(const char *what)
{
	fprintf(stderr, "raise: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void fail(const char *what)
{
	fprintf(stderr, "raise: %s\n", what);
	exit(1);
}

static FILE *open_or_die(const char *path)
{
	FILE *file = fopen(path, "r");

	if (!file)
		die(path);
	return file;
}

/* ---- what the driver holds ---- */

/* A copy of the descriptor by which a process holds its grant. */
static int grant_of(pid_t pid)
{
	char path[64], target[64], name[sizeof(path) + 16];
	int process = pidfd_open(pid, 0), fd = -1;
	struct dirent *entry;
	DIR *all;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	all = process < 0 ? NULL : opendir(path);
	if (!all)
		die(path);
	while (fd < 0 && (entry = readdir(all))) {
		ssize_t length;

		snprintf(name, sizeof(name), "%s/%.8s", path, entry->d_name);
		length = readlink(name, target, sizeof(target) - 1);
		if (length < 0)
			continue;
		target[length] = 0;
		if (strcmp(target, GRANT))
			continue;
		fd = pidfd_getfd(process, atoi(entry->d_name), 0);
		if (fd < 0)
			die("taking the driver's grant");
	}
	closedir(all);
	if (fd < 0)
		fail("the process has no grant");
	return fd;
}

/* Where the process has mapped the one piece of its grant that is neither registers nor rings. */
static uint64_t memory_offset(pid_t pid, const struct r3_info *info)
{
	unsigned long long offset, found = 0;
	char path[64], line[512];
	bool any = false;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = open_or_die(path);
	while (fgets(line, sizeof(line), maps)) {
		if (!strstr(line, GRANT) || sscanf(line, "%*s %*s %llx", &offset) != 1)
			continue;
		if (offset == info->window[0].mmap_offset ||
		    (info->port_mmap_length && offset == info->port_mmap_offset))
			continue;
		found = offset;
		any = true;
	}
	fclose(maps);
	if (!any)
		fail("the process has mapped no memory of its grant");
	return found;
}

static volatile uint32_t *map(int grant, uint64_t offset)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, grant, (off_t)offset);

	if (at == MAP_FAILED)
		die("mapping what was granted");
	return at;
}

/* ---- what its process takes ---- */

struct taken {
	uint64_t cpu_ns, main_ns, waited_ns, switches;
};

static void add_thread(pid_t pid, const char *thread, struct taken *taken)
{
	unsigned long long ran, waited, slept = 0;
	bool first = atoi(thread) == pid;
	char path[96], line[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/schedstat", pid, thread);
	file = fopen(path, "r");
	/* It may have ended. */
	if (!file)
		return;
	if (fscanf(file, "%llu %llu", &ran, &waited) != 2)
		fail("the kernel does not tell what threads take");
	fclose(file);
	taken->cpu_ns += ran;
	if (!first)
		return;
	taken->main_ns = ran;
	taken->waited_ns = waited;
	snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", pid, thread);
	file = open_or_die(path);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %llu", &slept);
	fclose(file);
	taken->switches = slept;
}

static struct taken taken_by(pid_t pid)
{
	struct taken taken = { 0 };
	struct dirent *entry;
	char path[64];
	DIR *all;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	all = opendir(path);
	if (!all)
		die(path);
	while ((entry = readdir(all)))
		if (entry->d_name[0] != '.')
			add_thread(pid, entry->d_name, &taken);
	closedir(all);
	return taken;
}

/* ---- interrupts ---- */

/* Any time later, so that nothing regular is met at the same point each time. */
static void rest(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;
	struct timespec gap = { 0 };

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	gap.tv_nsec = GAP_NS + (long)(state % MORE_NS);
	clock_nanosleep(CLOCK_MONOTONIC, 0, &gap, NULL);
}

static bool answered(volatile uint32_t *shared)
{
	unsigned int looks;

	for (looks = 0; looks < LOOKS; looks++)
		if (shared[WORD_ANSWER])
			return true;
	return false;
}

static uint64_t interrupt(volatile uint32_t *registers, volatile uint32_t *shared)
{
	uint64_t start, end;

	if (shared[WORD_ANSWER])
		fail("the driver was woken without an interrupt");
	start = now_ns();
	registers[REG_RAISE] = 1;
	while (!answered(shared))
		if (now_ns() - start > DEADLINE_NS)
			fail("the driver did not answer an interrupt within 2 s");
	end = now_ns();
	shared[WORD_ANSWER] = 0;
	return end - start;
}

static void undisturbed(int cpu)
{
	struct sched_param priority = { .sched_priority = PRIORITY };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("processor");
	if (sched_setscheduler(0, SCHED_FIFO, &priority))
		die("priority");
	if (mlockall(MCL_CURRENT | MCL_FUTURE))
		die("locking memory");
}

int main(int argc, char **argv)
{
	struct r3_info info = { .argsz = sizeof(info) };
	uint32_t i, warm, count, lots, took, *ns;
	volatile uint32_t *registers, *shared;
	struct taken before, after;
	const char *comma = "";
	uint64_t start, end;
	bool *busy;
	pid_t pid;
	int grant;

	if (argc != 6 || atol(argv[4]) < 1) {
		fprintf(stderr, "usage: raise PID CPU WARM COUNT GARBAGE\n");
		return 64;
	}
	pid = atoi(argv[1]);
	warm = (uint32_t)atol(argv[3]);
	count = (uint32_t)atol(argv[4]);
	ns = calloc(count, sizeof(*ns));
	busy = calloc(count, sizeof(*busy));
	if (!ns || !busy)
		fail("no memory");
	grant = grant_of(pid);
	if (ioctl(grant, R3_INFO, &info))
		die("INFO");
	registers = map(grant, info.window[0].mmap_offset);
	shared = map(grant, memory_offset(pid, &info));
	undisturbed(atoi(argv[2]));
	shared[WORD_GARBAGE] = (uint32_t)atol(argv[5]);
	for (i = 0; i < warm; i++) {
		rest();
		interrupt(registers, shared);
	}
	lots = shared[WORD_LOTS];
	took = shared[WORD_TOOK];
	before = taken_by(pid);
	start = now_ns();
	for (i = 0; i < count; i++) {
		rest();
		busy[i] = shared[WORD_BUSY];
		ns[i] = (uint32_t)interrupt(registers, shared);
	}
	end = now_ns();
	after = taken_by(pid);
	lots = shared[WORD_LOTS] - lots;
	took = shared[WORD_TOOK] - took;
	if (shared[WORD_GARBAGE]) {
		/* It hears of it by an interrupt. */
		shared[WORD_GARBAGE] = 0;
		rest();
		interrupt(registers, shared);
	}
	printf("{\"ns\":[");
	for (i = 0; i < count; i++, comma = ",")
		printf("%s%u", comma, ns[i]);
	printf("],\"busy\":[");
	for (i = 0, comma = ""; i < count; i++) {
		if (!busy[i])
			continue;
		printf("%s%u", comma, i);
		comma = ",";
	}
	printf("],\"seconds\":%.6f,\"cpu_ns\":%llu,\"main_ns\":%llu,\"waited_ns\":%llu",
	       (double)(end - start) / 1e9, (unsigned long long)(after.cpu_ns - before.cpu_ns),
	       (unsigned long long)(after.main_ns - before.main_ns),
	       (unsigned long long)(after.waited_ns - before.waited_ns));
	printf(",\"switches\":%llu,\"lots\":%u,\"took_us\":%u,\"longest_us\":%u}\n",
	       (unsigned long long)(after.switches - before.switches), lots, took,
	       shared[WORD_LONGEST]);
	return 0;
}
