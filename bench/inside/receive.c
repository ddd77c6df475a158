// SPDX-License-Identifier: MIT
/*
 * receive PORT [ADDRESS]
 *
 * Takes one TCP connection and reads it to its end. Says "ready" once it
 * listens, and at the end a line of JSON: bytes; seconds from the first of them
 * to the last; gap_us, the longest time between in which none came.
 */
#include <stdint.h>

#include "../clock.h"
#include "listen.h"

int main(int argc, char **argv)
{
	static char data[65536];
	uint64_t bytes = 0, first = 0, last = 0, longest = 0;
	int listener = listen_at(argc, argv, SOCK_STREAM), fd;
	ssize_t got;

	if (listener < 0)
		return -listener;
	fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return fail("accepting");
	while ((got = recv(fd, data, sizeof(data), 0)) != 0) {
		uint64_t at = now_ns();

		if (got < 0)
			return fail("receiving");
		if (!first)
			first = last = at;
		if (at - last > longest)
			longest = at - last;
		last = at;
		bytes += (uint64_t)got;
	}
	printf("{\"bytes\":%llu,\"seconds\":%.6f,\"gap_us\":%.1f}\n", (unsigned long long)bytes,
	       (last - first) / 1e9, longest / 1e3);
	return 0;
}
