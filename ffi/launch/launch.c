// SPDX-License-Identifier: MIT
/*
 * ring3-launch --uid N [OPTION VALUE]... -- PROGRAM ARGUMENT ...
 *
 * Runs PROGRAM with nothing that a driver must not have. It keeps standard input
 * and output, and finds two descriptors more if it is told of a control socket:
 * that socket, over which the grant arrives, and the filter that it is to take on
 * when it has it. Run by the supervisor, as root; stays as the program's parent,
 * ends as it ends, and ends it on SIGTERM or with its own parent.
 *
 *   --uid N          user and group that it becomes
 *   --fd N           control socket
 *   --nofile N       most open files
 *   --memlock BYTES  most locked memory
 *   --read PATH      a file or folder that it may read and execute, and nothing but those; repeated
 *   --memory BYTES   most memory
 *   --threads N      most threads
 *   --cpu N          most processor time, in thousandths of a processor
 *   --cgroup PATH    cgroup to be made for it
 *   --jit 0|1        whether it may make memory executable once sealed
 *   --io-flusher 0|1 whether memory is written back through it, so that to get
 *                    memory it must not wait for that
 *   --wall NAME=required|preferred|off
 *                    what to do without namespaces, landlock, seccomp or cgroup
 *
 * With a control socket, the first line on standard output is the launcher's:
 * {"type":"launched","pid":N,"walls":{NAME:"stands"|"missing"|"off",...}}
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"

/* Processes of one user at a time: the one that runs, its spare, and one that is to replace it. */
#define PROCESSES 4

/* Bytes that V8 and its threads set aside and do not use; a limit for where there is no cgroup. */
#define RESERVED (2ul << 30)

#define NAMESPACE_FLAGS (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | \
			 CLONE_NEWUTS | CLONE_NEWCGROUP)

static const char *const wall_names[WALLS] = { "namespaces", "landlock", "seccomp", "cgroup" };
static const char *const demand_names[] = { "required", "preferred", "off" };
static const char *const standing_names[] = { "stands", "missing", "off" };

struct options {
	unsigned long uid, nofile, memlock, jit, io_flusher;
	long fd;
	const char *readable[MAX_READABLE];
	size_t readables;
	struct cgroup_limits cgroup;
	enum demand demand[WALLS];
};

void fail(const char *what)
{
	dprintf(STDERR_FILENO, "ring3-launch: %s: %s\n", what, strerror(errno));
	_exit(EXIT_LAUNCH);
}

void refuse(const char *why)
{
	dprintf(STDERR_FILENO, "ring3-launch: %s\n", why);
	_exit(EXIT_LAUNCH);
}

static unsigned long number(const char *text, const char *option)
{
	char *end;
	unsigned long value;

	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || end == text || *end) {
		dprintf(STDERR_FILENO, "ring3-launch: %s wants a number, not \"%s\"\n",
			option, text);
		_exit(EXIT_LAUNCH);
	}
	return value;
}

static void demand(struct options *options, const char *text)
{
	const char *const is = strchr(text, '=');

	for (size_t wall = 0; is && wall < WALLS; wall++) {
		if (strlen(wall_names[wall]) != (size_t)(is - text) ||
		    strncmp(text, wall_names[wall], (size_t)(is - text)))
			continue;
		for (size_t value = REQUIRED; value <= OFF; value++) {
			if (!strcmp(is + 1, demand_names[value])) {
				options->demand[wall] = (enum demand)value;
				return;
			}
		}
	}
	dprintf(STDERR_FILENO,
		"ring3-launch: --wall wants a wall and what is asked of it, not \"%s\"\n", text);
	_exit(EXIT_LAUNCH);
}

/* The index of the program in argv. */
static int parse(int argc, char **argv, struct options *options)
{
	int at;

	for (at = 1; at + 1 < argc && strcmp(argv[at], "--"); at += 2) {
		const char *const name = argv[at], *const value = argv[at + 1];

		if (!strcmp(name, "--uid"))
			options->uid = number(value, name);
		else if (!strcmp(name, "--fd"))
			options->fd = (long)number(value, name);
		else if (!strcmp(name, "--nofile"))
			options->nofile = number(value, name);
		else if (!strcmp(name, "--memlock"))
			options->memlock = number(value, name);
		else if (!strcmp(name, "--memory"))
			options->cgroup.memory = number(value, name);
		else if (!strcmp(name, "--threads"))
			options->cgroup.threads = number(value, name);
		else if (!strcmp(name, "--cpu"))
			options->cgroup.cpu = number(value, name);
		else if (!strcmp(name, "--jit"))
			options->jit = number(value, name);
		else if (!strcmp(name, "--io-flusher"))
			options->io_flusher = number(value, name);
		else if (!strcmp(name, "--cgroup"))
			options->cgroup.directory = value;
		else if (!strcmp(name, "--wall"))
			demand(options, value);
		else if (!strcmp(name, "--read") && *value == '/' &&
			 options->readables < MAX_READABLE)
			options->readable[options->readables++] = value;
		else
			break;
	}
	if (at + 1 >= argc || strcmp(argv[at], "--") || !options->uid ||
	    (options->fd >= 0 && options->fd < 3))
		refuse("usage: ring3-launch --uid N [OPTION VALUE]... -- PROGRAM ARGUMENT ...; see ffi/launch/launch.c");
	return at + 1;
}

