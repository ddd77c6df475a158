// SPDX-License-Identifier: MIT
/* Attempts on files: those of the machine, by every way to name one. */
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "attempt.h"

#define X32 0x40000000

/* Of i386's table. */
#define I386_OPEN 5

static int taken(int fd)
{
	char bytes[64];
	const ssize_t got = read(fd, bytes, sizeof(bytes));

	note("%zd bytes of it", got);
	return failed(got);
}

static int read_file(char **path)
{
	const int fd = open(path[0], O_RDONLY);

	return fd < 0 ? errno : taken(fd);
}

static int write_file(char **path)
{
	return failed(open(path[0], O_WRONLY));
}

static int create_file(char **path)
{
	return failed(open(path[0], O_CREAT | O_EXCL | O_WRONLY, 0600));
}

/* open(2) of i386: another table of calls, whose numbers mean something else in ours. */
static int read_int80(char **path)
{
	/* Where 32 bits reach, which the stack does not. */
	static char low[256];
	int fd;

	snprintf(low, sizeof(low), "%s", path[0]);
	__asm__ volatile("int $0x80" : "=a"(fd) : "a"(I386_OPEN), "b"(low), "c"(O_RDONLY), "d"(0)
			 : "memory", "r8", "r9", "r10", "r11");
	if (fd < 0)
		return -fd;
	return taken(fd);
}

static int read_x32(char **path)
{
	const long fd = syscall(X32 | SYS_openat, AT_FDCWD, path[0], O_RDONLY, 0);

	return fd < 0 ? errno : taken((int)fd);
}

static int read_openat2(char **path)
{
	const struct { uint64_t flags, mode, resolve; } how = { .flags = O_RDONLY };
	const long fd = syscall(SYS_openat2, AT_FDCWD, path[0], &how, sizeof(how));

	return fd < 0 ? errno : taken((int)fd);
}

/* By its number in the file system, whatever the path. */
static int read_by_handle(char **path)
{
	struct {
		struct file_handle head;
		unsigned char room[128];
	} handle = { .head.handle_bytes = sizeof(handle.room) };
	int mount, fd;

	(void)path;
	/* Any file of the same file system gives a handle that is the right shape. */
	if (name_to_handle_at(AT_FDCWD, "/", &handle.head, &mount, 0) && errno != EOPNOTSUPP)
		return errno;
	fd = open_by_handle_at(AT_FDCWD, &handle.head, O_RDONLY);
	return failed(fd);
}

/* The kernel opens it on behalf of a ring that both share. */
static int read_io_uring(char **path)
{
	struct io_uring_params params = { 0 };
	const long ring = syscall(SYS_io_uring_setup, 1, &params);
	struct io_uring_sqe *entry;
	char *submissions, *completions;
	int result;

	if (ring < 0)
		return errno;
	submissions = mmap(NULL, params.sq_off.array + sizeof(uint32_t), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_POPULATE, (int)ring, IORING_OFF_SQ_RING);
	completions = mmap(NULL, params.cq_off.cqes + 2 * sizeof(struct io_uring_cqe),
			   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, (int)ring,
			   IORING_OFF_CQ_RING);
	entry = mmap(NULL, sizeof(*entry), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_POPULATE, (int)ring, IORING_OFF_SQES);
	if (submissions == MAP_FAILED || completions == MAP_FAILED || entry == MAP_FAILED)
		return errno;
	entry->opcode = IORING_OP_OPENAT;
	entry->fd = AT_FDCWD;
	entry->addr = (uintptr_t)path[0];
	entry->open_flags = O_RDONLY;
	*(uint32_t *)(submissions + params.sq_off.array) = 0;
	*(volatile uint32_t *)(submissions + params.sq_off.tail) = 1;
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
		return errno;
	result = ((struct io_uring_cqe *)(completions + params.cq_off.cqes))->res;
	return result < 0 ? -result : taken(result);
}

/* As root of a user namespace. */
static int read_in_userns(char **path)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return errno;
	return read_file(path);
}

/* A program that is in no file system becomes this process, and reads. */
static int read_by_memfd(char **path)
{
	char *const argv[] = { "attempt", "read", "sealed", path[0], NULL };
	const int self = open("/proc/self/exe", O_RDONLY);
	const int memory = (int)syscall(SYS_memfd_create, "program", 0);
	char bytes[65536];
	ssize_t got;

	if (memory < 0)
		return errno;
	while ((got = read(self, bytes, sizeof(bytes))) > 0) {
		if (write(memory, bytes, (size_t)got) != got)
			return errno;
	}
	if (got < 0)
		return errno;
	fexecve(memory, argv, (char *[]){ NULL });
	return errno;
}

static int execute(char **path)
{
	execve(path[0], (char *[]){ path[0], NULL }, (char *[]){ NULL });
	return errno;
}

static int claim_device(char **address)
{
	struct r3_claim_args args = { .argsz = sizeof(args) };
	const int fd = open("/dev/ring3", O_RDWR);

	if (fd < 0)
		return errno;
	snprintf(args.address, sizeof(args.address), "%s", address[0]);
	return failed(ioctl(fd, R3_CLAIM, &args));
}

/* Another device of this machine's memory. */
static int make_node(char **number)
{
	return failed(mknod("/memory", S_IFCHR | 0600, (dev_t)strtoul(number[0], NULL, 0)));
}

const struct attempt file_attempts[] = {
	{ .name = "read", .make = read_file },
	{ .name = "write", .make = write_file },
	{ .name = "create", .make = create_file },
	{ .name = "read-int80", .make = read_int80 },
	{ .name = "read-x32", .make = read_x32 },
	{ .name = "read-openat2", .make = read_openat2 },
	{ .name = "read-by-handle", .make = read_by_handle },
	{ .name = "read-io-uring", .make = read_io_uring },
	{ .name = "read-in-userns", .make = read_in_userns },
	{ .name = "read-by-memfd", .make = read_by_memfd },
	{ .name = "execute", .make = execute },
	{ .name = "claim", .make = claim_device },
	{ .name = "make-node", .make = make_node },
	{ 0 },
};
