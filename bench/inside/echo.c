// SPDX-License-Identifier: MIT
/*
 * echo PORT
 *
 * Sends every UDP datagram that comes in on a port back to where it came from.
 * Says "ready" once it listens. What cannot be sent is dropped, as the network
 * may do with any datagram.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int fail(const char *what)
{
	fprintf(stderr, "echo: %s: %s\n", what, strerror(errno));
	return 1;
}

int main(int argc, char **argv)
{
	static char data[65536];
	struct sockaddr_in from, at = { .sin_family = AF_INET };
	long port = argc == 2 ? atol(argv[1]) : 0;
	int fd;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: echo PORT\n");
		return 64;
	}
	at.sin_port = htons((unsigned short)port);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (fd < 0)
		return fail("socket");
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return fail(argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

		if (got < 0 && errno != EINTR)
			return fail("receiving");
		if (got >= 0)
			sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, size);
	}
}
