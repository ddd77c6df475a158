// SPDX-License-Identifier: MIT
/* Descriptors and those who have them: read, polled, copied, passed on, closed, inherited. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "fuzz.h"

void do_irq_read(struct random *random)
{
	int fd = any_irq(random);
	uint8_t bytes[16];
	void *to = random_chance(random, 3) ? arena_at(random, sizeof(bytes)) : bytes;
	size_t size = random_chance(random, 6) ? random_below(random, sizeof(bytes)) : 8;

	if (random_chance(random, 3))
		fcntl(fd, F_SETFL, random_chance(random, 12) ? 0 : O_NONBLOCK);
	tallied(DO_irq_read, read(fd, to, size) < 0 ? -errno : 0);
}

void do_poll(struct random *random)
{
	struct pollfd files[8];
	uint32_t count = 1 + random_below(random, COUNT(files));
	uint32_t i;

	for (i = 0; i < count; i++) {
		files[i].fd = random_chance(random, 4) ? any_file(random) : any_irq(random);
		files[i].events = POLLIN;
	}
	tallied(DO_poll, poll(files, count, (int)random_below(random, 3)) < 0 ? -errno : 0);
}

void do_epoll(struct random *random)
{
	struct epoll_event event = { .events = EPOLLIN | (random_chance(random, 2) ? EPOLLET : 0) };
	int fd = epoll_create1(EPOLL_CLOEXEC);
	uint32_t i;

	for (i = 0; i < 4; i++)
		tallied(DO_epoll, epoll_ctl(fd, EPOLL_CTL_ADD,
					    random_chance(random, 4) ? any_file(random) :
								       any_irq(random),
					    &event) ? -errno : 0);
	epoll_wait(fd, &event, 1, (int)random_below(random, 3));
	close(fd);
}

void do_dup(struct random *random)
{
	atomic_int *slot = random_chance(random, 3) ? me.irq : me.file;
	int from = slot == me.irq ? any_irq(random) : any_file(random);
	int fd = fcntl(from, F_DUPFD_CLOEXEC, 3);
	int old;

	if (tallied(DO_dup, fd < 0 ? -errno : 0))
		return;
	old = atomic_exchange(&slot[random_below(random, FILES)], fd);
	if (old >= 0 && old != me.grant)
		close(old);
}

void do_close(struct random *random)
{
	atomic_int *slot = &(random_chance(random, 2) ? me.irq :
							me.file)[random_below(random, FILES)];
	int fd = *slot;

	/* Without the first one the process is no driver any more. */
	if (fd < 0 || (fd == me.grant && !random_chance(random, 100)))
		return;
	if (!random_chance(random, 4))
		*slot = -1;
	tallied(DO_close, close(fd) ? -errno : 0);
	if (random_chance(random, 4))
		tallied(DO_close, close(fd) ? -errno : 0);
}

/* A child that has all descriptors and no mapping of the grant, for a moment. */
void do_fork(struct random *random)
{
	struct itimerval soon = {
		.it_value.tv_usec = 1000 + (suseconds_t)random_below(random, 60000),
	};
	struct random own = { random_next(random) };
	pid_t pid = (pid_t)syscall(SYS_clone,
				   SIGCHLD | (random_chance(random, 4) ? CLONE_FILES : 0),
				   0, 0, 0, 0);

	if (pid)  {
		tallied(DO_fork, pid < 0 ? -errno : 0);
		return;
	}
	signal(SIGALRM, SIG_DFL);
	setitimer(ITIMER_REAL, &soon, NULL);
	memset(me.threads, 0, sizeof(me.threads));
	attack_thread(&own);
}

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static long send_file(int socket, int fd)
{
	char byte = 0;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union control control = {
		.header = { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
			    .cmsg_type = SCM_RIGHTS },
	};
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

void do_pass(struct random *random)
{
	int fd = random_chance(random, 3) ? any_irq(random) : any_file(random);
	int pair[2];

	if (!random_chance(random, 4)) {
		tallied(DO_pass, send_file(me.socket, fd));
		return;
	}
	/* On its way in sockets that only hold each other: for the kernel to find. */
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair))
		return;
	tallied(DO_pass, send_file(pair[0], fd));
	send_file(pair[0], pair[0]);
	send_file(pair[0], pair[1]);
	close(pair[0]);
	close(pair[1]);
}

void do_receive(struct random *random)
{
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	union control control;
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct r3_info info = { .argsz = sizeof(info) };
	struct cmsghdr *header;
	atomic_int *slot;
	int fd, old;

	if (recvmsg(me.socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0)
		return;
	header = CMSG_FIRSTHDR(&message);
	if (tallied(DO_receive, header ? 0 : -EBADF))
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	slot = syscall(SYS_ioctl, fd, R3_INFO, &info) == -1 && errno == ENOTTY ? me.irq : me.file;
	old = atomic_exchange(&slot[random_below(random, FILES)], fd);
	if (old >= 0 && old != me.grant)
		close(old);
}

/* Be given the processor late, or on another one. */
void do_schedule(struct random *random)
{
	struct sched_param none = { 0 };
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(random_below(random, 2), &set);
	if (random_chance(random, 2))
		tallied(DO_schedule, sched_setaffinity(0, sizeof(set), &set) ? -errno : 0);
	else
		tallied(DO_schedule,
			sched_setscheduler(0, random_chance(random, 2) ? SCHED_IDLE : SCHED_BATCH,
					   &none) ? -errno : 0);
}

void do_signal(struct random *random)
{
	int thread = me.threads[random_below(random, COUNT(me.threads))];

	if (thread)
		tallied(DO_signal, syscall(SYS_tgkill, getpid(), thread, SIGUSR1) ? -errno : 0);
}

void do_death(struct random *random)
{
	tallied(DO_death, 0);
	switch (random_below(random, 4)) {
	case 0:
		kill(getpid(), SIGKILL);
		break;
	case 1:
		kill(getpid(), SIGSTOP);
		break;
	case 2:
		signal(SIGABRT, SIG_DFL);
		kill(getpid(), SIGABRT);
		break;
	default:
		syscall(SYS_exit_group, 0);
	}
}
