// SPDX-License-Identifier: MIT
/*
 * udp FROM TO PORT SEED RATE
 *
 * Sends RATE datagrams of SIZE bytes a second from an address to a port that
 * sends them back, by the clock, whether or not those before have come back, and
 * says what it sees until its input ends (word.h). An operation is a datagram.
 *
 * It has ended well when it is back with the content that it was sent with, for
 * the first time. One that never comes back is no error, for UDP promises
 * nothing: it makes a gap. Nor is one that there is no room for. It has failed if
 * sending it was an error. One that comes back with another content is wrong.
 * Where this program itself did not run in time, what fell due is left out.
 */
#include "address.h"
#include "content.h"

#define SIZE 1024
/* Beyond what is ever under way: of an older one nobody knows whether it has come back before. */
#define KEPT 65536
/* Longest time that this program may be late and still send what fell due. */
#define LATE (100 * MS)

/* Before the content, which follows from both. */
struct head {
	uint64_t seed;
	uint64_t number;
};

static uint64_t waiting[KEPT];	/* by number: 1 more than it while it is not back, else 0 */
static uint64_t seed, sent;

static void make(uint8_t *to, uint64_t n)
{
	struct head head = { .seed = seed, .number = n };

	memcpy(to, &head, sizeof(head));
	fill(to + sizeof(head), SIZE - sizeof(head), mix(seed) ^ n, 0);
}

static void send_next(int fd, const struct sockaddr_in *to)
{
	uint8_t data[SIZE];

	make(data, sent);
	waiting[sent % KEPT] = sent + 1;
	sent++;
	if (sendto(fd, data, sizeof(data), 0, (const struct sockaddr *)to, sizeof(*to)) < 0 &&
	    errno != EAGAIN && errno != ENOBUFS)
		failed("sending: %s", strerror(errno));
}

static void take(const uint8_t *data, size_t size)
{
	uint8_t expected[SIZE];
	struct head head;
	size_t at;

	if (size != SIZE) {
		wrong("a datagram of %d bytes came back with %zu", SIZE, size);
		return;
	}
	memcpy(&head, data, sizeof(head));
	/* Where the number itself is wrong, something else differs as well, or it was never sent. */
	make(expected, head.number);
	at = differ(expected, data, SIZE);
	if (at < SIZE) {
		wrong("byte %zu of a datagram came back as %02x and was sent as %02x", at, data[at],
		      expected[at]);
	} else if (head.number >= sent) {
		wrong("a datagram came back that was not sent");
	} else if (waiting[head.number % KEPT] == head.number + 1) {
		waiting[head.number % KEPT] = 0;
		well();
	}
}

static void take_all(int fd, const struct sockaddr_in *peer)
{
	static uint8_t data[65536];

	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t got = recvfrom(fd, data, sizeof(data), 0, (struct sockaddr *)&from, &size);

		if (got < 0) {
			if (errno != EAGAIN && errno != EINTR)
				failed("receiving: %s", strerror(errno));
			return;
		}
		/* Of others this program knows nothing. */
		if (from.sin_addr.s_addr == peer->sin_addr.s_addr && from.sin_port == peer->sin_port)
			take(data, (size_t)got);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in from, to;
	uint64_t period, next;
	struct pollfd look[2];
	int fd;

	if (argc != 6) {
		fprintf(stderr, "usage: udp FROM TO PORT SEED RATE\n");
		return 64;
	}
	from = address(argv[1], 0);
	to = address(argv[2], number(argv[3], 1, 65535));
	seed = number(argv[4], 0, UINT32_MAX);
	period = 1000 * MS / number(argv[5], 1, 100000);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	if (fd < 0)
		die("socket");
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)))
		die(argv[1]);
	begin();
	next = now_ns();
	for (;;) {
		uint64_t now = now_ns();

		if (now > next + LATE)
			next = now;
		for (; next <= now; next += period)
			send_next(fd, &to);
		look[1] = (struct pollfd){ .fd = fd, .events = POLLIN };
		wait_until(look, 2, next);
		if (look[1].revents)
			take_all(fd, &to);
	}
}