/*
 * Closes all but 0, 1, 2 and keep, which becomes the control socket; all but those
 * three if it is negative.
 */
static void keep_only(long keep)
{
	const unsigned int first = keep < 0 ? CONTROL_FD : CONTROL_FD + 1;

	if (keep >= 0 && keep != CONTROL_FD && dup2((int)keep, CONTROL_FD) < 0)
		fail("moving the control socket");
	if (keep >= 0 && fcntl(CONTROL_FD, F_SETFD, 0))
		fail("keeping the control socket");
	if (syscall(SYS_close_range, first, ~0u, 0u))
		fail("closing what the supervisor had open");
}

static void limit(int which, unsigned long value, const char *what)
{
	struct rlimit limits = { .rlim_cur = value, .rlim_max = value };

	if (setrlimit((__rlimit_resource_t)which, &limits))
		fail(what);
}

/* True if this system can make such new namespaces for a process. */
static bool namespaces_available(void)
{
	static const char *const kinds[] = { "mnt", "pid", "net", "ipc", "uts", "cgroup" };
	char path[32];

	for (size_t at = 0; at < sizeof(kinds) / sizeof(kinds[0]); at++) {
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[at]);
		if (access(path, F_OK))
			return false;
	}
	return true;
}

/* What becomes of a part, given whether this system has it. */
static enum standing raise_wall(enum wall wall, enum demand demand, bool available)
{
	if (demand == OFF)
		return LEFT_OUT;
	if (available)
		return STANDS;
	if (demand == REQUIRED) {
		dprintf(STDERR_FILENO,
			"ring3-launch: this system has no %s for drivers; "
			"\"walls\": { \"%s\": \"preferred\" } in the manifest goes on without\n",
			wall_names[wall], wall_names[wall]);
		_exit(EXIT_LAUNCH);
	}
	return MISSING;
}

static void drop_privileges(unsigned long uid)
{
	for (unsigned long capability = 0; !prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	     capability++)
		continue;
	if (errno != EINVAL)
		fail("giving up capabilities");
	if (setgroups(0, NULL))
		fail("leaving all groups");
	if (setresgid((gid_t)uid, (gid_t)uid, (gid_t)uid) ||
	    setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid))
		fail("becoming the driver's user");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		fail("giving up new privileges");
}

/* What the child does: becomes the program. */
__attribute__((noreturn)) static void become(const struct options *options,
					     const enum standing *standing, int go,
					     int landlock, char **argv)
{
	const unsigned long threads = options->cgroup.threads;
	sigset_t none;
	char byte;
	int filter;

	limit(RLIMIT_NOFILE, options->nofile, "limiting open files");
	limit(RLIMIT_MEMLOCK, options->memlock, "limiting locked memory");
	limit(RLIMIT_MSGQUEUE, 0, "forbidding message queues");
	if (threads)
		limit(RLIMIT_NPROC, PROCESSES * threads, "limiting threads");
	if (options->cgroup.memory)
		limit(RLIMIT_DATA, RESERVED + options->cgroup.memory, "limiting memory");
	/* Its threads inherit it, and so does the program. */
	if (options->io_flusher && prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0))
		fail("getting memory without waiting for I/O");
	if (setsid() < 0)
		fail("leaving the launcher's session");
	if (standing[NAMESPACES] == STANDS)
		root_enter(options->readable, options->readables);
	else if (chdir("/"))
		fail("leaving the working directory");
	if (options->fd >= 0) {
		filter = standing[SECCOMP] == STANDS ? filter_for_seal(options->jit) :
						       memfd_create("ring3-filter", 0);
		if (filter < 0 || (filter != FILTER_FD && dup2(filter, FILTER_FD) < 0))
			fail("keeping the filter of the seal");
	}
	drop_privileges(options->uid);
	if (standing[LANDLOCK] == STANDS)
		landlock_enter(landlock, options->readable, options->readables);
	/* After the change of user, which clears it: the driver ends with its launcher. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		fail("tying the driver to its launcher");
	/* A launcher that has ended already says nothing. */
	if (read(go, &byte, 1) != 1)
		_exit(EXIT_LAUNCH);
	if (syscall(SYS_close_range, options->fd >= 0 ? FILTER_FD + 1 : CONTROL_FD, ~0u, 0u))
		fail("closing what the launcher had open");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (standing[SECCOMP] == STANDS)
		filter_enter();
	execv(argv[0], argv);
	fail(argv[0]);
}

