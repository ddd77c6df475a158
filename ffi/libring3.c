// SPDX-License-Identifier: MIT
/*
 * What Deno cannot do by itself: ioctl, mmap over given memory, and passing
 * descriptors. Glue only: nothing is printed, kept or decided here but the
 * seal. Everything returns a value of zero or more, or -errno.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ring3.h"

#define EXPORT __attribute__((visibility("default")))

/* Most instructions of a filter. */
#define MAX_FILTER 1024

/* How far this process has been sealed. Only rises. */
static atomic_int sealed;

enum {
	SEALED = 1,		/* nothing is opened or made */
	SEALED_MAPPED,		/* nor mapped */
};

/* It has taken on a filter of system calls. */
static bool filtered;

static int result(int value)
{
	return value < 0 ? -errno : value;
}

/* Takes a filter on in every thread. */
static int take_on(struct sock_filter *code, size_t count)
{
	const struct sock_fprog program = { .len = (unsigned short)count, .filter = code };

	/* A thread that cannot take it on is returned by its number. */
	switch (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC,
			&program)) {
	case 0:
		return 0;
	case -1:
		return -errno;
	default:
		return -ESRCH;
	}
}

/*
 * Seal this library, but for mapping, and take on the filter of system calls that
 * a file holds as a BPF program. An empty file is no filter. The file is closed.
 */
EXPORT int r3_seal(int filter)
{
	struct sock_filter code[MAX_FILTER];
	const ssize_t size = pread(filter, code, sizeof(code), 0);
	int err;

	atomic_store(&sealed, SEALED);
	if (size < 0)
		return -errno;
	if (size == sizeof(code) || (size_t)size % sizeof(code[0]))
		return -EINVAL;
	close(filter);
	if (!size)
		return 0;
	err = take_on(code, (size_t)size / sizeof(code[0]));
	filtered = !err;
	return err;
}

/*
 * Seal mapping too, and what the filter has left open for it: nothing is shared
 * any more, and no filter taken on. To be called after r3_seal().
 */
EXPORT int r3_seal_mapped(void)
{
	static struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 3),
		/* The lower half of its flags. */
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_SHARED, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	atomic_store(&sealed, SEALED_MAPPED);
	return filtered ? take_on(code, sizeof(code) / sizeof(code[0])) : 0;
}

EXPORT int r3_open(const char *path)
{
	if (atomic_load(&sealed))
		return -EPERM;
	return result(open(path, O_RDWR | O_CLOEXEC));
}

EXPORT int r3_close(int fd)
{
	return result(close(fd));
}

/*
 * Zeroed memory as a file, to be passed to another process. Its size is sealed:
 * whoever else holds it can neither shrink it under a mapping nor make it grow.
 */
EXPORT int r3_memory(uint64_t size)
{
	int fd, err;

	if (atomic_load(&sealed))
		return -EPERM;
	fd = memfd_create("ring3", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)size) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* Copy from such memory, in rising order of addresses. Returns how many bytes there were. */
EXPORT int r3_read(int fd, uint64_t offset, void *data, uint32_t size)
{
	return result((int)pread(fd, data, size, (off_t)offset));
}

/* One of the calls in ring3.h: number is the one in its _IO(). */
EXPORT int r3_call(int fd, uint32_t number, void *args)
{
	return result(ioctl(fd, _IO(R3_IOC, number), args));
}

/* Milliseconds of CLOCK_MONOTONIC. */
EXPORT double r3_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/*
 * Accesses to I/O ports. The buffer of one that repeats is a place in data, which
 * is size bytes: the caller knows no addresses.
 */
EXPORT int r3_pio(int fd, struct r3_pio_access *access, uint32_t count, uint8_t *data,
		  uint32_t size)
{
	struct r3_pio_access batch[R3_MAX_PIO];
	struct r3_pio args = { .argsz = sizeof(args), .count = count, .access = (uintptr_t)batch };
	uint32_t i;

	if (count > R3_MAX_PIO)
		return -EINVAL;
	memcpy(batch, access, count * sizeof(batch[0]));
	for (i = 0; i < count; i++) {
		const uint64_t length = (uint64_t)batch[i].value * batch[i].width;

		if (!(batch[i].flags & R3_PIO_REPEAT))
			continue;
		if (batch[i].buffer > size || length > size - batch[i].buffer)
			return -EINVAL;
		batch[i].buffer += (uintptr_t)data;
	}
	if (ioctl(fd, R3_PIO, &args))
		return -errno;
	for (i = 0; i < count; i++)
		access[i].value = batch[i].value;
	return 0;
}

/*
 * Map part of a grant, or of memory, over memory of the caller's, which must be
 * whole pages that nothing else uses: pages of a shared WebAssembly.Memory.
 */
EXPORT int r3_map(int fd, uint64_t offset, uint64_t length, void *over)
{
	void *at;

	if (atomic_load(&sealed) == SEALED_MAPPED)
		return -EPERM;
	if ((uintptr_t)over % (uintptr_t)sysconf(_SC_PAGESIZE))
		return -EINVAL;
	at = mmap(over, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);
	return at == MAP_FAILED ? -errno : 0;
}

/* A pair of sockets that keep messages whole; programs inherit the second, not the first. */
EXPORT int r3_socketpair(int32_t pair[2])
{
	int fd[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fd))
		return -errno;
	if (fcntl(fd[1], F_SETFD, 0)) {
		int err = -errno;

		close(fd[0]);
		close(fd[1]);
		return err;
	}
	pair[0] = fd[0];
	pair[1] = fd[1];
	return 0;
}

/* Send one message, with a descriptor unless pass is negative. Never waits. */
EXPORT int r3_send(int fd, const void *data, uint32_t size, int32_t pass)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { .iov_base = (void *)(uintptr_t)data, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	memset(&control, 0, sizeof(control));
	if (pass >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.header), &pass, sizeof(int));
	}
	return result((int)sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

/*
 * Receive one message and the descriptor that came with it (else -1). Waits
 * unless told not to. 0 means that the other side has closed; a message that
 * does not fit is -EMSGSIZE.
 */
EXPORT int r3_receive(int fd, void *data, uint32_t size, int32_t *passed, int32_t nonblock)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec part = { .iov_base = data, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t got;

	*passed = -1;
	do {
		got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | (nonblock ? MSG_DONTWAIT : 0));
	} while (got < 0 && errno == EINTR && !nonblock);
	if (got < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(int))) {
		int received;

		memcpy(&received, CMSG_DATA(header), sizeof(int));
		*passed = received;
	}
	return message.msg_flags & MSG_TRUNC ? -EMSGSIZE : (int)got;
}

/* Wait until a claim has news. Returns poll()'s events, 0 after timeout_ms. */
EXPORT int r3_poll(int fd, int32_t timeout_ms)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int ready = poll(&wait, 1, timeout_ms);

	return ready < 0 ? -errno : wait.revents;
}
