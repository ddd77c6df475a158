// SPDX-License-Identifier: MIT
/*
 * close PID LINK
 *
 * Has a process close the first of its descriptors that leads to LINK, as
 * /proc/PID/fd shows it: "anon_inode:[ring3-grant]". Its main thread is stopped,
 * makes that one system call, and goes on where it was, in the system call that
 * it was in if it was in one. x86-64. Prints when, in milliseconds since the epoch.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The instruction SYSCALL, as it lies in memory, and its bytes. */
#define SYSCALL 0x050fUL
#define SYSCALL_MASK 0xffffUL
#define SYSCALL_SIZE 2

static int fail(const char *what)
{
	fprintf(stderr, "close: %s: %s\n", what, strerror(errno));
	return 1;
}

/* The descriptor, or -1. */
static int find(pid_t pid, const char *link)
{
	char path[64], target[PATH_MAX];
	struct dirent *entry;
	int found = -1;
	DIR *folder;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	folder = opendir(path);
	if (!folder)
		return -1;
	while (found < 0 && (entry = readdir(folder))) {
		ssize_t length = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);

		if (length < 0)
			continue;
		target[length] = 0;
		if (!strcmp(target, link))
			found = atoi(entry->d_name);
	}
	closedir(folder);
	if (found < 0)
		errno = ENOENT;
	return found;
}

/* Waits for the stopped thread. 0, or -1 if it has ended instead. */
static int stopped(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -1;
	if (WIFSTOPPED(status))
		return 0;
	errno = ESRCH;
	return -1;
}

/* Has a stopped thread make one system call with one argument, and puts it back where it was. */
static long call(pid_t pid, long number, long argument)
{
	struct user_regs_struct before, during;
	unsigned long text;

	if (ptrace(PTRACE_GETREGS, pid, 0, &before))
		return -1;
	errno = 0;
	text = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, before.rip, 0);
	if (errno || ptrace(PTRACE_POKETEXT, pid, before.rip, (text & ~SYSCALL_MASK) | SYSCALL))
		return -1;
	during = before;
	during.rax = (unsigned long)number;
	during.rdi = (unsigned long)argument;
	/* What it was in is no call to begin again now; it is with what it had before. */
	during.orig_rax = -1UL;
	if (ptrace(PTRACE_SETREGS, pid, 0, &during) || ptrace(PTRACE_SINGLESTEP, pid, 0, 0) ||
	    stopped(pid) || ptrace(PTRACE_GETREGS, pid, 0, &during) ||
	    ptrace(PTRACE_POKETEXT, pid, before.rip, text) ||
	    ptrace(PTRACE_SETREGS, pid, 0, &before))
		return -1;
	return (long)during.rax;
}

int main(int argc, char **argv)
{
	struct timespec now;
	long result;
	pid_t pid;
	int fd;

	if (argc != 3) {
		fprintf(stderr, "usage: close PID LINK\n");
		return 64;
	}
	pid = atoi(argv[1]);
	fd = find(pid, argv[2]);
	if (fd < 0)
		return fail(argv[2]);
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) || ptrace(PTRACE_INTERRUPT, pid, 0, 0) || stopped(pid))
		return fail("stopping it");
	clock_gettime(CLOCK_REALTIME, &now);
	result = call(pid, SYS_close, fd);
	if (ptrace(PTRACE_DETACH, pid, 0, 0) && errno != ESRCH)
		return fail("letting it go");
	if (result) {
		errno = result < 0 && result != -1 ? (int)-result : errno;
		return fail("closing the descriptor");
	}
	printf("%lld\n", now.tv_sec * 1000LL + now.tv_nsec / 1000000);
	return 0;
}
