// SPDX-License-Identifier: MIT
/* Attempts on other processes, and to become more of them. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "attempt.h"

/* Far more than any limit. */
#define MANY 5000

static pid_t process(char **arguments)
{
	return (pid_t)atoi(arguments[0]);
}

static int trace(char **victim)
{
	return failed(ptrace(PTRACE_ATTACH, process(victim), NULL, NULL));
}

/* Arguments: process, and an address there. */
static int peek(char **victim)
{
	char bytes[16];
	struct iovec here = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct iovec there = {
		.iov_base = (void *)strtoul(victim[1], NULL, 0), .iov_len = sizeof(bytes),
	};
	const ssize_t got = process_vm_readv(process(victim), &here, 1, &there, 1, 0);

	note("%zd bytes of it", got);
	return failed(got);
}

static int poke(char **victim)
{
	char bytes[16] = "changed";
	struct iovec here = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct iovec there = {
		.iov_base = (void *)strtoul(victim[1], NULL, 0), .iov_len = sizeof(bytes),
	};

	return failed(process_vm_writev(process(victim), &here, 1, &there, 1, 0));
}

static int kill_one(char **victim)
{
	return failed(kill(process(victim), SIGKILL));
}

static int kill_all(char **unused)
{
	(void)unused;
	return failed(kill(-1, SIGKILL));
}

static int kill_thread(char **victim)
{
	return failed(syscall(SYS_tgkill, process(victim), process(victim), SIGKILL));
}

static int kill_by_pidfd(char **victim)
{
	const long fd = syscall(SYS_pidfd_open, process(victim), 0);

	return fd < 0 ? errno : failed(syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0));
}

/* A descriptor that another process has. */
static int steal_descriptor(char **victim)
{
	const long fd = syscall(SYS_pidfd_open, process(victim), 0);

	return fd < 0 ? errno : failed(syscall(SYS_pidfd_getfd, fd, 0, 0));
}

/* What others' signals cannot do, the owner of a descriptor's readiness gets. */
static int signal_by_owner(char **victim)
{
	return failed(fcntl(STDIN_FILENO, F_SETOWN, process(victim)));
}

/* A child that is there when its parent is not, with the grant. */
static int outlive(char **unused)
{
	const long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	(void)unused;
	if (child < 0)
		return errno;
	if (child == 0) {
		setsid();
		for (;;)
			pause();
	}
	note("a child that holds the grant");
	return 0;
}

static int fork_bomb(char **unused)
{
	int count;

	(void)unused;
	for (count = 0; count < MANY; count++) {
		const long child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

		if (child == 0) {
			for (;;)
				pause();
		}
		if (child < 0) {
			note("after %d processes", count);
			return errno;
		}
	}
	return 0;
}

static void *idle(void *unused)
{
	for (;;)
		sleep(1000);
	return unused;
}

static int thread_bomb(char **unused)
{
	pthread_attr_t small;
	pthread_t thread;
	int count, err = 0;

	(void)unused;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	for (count = 0; count < MANY && !err; count++)
		err = pthread_create(&thread, &small, idle, NULL);
	note("after %d threads", count - !!err);
	return err;
}

/* Another way to start a process, whose arguments are in memory, where no filter of calls looks. */
static int clone3_process(char **unused)
{
	struct clone_args {
		uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack[2], tls, rest[3];
	} args = { .exit_signal = SIGCHLD };
	const long child = syscall(SYS_clone3, &args, sizeof(args));

	(void)unused;
	if (child == 0)
		_exit(0);
	return failed(child);
}

static int priority(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_setpriority, 0, 0, -20));
}

static int real_time(char **unused)
{
	const struct sched_param most = { .sched_priority = 99 };

	(void)unused;
	return failed(syscall(SYS_sched_setscheduler, 0, SCHED_FIFO, &most));
}

static void *burn(void *unused)
{
	volatile uint64_t count = 0;

	for (;;)
		count++;
	return unused;
}

/* All processors for as long as there are any: whoever started this measures. */
static int burn_processors(char **unused)
{
	pthread_t thread;

	(void)unused;
	for (int count = 0; count < 4; count++) {
		if (pthread_create(&thread, NULL, burn, NULL))
			return errno;
	}
	ask("measure");
	return 0;
}

const struct attempt process_attempts[] = {
	{ .name = "trace", .make = trace },
	{ .name = "peek", .make = peek },
	{ .name = "poke", .make = poke },
	{ .name = "kill", .make = kill_one },
	{ .name = "kill-all", .make = kill_all },
	{ .name = "kill-thread", .make = kill_thread },
	{ .name = "kill-by-pidfd", .make = kill_by_pidfd },
	{ .name = "steal-descriptor", .make = steal_descriptor },
	{ .name = "signal-by-owner", .make = signal_by_owner },
	{ .name = "outlive", .make = outlive },
	{ .name = "fork-bomb", .make = fork_bomb },
	{ .name = "thread-bomb", .make = thread_bomb },
	{ .name = "clone3", .make = clone3_process },
	{ .name = "priority", .make = priority },
	{ .name = "real-time", .make = real_time },
	{ .name = "burn", .make = burn_processors },
	{ 0 },
};