static pid_t start(unsigned long long flags, int cgroup)
{
	struct clone_args args = {
		.flags = cgroup >= 0 ? flags | CLONE_INTO_CGROUP : flags,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned int)(cgroup >= 0 ? cgroup : 0),
	};
	const pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		fail("starting a process in namespaces of its own");
	return pid;
}

static void announce(pid_t pid, const enum standing *standing)
{
	char line[256];
	int size = snprintf(line, sizeof(line), "{\"type\":\"launched\",\"pid\":%d,\"walls\":{",
			    (int)pid);

	for (size_t wall = 0; wall < WALLS; wall++)
		size += snprintf(line + size, sizeof(line) - (size_t)size, "%s\"%s\":\"%s\"",
				 wall ? "," : "", wall_names[wall], standing_names[standing[wall]]);
	size += snprintf(line + size, sizeof(line) - (size_t)size, "}}\n");
	if (write(STDOUT_FILENO, line, (size_t)size) != size)
		fail("telling the supervisor of the process");
}

/* Waits until the program has ended; kills it when asked to end. */
static int wait_for(pid_t pid, const sigset_t *awaited)
{
	int status;

	for (;;) {
		if (sigwaitinfo(awaited, NULL) == SIGTERM)
			kill(pid, SIGKILL);
		if (waitpid(pid, &status, WNOHANG) == pid)
			return status;
	}
}

/* Ends as the program has ended. */
__attribute__((noreturn)) static void end_like(int status)
{
	sigset_t none;

	if (WIFEXITED(status))
		_exit(WEXITSTATUS(status));
	sigemptyset(&none);
	signal(WTERMSIG(status), SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	raise(WTERMSIG(status));
	_exit(EXIT_LAUNCH);
}

int main(int argc, char **argv)
{
	struct options options = {
		.fd = -1, .nofile = 64, .jit = 1,
		.demand = { OFF, OFF, OFF, OFF },
	};
	const int program = parse(argc, argv, &options);
	const int landlock = landlock_version();
	enum standing standing[WALLS];
	int go[2], cgroup = -1, status;
	sigset_t awaited;
	pid_t pid;

	/*
	 * What interrupts the supervisor's terminal is for the supervisor alone. The
	 * leader of a group cannot leave it.
	 */
	if (setsid() < 0 && errno != EPERM)
		fail("leaving the supervisor's session");
	keep_only(options.fd);
	if (options.fd >= 0 && open("/dev/null", O_RDONLY | O_CLOEXEC) != FILTER_FD)
		fail("keeping a place for the filter of the seal");
	limit(RLIMIT_CORE, 0, "forbidding core files");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))
		fail("tying the launcher to its supervisor");

	if (options.demand[CGROUP] != OFF)
		cgroup = cgroup_make(&options.cgroup);
	standing[CGROUP] = raise_wall(CGROUP, options.demand[CGROUP], cgroup >= 0);
	standing[NAMESPACES] = raise_wall(NAMESPACES, options.demand[NAMESPACES],
					  namespaces_available());
	standing[LANDLOCK] = raise_wall(LANDLOCK, options.demand[LANDLOCK], landlock > 0);
	standing[SECCOMP] = raise_wall(SECCOMP, options.demand[SECCOMP], filter_available());

	/* Blocked before there is a child, so that none is missed. */
	sigemptyset(&awaited);
	sigaddset(&awaited, SIGTERM);
	sigaddset(&awaited, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &awaited, NULL) || pipe2(go, O_CLOEXEC))
		fail("preparing to start a process");
	pid = start(standing[NAMESPACES] == STANDS ? NAMESPACE_FLAGS : 0, cgroup);
	if (pid == 0) {
		close(go[1]);
		become(&options, standing, go[0], landlock, argv + program);
	}
	close(go[0]);
	if (options.fd >= 0) {
		announce(pid, standing);
		close(CONTROL_FD);
		close(FILTER_FD);
	}
	if (write(go[1], "", 1) != 1)
		fail("letting the process go");
	close(go[1]);

	status = wait_for(pid, &awaited);
	if (cgroup >= 0) {
		if (cgroup_ran_out_of_memory(cgroup))
			dprintf(STDERR_FILENO, "ring3-launch: out of memory: more than %lu bytes\n",
				options.cgroup.memory);
		cgroup_remove(cgroup, options.cgroup.directory);
		close(cgroup);
	}
	end_like(status);
}
