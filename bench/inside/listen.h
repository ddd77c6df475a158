/* SPDX-License-Identifier: MIT */
/* A socket of the programs that answer: at a port, of all addresses or of one. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Why a program ends; its status. */
static int fail(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	return 1;
}

/* Its descriptor, once it has said "ready"; or less than 0, minus the status to end with. */
static int listen_at(int argc, char **argv, int type)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	long port = argc == 2 || argc == 3 ? atol(argv[1]) : 0;
	int fd, on = 1;

	if (port < 1 || port > 65535 ||
	    (argc == 3 && inet_pton(AF_INET, argv[2], &at.sin_addr) != 1)) {
		fprintf(stderr, "usage: %s PORT [ADDRESS]\n", program_invocation_short_name);
		return -64;
	}
	at.sin_port = htons((unsigned short)port);
	fd = socket(AF_INET, type, 0);
	if (fd < 0)
		return -fail("socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || (type == SOCK_STREAM && listen(fd, 8)))
		return -fail(argv[1]);
	puts("ready");
	fflush(stdout);
	return fd;
}
