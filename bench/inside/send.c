// SPDX-License-Identifier: MIT
/*
 * send ADDRESS PORT
 *
 * Sends over a TCP connection as fast as it goes, until its own input ends.
 * Says at its end a line of JSON: retransmits, segments that TCP had sent again.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void die(const char *what)
{
	fprintf(stderr, "send: %s: %s\n", what, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	static char data[65536];
	struct sockaddr_in to = { .sin_family = AF_INET };
	long port = argc == 3 ? atol(argv[2]) : 0;
	struct tcp_info info;
	socklen_t size = sizeof(info);
	int fd;

	if (port < 1 || port > 65535 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1) {
		fprintf(stderr, "usage: send ADDRESS PORT\n");
		return 64;
	}
	to.sin_port = htons((unsigned short)port);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die(argv[1]);
	/* A send that waits would not see that the input has ended. */
	if (fcntl(fd, F_SETFL, O_NONBLOCK))
		die("fcntl");
	for (;;) {
		struct pollfd look[] = {
			{ .fd = fd, .events = POLLOUT }, { .fd = STDIN_FILENO, .events = POLLIN },
		};

		if (poll(look, 2, -1) < 0)
			die("poll");
		if (look[1].revents && read(STDIN_FILENO, data, 1) <= 0)
			break;
		if (look[0].revents && send(fd, data, sizeof(data), MSG_NOSIGNAL) < 0 &&
		    errno != EAGAIN)
			die("sending");
	}
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size))
		die("TCP_INFO");
	printf("{\"retransmits\":%u}\n", info.tcpi_total_retrans);
	return 0;
}
