// SPDX-License-Identifier: MIT
/*
 * ring3-launch --uid N [--fd N] --nofile N --memlock BYTES -- PROGRAM ARGUMENT ...
 *
 * Takes from the process what a driver must not have, then becomes PROGRAM. It
 * keeps standard input and output, and one more descriptor if told so: the
 * socket over which the grant arrives. Run by the supervisor, as root.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Set-up failed, as distinct from any exit status of the program's. */
#define EXIT_LAUNCH 125

static void fail(const char *what)
{
	dprintf(STDERR_FILENO, "ring3-launch: %s: %s\n", what, strerror(errno));
	_exit(EXIT_LAUNCH);
}

static unsigned long number(const char *text, const char *option)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text ? text : "", &end, 10);
	if (errno || end == text || (end && *end)) {
		dprintf(STDERR_FILENO, "ring3-launch: %s wants a number, not \"%s\"\n", option, text ? text : "");
		_exit(EXIT_LAUNCH);
	}
	return value;
}

static void limit(int which, unsigned long value, const char *what)
{
	struct rlimit limits = { .rlim_cur = value, .rlim_max = value };

	if (setrlimit((__rlimit_resource_t)which, &limits))
		fail(what);
}

/* Close all but 0, 1, 2 and keep, which becomes 3; all but those three if it is negative. */
static void keep_only(int keep)
{
	unsigned int first = keep < 0 ? 3 : 4;

	if (keep >= 0 && keep != 3) {
		if (dup2(keep, 3) < 0)
			fail("moving the control socket");
	}
	if (keep >= 0 && fcntl(3, F_SETFD, 0))
		fail("keeping the control socket");
	if (syscall(SYS_close_range, first, ~0u, 0u))
		fail("closing what the supervisor had open");
}

int main(int argc, char **argv)
{
	unsigned long uid = 0, nofile = 64, memlock = 0;
	int fd = -1, at;

	for (at = 1; at < argc && strcmp(argv[at], "--"); at += 2) {
		const char *value = at + 1 < argc ? argv[at + 1] : NULL;

		if (!strcmp(argv[at], "--uid"))
			uid = number(value, "--uid");
		else if (!strcmp(argv[at], "--fd"))
			fd = (int)number(value, "--fd");
		else if (!strcmp(argv[at], "--nofile"))
			nofile = number(value, "--nofile");
		else if (!strcmp(argv[at], "--memlock"))
			memlock = number(value, "--memlock");
		else
			break;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") || !uid || (fd >= 0 && fd < 3)) {
		dprintf(STDERR_FILENO,
			"usage: ring3-launch --uid N [--fd N] [--nofile N] [--memlock BYTES] -- PROGRAM ARGUMENT ...\n");
		return EXIT_LAUNCH;
	}

	keep_only(fd);
	limit(RLIMIT_NOFILE, nofile, "limiting open files");
	limit(RLIMIT_MEMLOCK, memlock, "limiting locked memory");
	limit(RLIMIT_CORE, 0, "forbidding core files");
	if (setgroups(0, NULL))
		fail("leaving all groups");
	if (setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
		fail("becoming the driver's user");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("giving up new privileges");
	/* After the change of user, which clears it: the driver ends with its supervisor. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		fail("tying the driver to its supervisor");
	if (chdir("/"))
		fail("leaving the working directory");

	execv(argv[at + 1], &argv[at + 1]);
	fail(argv[at + 1]);
}
