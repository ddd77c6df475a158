// SPDX-License-Identifier: MIT
/*
 * respond PORT [ADDRESS]
 *
 * Serves one TCP connection after the other: sends back what it reads, at once.
 * Says "ready" once it listens.
 */
#include <netinet/tcp.h>
#include <unistd.h>

#include "listen.h"

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
	int fd = listen_at(argc, argv, SOCK_STREAM);
	int on = 1;

	if (fd < 0)
		return -fd;
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
