// SPDX-License-Identifier: MIT
/*
 * echo PORT [ADDRESS]
 *
 * Sends every UDP datagram that comes in on a port back to where it came from:
 * with an address, only those to it, so that others may answer at other ones.
 * Says "ready" once it listens. What cannot be sent is dropped, as the network
 * may do with any datagram.
 */
#include "listen.h"

int main(int argc, char **argv)
{
	static char data[65536];
	struct sockaddr_in from;
	int fd = listen_at(argc, argv, SOCK_DGRAM);

	if (fd < 0)
		return -fd;
	for (;;) {
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

		if (got < 0 && errno != EINTR)
			return fail("receiving");
		if (got >= 0)
			sendto(fd, data, (size_t)got, 0, (struct sockaddr *)&from, size);
	}
}
