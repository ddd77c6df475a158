// SPDX-License-Identifier: MIT
/*
 * What others have on the machine that a driver is to reach: a process with a
 * secret in its memory, listeners of every kind, shared memory, a message queue
 * and a key. Says in a line of JSON where they are; when standard input ends, in
 * another how many came and whether the secret is what it was.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "attempt.h"

static char secret[64] = VICTIM_SECRET;

static int listen_at(int family, const void *address, socklen_t size)
{
	const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, address, size) || listen(fd, 16))
		broken("listening");
	return fd;
}

static int listen_unix(const char *name, size_t size)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	memcpy(at.sun_path, name, size);
	return listen_at(AF_UNIX, &at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size));
}

static int visitors(int fd)
{
	int count = 0;

	while (accept(fd, NULL, NULL) >= 0)
		count++;
	return count;
}

int keep_victim(void)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(at);
	struct mq_attr queue = { .mq_maxmsg = 1, .mq_msgsize = sizeof(secret) };
	int tcp, abstract, path, shm, came;
	mqd_t messages;
	char *shared;
	long key;

	tcp = listen_at(AF_INET, &at, sizeof(at));
	if (getsockname(tcp, (struct sockaddr *)&at, &size))
		broken("asking for a port");
	abstract = listen_unix("\0" VICTIM_ABSTRACT, sizeof(VICTIM_ABSTRACT));
	unlink(VICTIM_SOCKET);
	umask(077);
	path = listen_unix(VICTIM_SOCKET, sizeof(VICTIM_SOCKET));
	shm = shmget(VICTIM_SHM, sizeof(secret), IPC_CREAT | 0600);
	shared = shm < 0 ? (char *)-1 : shmat(shm, NULL, 0);
	messages = mq_open(VICTIM_MQ, O_RDWR | O_CREAT, 0600, &queue);
	key = syscall(SYS_add_key, "user", "ring3-victim", secret, sizeof(secret),
		      KEY_SPEC_PROCESS_KEYRING);
	if (shared == (char *)-1 || messages < 0 || key < 0)
		broken("keeping what is to be reached");
	memcpy(shared, secret, sizeof(secret));

	printf("{\"pid\":%d,\"port\":%d,\"key\":%ld,\"secret\":\"%p\"}\n", getpid(),
	       ntohs(at.sin_port), key, (void *)secret);
	fflush(stdout);
	while (getchar() != EOF)
		continue;

	came = visitors(tcp) + visitors(abstract) + visitors(path);
	printf("{\"visitors\":%d,\"unchanged\":%s}\n", came,
	       !strcmp(secret, VICTIM_SECRET) && !strcmp(shared, VICTIM_SECRET) ? "true" : "false");
	shmctl(shm, IPC_RMID, NULL);
	mq_unlink(VICTIM_MQ);
	unlink(VICTIM_SOCKET);
	return 0;
}
