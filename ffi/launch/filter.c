// SPDX-License-Identifier: MIT
/*
 * System calls. Two filters: one from before the program starts, which leaves it
 * what Deno needs to come up; and one that the program takes on before it runs
 * what it is for, which leaves what a running V8 needs, and to map the grant that
 * it is yet to receive. libring3 ends that, when it is mapped, by a third. What
 * the first denies fails; what the others deny ends the process, as by then nothing
 * but an escape from V8 would ask for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"
#include "ring3.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The grant's commands are those from 0x20 to 0x2f. */
#define GRANT_COMMANDS		_IO(R3_IOC, 0x20)
#define COMMAND_GROUP		0xfffffff0u

/* What a running program needs: memory, threads, time, and the descriptors that it has. */
static const int running[] = {
	SCMP_SYS(brk), SCMP_SYS(clock_getres), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
	SCMP_SYS(close), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_wait),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(futex), SCMP_SYS(getcpu), SCMP_SYS(getpid),
	SCMP_SYS(getrandom), SCMP_SYS(getrusage), SCMP_SYS(gettid), SCMP_SYS(gettimeofday),
	SCMP_SYS(madvise), SCMP_SYS(mremap), SCMP_SYS(munmap), SCMP_SYS(nanosleep),
	SCMP_SYS(pkey_alloc), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(pread64), SCMP_SYS(read),
	SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(restart_syscall), SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
	SCMP_SYS(sched_yield), SCMP_SYS(set_robust_list), SCMP_SYS(sigaltstack), SCMP_SYS(sysinfo),
	SCMP_SYS(uname), SCMP_SYS(write), SCMP_SYS(writev),
};

/* What a program needs until then, beside the above. */
static const int starting[] = {
	SCMP_SYS(access), SCMP_SYS(arch_prctl), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
	SCMP_SYS(epoll_create1), SCMP_SYS(eventfd2), SCMP_SYS(execve), SCMP_SYS(faccessat),
	SCMP_SYS(faccessat2), SCMP_SYS(fcntl), SCMP_SYS(flock), SCMP_SYS(fstat), SCMP_SYS(fstatfs),
	SCMP_SYS(getcwd), SCMP_SYS(getdents64), SCMP_SYS(getegid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getppid), SCMP_SYS(getrlimit), SCMP_SYS(getuid), SCMP_SYS(ioctl),
	SCMP_SYS(lseek), SCMP_SYS(lstat), SCMP_SYS(membarrier), SCMP_SYS(mmap), SCMP_SYS(mprotect),
	SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(pipe2),
	SCMP_SYS(pkey_mprotect), SCMP_SYS(prctl), SCMP_SYS(prlimit64), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(seccomp), SCMP_SYS(set_tid_address), SCMP_SYS(socketpair),
	SCMP_SYS(stat), SCMP_SYS(statfs), SCMP_SYS(statx), SCMP_SYS(tgkill),
};

/* What a running Deno tries now and then and can do without. */
static const int in_vain[] = {
	SCMP_SYS(access), SCMP_SYS(faccessat2), SCMP_SYS(fstat), SCMP_SYS(getcwd), SCMP_SYS(lseek),
	SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(stat), SCMP_SYS(statx),
};

/* Operations of calls that have several. */
static const unsigned int names[] = { PR_SET_NAME, PR_SET_VMA };
static const unsigned int locks[] = { F_GETLK, F_SETLK };
static const unsigned int descriptor_flags[] = { F_GETFD, F_GETFL, F_SETFD, F_SETFL };

bool filter_available(void)
{
	const unsigned int action = SECCOMP_RET_KILL_PROCESS;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

static scmp_filter_ctx begin(unsigned int otherwise)
{
	scmp_filter_ctx filter = seccomp_init(otherwise);

	/* Calls are looked up in a tree, not along a list: WAIT passes here at every batch. */
	if (!filter || seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2))
		refuse("libseccomp cannot make a filter");
	return filter;
}

static void add(scmp_filter_ctx filter, unsigned int action, int call, unsigned int count,
		const struct scmp_arg_cmp *arguments)
{
	if (seccomp_rule_add_array(filter, action, call, count, arguments))
		refuse("libseccomp cannot add a rule");
}

