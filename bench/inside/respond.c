// SPDX-License-Identifier: MIT
/*
 * respond PORT
 *
 * Serves one TCP connection after the other: sends back what it reads, at once.
 * Says "ready" once it listens.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int fail(const char *what)
{
	fprintf(stderr, "respond: %s: %s\n", what, strerror(errno));
	return 1;
}

static void serve(int fd)
{
	static char data[65536];
	ssize_t got, sent, put;

	while ((got = recv(fd, data, sizeof(data), 0)) > 0) {
		for (sent = 0; sent < got; sent += put) {
			put = send(fd, data + sent, (size_t)(got - sent), MSG_NOSIGNAL);
			if (put < 0)
				return;
		}
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	long port = argc == 2 ? atol(argv[1]) : 0;
	int fd, on = 1;

	if (port < 1 || port > 65535) {
		fprintf(stderr, "usage: respond PORT\n");
		return 64;
	}
	at.sin_port = htons((unsigned short)port);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		return fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8))
		return fail(argv[1]);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int connection = accept(fd, NULL, NULL);

		if (connection < 0)
			return fail("accepting");
		/* Requests do not wait for one another. */
		setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		serve(connection);
		close(connection);
	}
}
