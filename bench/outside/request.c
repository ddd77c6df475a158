// SPDX-License-Identifier: MIT
/*
 * request PORT SIZE WARM_MS MS
 *
 * Connects to a TCP port of this machine, sends SIZE bytes, waits until as many
 * have come back, and so on, one request at a time. Prints "begin" when WARM_MS
 * are over and "end" MS later, and then a line of JSON: transactions, those that
 * ended between; seconds, the time between; p50_us, p99_us, p999_us, max_us,
 * how long they took.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "times.h"

#define LARGEST 65536

static uint32_t *took_ns;
static size_t count, room;

static void die(const char *what, const char *why)
{
	fprintf(stderr, "request: %s: %s\n", what, why);
	exit(1);
}

static void transact(int fd, uint8_t *sent, uint8_t *back, size_t size)
{
	size_t at = 0;

	sent[0]++;
	if (send(fd, sent, size, MSG_NOSIGNAL) != (ssize_t)size)
		die("sending", strerror(errno));
	while (at < size) {
		ssize_t got = recv(fd, back + at, size - at, 0);

		if (got <= 0)
			die("receiving", got ? strerror(errno) : "the connection has ended");
		at += got;
	}
	if (memcmp(sent, back, size))
		die("receiving", "not what was sent");
}

static void keep(uint64_t ns)
{
	if (count == room) {
		room = room ? 2 * room : 65536;
		took_ns = realloc(took_ns, room * sizeof(*took_ns));
		if (!took_ns)
			die("no memory", strerror(errno));
	}
	took_ns[count++] = kept_ns(ns);
}

int main(int argc, char **argv)
{
	static uint8_t sent[LARGEST], back[LARGEST];
	struct sockaddr_in to = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	uint64_t begin, end, before, after, began;
	size_t size;
	int fd, on = 1;

	if (argc != 5 || atol(argv[1]) < 1 || atol(argv[1]) > 65535 || atol(argv[2]) < 1 ||
	    atol(argv[2]) > LARGEST || atol(argv[3]) < 0 || atol(argv[4]) < 1) {
		fprintf(stderr, "usage: request PORT SIZE WARM_MS MS\n");
		return 64;
	}
	to.sin_port = htons(atol(argv[1]));
	size = atol(argv[2]);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)))
		die(argv[1], strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));

	begin = now_ns() + atol(argv[3]) * 1000000ULL;
	for (before = now_ns(); before < begin; before = now_ns())
		transact(fd, sent, back, size);
	say("begin");
	began = now_ns();
	before = began;
	end = began + atol(argv[4]) * 1000000ULL;
	do {
		transact(fd, sent, back, size);
		after = now_ns();
		keep(after - before);
		before = after;
	} while (after < end);
	say("end");
	qsort(took_ns, count, sizeof(*took_ns), ascending);
	printf("{\"transactions\":%zu,\"seconds\":%.6f", count, (after - began) / 1e9);
	print_times(took_ns, count);
	puts("}");
	return 0;
}