static void rule(scmp_filter_ctx filter, unsigned int action, int call,
		 struct scmp_arg_cmp argument)
{
	add(filter, action, call, 1, &argument);
}

static void all(scmp_filter_ctx filter, unsigned int action, const int *calls, size_t count)
{
	for (size_t at = 0; at < count; at++)
		add(filter, action, calls[at], 0, NULL);
}

static void threads_only(scmp_filter_ctx filter)
{
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone),
	     SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	/* What it is asked for is in memory, where no filter looks; without it, clone is used. */
	add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0, NULL);
}

/* Takes the first filter on, for good. */
void filter_enter(void)
{
	scmp_filter_ctx filter = begin(SCMP_ACT_ERRNO(EPERM));

	all(filter, SCMP_ACT_ALLOW, running, COUNT(running));
	all(filter, SCMP_ACT_ALLOW, starting, COUNT(starting));
	threads_only(filter);
	if (seccomp_load(filter))
		refuse("the kernel does not take a filter of system calls");
	seccomp_release(filter);
}

/* Memory that may not become code, if none may; only its own, in pages that its limits count. */
static void memory(scmp_filter_ctx filter, bool executable)
{
	const struct scmp_arg_cmp own = SCMP_A3(SCMP_CMP_MASKED_EQ,
						MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB,
						MAP_ANONYMOUS);
	const struct scmp_arg_cmp data = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	const int protect[] = { SCMP_SYS(mprotect), SCMP_SYS(pkey_mprotect) };

	if (executable) {
		rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), own);
		all(filter, SCMP_ACT_ALLOW, protect, COUNT(protect));
		return;
	}
	add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, (const struct scmp_arg_cmp[]){ data, own });
	for (size_t at = 0; at < COUNT(protect); at++)
		rule(filter, SCMP_ACT_ALLOW, protect[at], data);
}

/* To map a grant, as data, and then to take on the filter that ends this. */
static void mapping(scmp_filter_ctx filter)
{
	add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, (const struct scmp_arg_cmp[]){
		SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
		SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS | MAP_SHARED | MAP_HUGETLB, MAP_SHARED),
	});
	add(filter, SCMP_ACT_ALLOW, SCMP_SYS(seccomp), 2, (const struct scmp_arg_cmp[]){
		SCMP_A0(SCMP_CMP_EQ, SECCOMP_SET_MODE_FILTER),
		SCMP_A1(SCMP_CMP_EQ, SECCOMP_FILTER_FLAG_TSYNC),
	});
}

/*
 * The second filter as a program in a file that nobody can change: its descriptor.
 * To be called as the process.
 */
int filter_for_seal(bool executable_memory)
{
	scmp_filter_ctx filter = begin(SCMP_ACT_KILL_PROCESS);
	const int fd = memfd_create("ring3-filter", MFD_ALLOW_SEALING);

	all(filter, SCMP_ACT_ALLOW, running, COUNT(running));
	all(filter, SCMP_ACT_ERRNO(EPERM), in_vain, COUNT(in_vain));
	threads_only(filter);
	memory(filter, executable_memory);
	mapping(filter);
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl),
	     SCMP_A1(SCMP_CMP_MASKED_EQ, COMMAND_GROUP, GRANT_COMMANDS));
	/* Whether a stream is a terminal. */
	rule(filter, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, TCGETS));
	/* To end itself. */
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill),
	     SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* To read its limits. */
	rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), SCMP_A2(SCMP_CMP_EQ, 0));
	for (size_t at = 0; at < COUNT(names); at++)
		rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, names[at]));
	/* Of Deno's caches, which it asks for what it is to load. */
	for (size_t at = 0; at < COUNT(locks); at++)
		rule(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl),
		     SCMP_A1(SCMP_CMP_EQ, locks[at]));
	for (size_t at = 0; at < COUNT(descriptor_flags); at++)
		rule(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl),
		     SCMP_A1(SCMP_CMP_EQ, descriptor_flags[at]));

	if (fd < 0 || seccomp_export_bpf(filter, fd) || lseek(fd, 0, SEEK_SET) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
		fail("writing the filter of the seal");
	seccomp_release(filter);
	return fd;
}
