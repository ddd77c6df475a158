// SPDX-License-Identifier: MIT
/*
 * A driver process for what Deno cannot be made to do: die of SIGBUS, fork,
 * be interrupted by a signal, pin memory and be killed. It says what it has
 * done in one line and waits for a line before it goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring3.h"

static void say(const char *what, long number)
{
	printf("%s %ld\n", what, number);
	fflush(stdout);
}

static void wait_for_line(void)
{
	while (getchar() != '\n')
		if (feof(stdin))
			exit(2);
}

static volatile uint32_t *map(int fd, off_t offset, size_t length)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (at == MAP_FAILED) {
		say("mmap", -errno);
		exit(1);
	}
	return at;
}

/* Touch a mapping, and again when told to. */
static int touch(int fd, off_t offset, size_t length)
{
	volatile uint32_t *at = map(fd, offset, length);

	say("read", at[0]);
	wait_for_line();
	say("read", at[0]);
	return 0;
}

/* Map, fork, and let the child touch the mapping: says which signal it died of. */
static int fork_and_touch(int fd, off_t offset, size_t length)
{
	volatile uint32_t *at = map(fd, offset, length);
	int status;
	pid_t pid;

	(void)at[0];
	pid = fork();
	if (pid == 0) {
		(void)at[0];
		_exit(0);
	}
	waitpid(pid, &status, 0);
	say("signal", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	return 0;
}

/* Pin memory for the device, say how that went, and stay. */
static int pin(int fd, size_t length)
{
	size_t pages = length / 4096;
	struct r3_segment *segment = calloc(pages, sizeof(*segment));
	void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct r3_dma_map args = {
		.argsz = sizeof(args), .flags = R3_DMA_TO_DEVICE | R3_DMA_FROM_DEVICE,
		.address = (uintptr_t)memory, .length = length,
		.segment = (uintptr_t)segment, .segments = (uint32_t)pages,
	};

	say("map", ioctl(fd, R3_DMA_MAP, &args) ? -errno : 0);
	wait_for_line();
	return 0;
}

/* Claim a device: says how that went. */
static int claim(const char *address)
{
	struct r3_claim_args args = { .argsz = sizeof(args) };
	int fd = open("/dev/ring3", O_RDWR);

	if (fd < 0) {
		say("open", -errno);
		return 1;
	}
	snprintf(args.address, sizeof(args.address), "%s", address);
	say("claim", ioctl(fd, R3_CLAIM, &args) < 0 ? -errno : 0);
	return 0;
}

static void nothing(int number)
{
	(void)number;
}

/* WAIT without a limit, ended by a signal of the system's. */
static int interrupted_wait(int fd)
{
	struct r3_wait args = { .argsz = sizeof(args), .timeout_us = R3_WAIT_FOREVER };
	struct itimerval soon = { .it_value.tv_usec = 100000 };
	struct sigaction action = { .sa_handler = nothing };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
	say("wait", ioctl(fd, R3_WAIT, &args) ? -errno : 0);
	return 0;
}

/* A driver with nothing to do: WAIT without a limit, again and again, until the grant ends. */
static int keep_waiting(int fd)
{
	struct r3_wait args = { .argsz = sizeof(args), .timeout_us = R3_WAIT_FOREVER };
	int err;

	say("waiting", 0);
	do
		err = ioctl(fd, R3_WAIT, &args) ? errno : 0;
	while (!err || err == EINTR);
	say("wait", -err);
	return 0;
}

/* Opens and closes the bus for the device, over and over, and leaves it open. */
static int toggle_master(int fd)
{
	struct pollfd told = { .fd = STDIN_FILENO, .events = POLLIN };
	struct r3_bus_master args = { .argsz = sizeof(args) };

	say("toggling", 0);
	do {
		args.enable = !args.enable;
		if (ioctl(fd, R3_BUS_MASTER, &args))
			return 1;
	} while (!args.enable || !poll(&told, 1, 0));
	return 0;
}

int main(int argc, char **argv)
{
	int fd = argc > 2 ? atoi(argv[2]) : -1;
	unsigned long first = argc > 3 ? strtoul(argv[3], NULL, 0) : 0;
	unsigned long second = argc > 4 ? strtoul(argv[4], NULL, 0) : 0;

	if (argc == 5 && !strcmp(argv[1], "touch"))
		return touch(fd, (off_t)first, second);
	if (argc == 5 && !strcmp(argv[1], "fork"))
		return fork_and_touch(fd, (off_t)first, second);
	if (argc == 4 && !strcmp(argv[1], "pin"))
		return pin(fd, first);
	if (argc == 3 && !strcmp(argv[1], "claim"))
		return claim(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "wait"))
		return interrupted_wait(fd);
	if (argc == 3 && !strcmp(argv[1], "serve"))
		return keep_waiting(fd);
	if (argc == 3 && !strcmp(argv[1], "master"))
		return toggle_master(fd);
	fprintf(stderr,
		"usage: child touch|fork FD OFFSET LENGTH, pin FD LENGTH, claim ADDRESS, wait|serve|master FD\n");
	return 64;
}
