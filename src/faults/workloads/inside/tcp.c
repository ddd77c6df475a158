// SPDX-License-Identifier: MIT
/*
 * tcp FROM TO PORT SEED RATE BYTES
 * tcp listen ADDRESS PORT RATE
 *
 * One TCP connection after the other, from an address to a port that the second
 * form listens at, each with a stream both ways at once, of BYTES bytes of content
 * at no more than RATE a second. Both ends say what they see (word.h) until their
 * input ends. An operation is a block of 64 KiB that has come in.
 *
 * Content follows from the connection's key and the place in the stream. Each end
 * makes what must come and compares every byte of it, which shows all that equal
 * digests of both ends would, and where the difference is. A block with another
 * content is wrong, which the end tells that it comes to, and the stream goes on.
 * Once all of one way has come in, the other is ended with a word more, and a
 * connection is over when both have heard it: then all that either has sent has
 * come in.
 *
 * A connection that is reset, cannot be made, ends too early, or in which nothing
 * moves for STALL has failed, and another is tried. Of these only the first form
 * tells, as both would tell of the same; for the other a new connection is the
 * end of the one before.
 */
#include <netinet/tcp.h>
#include <stdbool.h>

#include "address.h"
#include "content.h"

#define BLOCK 65536
#define MOST_BYTES (1ULL << 30)
#define STALL (30 * 1000 * MS)
#define RETRY (250 * MS)
/* Longest time that blocks fall behind and are still made up for. */
#define LATE (100 * MS)
/* What may lie in the socket: not so much that nothing seems to move only long after. */
#define UNSENT (256 * 1024)

/* What both ways begin with: the first form chooses, the other repeats it. */
struct head {
	uint64_t key;
	uint64_t bytes;
};

/* A way has so many parts: its head, blocks, and the word that ends it. */
struct way {
	uint8_t data[BLOCK];
	size_t at, size;	/* in the part that is under way */
	uint64_t parts;		/* that have begun to be sent, or have come in */
};

struct connection {
	int fd;
	bool first;		/* this end is the first form */
	bool broken;		/* has ended, and not well */
	struct head head;	/* of 0 bytes while this end does not know it */
	uint64_t right;		/* blocks that have come in as they must be */
	uint64_t due;		/* when the next block is sent */
	uint64_t moved;		/* when something went in or out for the last time */
	struct way out, in;
};

static struct connection one;
static uint64_t period;		/* from block to block */

static uint64_t blocks(void)
{
	return one.head.bytes / BLOCK;
}

/* Key of the content that an end sends. */
static uint64_t key_of(bool first)
{
	return one.head.key * 2 + first;
}

/* What ends the content of an end. */
static uint64_t last_word(bool first)
{
	uint64_t word = 0;

	fill(&word, sizeof(word), key_of(first), one.head.bytes);
	return word;
}

static void open_one(int fd, bool first)
{
	one.fd = fd;
	one.first = first;
	one.broken = false;
	one.head = (struct head){ 0 };
	one.right = 0;
	one.due = one.moved = now_ns();
	one.out.at = one.out.size = one.out.parts = 0;
	one.in.at = one.in.parts = 0;
	one.in.size = sizeof(struct head);
}

/* Has the other end learn of it at once, whatever is under way. */
static void break_off(void)
{
	struct linger reset = { .l_onoff = 1 };

	setsockopt(one.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(one.fd);
	one.fd = -1;
	one.broken = true;
}

/* Of an error that ends the connection. */
__attribute__((format(printf, 1, 2)))
static void lost(const char *format, ...)
{
	va_list values;
	char why[100];

	va_start(values, format);
	vsnprintf(why, sizeof(why), format, values);
	va_end(values);
	if (one.first)
		failed("%s, after %llu of %llu blocks", why, (unsigned long long)one.right,
		       (unsigned long long)blocks());
	break_off();
}

/* Makes the next part to be sent, if it is known by now, and due. */
static bool have_part(void)
{
	struct way *out = &one.out;
	uint64_t word, now = now_ns();

	if (out->at < out->size)
		return true;
	if (!one.head.bytes || out->parts > blocks() + 1)
		return false;
	if (out->parts == 0) {
		memcpy(out->data, &one.head, sizeof(one.head));
		out->size = sizeof(one.head);
	} else if (out->parts <= blocks()) {
		if (now < one.due)
			return false;
		fill(out->data, BLOCK, key_of(one.first), (out->parts - 1) * BLOCK);
		out->size = BLOCK;
		one.due = (now > one.due + LATE ? now : one.due) + period;
	} else {
		if (one.in.parts <= blocks())
			return false;
		word = last_word(one.first);
		memcpy(out->data, &word, sizeof(word));
		out->size = sizeof(word);
	}
	out->at = 0;
	out->parts++;
	return true;
}

static void send_part(void)
{
	struct way *out = &one.out;
	ssize_t gone = send(one.fd, out->data + out->at, out->size - out->at, MSG_NOSIGNAL);

	if (gone > 0) {
		out->at += (size_t)gone;
		one.moved = now_ns();
	} else if (gone < 0 && errno != EAGAIN && errno != EINTR) {
		lost("sending: %s", strerror(errno));
	}
}

/* A block that has come in whole, by its number. */
static void check_block(uint64_t n)
{
	static uint8_t expected[BLOCK];
	size_t at;

	fill(expected, BLOCK, key_of(!one.first), n * BLOCK);
	at = differ(expected, one.in.data, BLOCK);
	if (at == BLOCK) {
		one.right++;
		well();
	} else {
		wrong("byte %llu of the stream came in as %02x and was sent as %02x",
		      (unsigned long long)(n * BLOCK + at), one.in.data[at], expected[at]);
	}
}

static void check_head(void)
{
	struct head head;

	memcpy(&head, one.in.data, sizeof(head));
	if (one.first ? memcmp(&head, &one.head, sizeof(head)) != 0 :
	    !head.bytes || head.bytes % BLOCK || head.bytes > MOST_BYTES) {
		wrong("the head of the stream came in with another content");
		break_off();
		return;
	}
	one.head = head;
}

static void check_part(void)
{
	struct way *in = &one.in;
	uint64_t word, n = in->parts++;

	in->at = 0;
	if (n == 0) {
		check_head();
	} else if (n <= blocks()) {
		check_block(n - 1);
	} else {
		memcpy(&word, in->data, sizeof(word));
		if (word != last_word(!one.first))
			wrong("the end of the stream came in with another content");
	}
	in->size = n < blocks() ? BLOCK : sizeof(word);
}

static void receive_part(void)
{
	struct way *in = &one.in;
	ssize_t got = recv(one.fd, in->data + in->at, in->size - in->at, 0);

	if (got > 0) {
		one.moved = now_ns();
		in->at += (size_t)got;
		if (in->at == in->size)
			check_part();
	} else if (got == 0) {
		lost("the other end closed");
	} else if (errno != EAGAIN && errno != EINTR) {
		lost("receiving: %s", strerror(errno));
	}
}

static bool has_come_in(void)
{
	return one.head.bytes && one.in.parts == blocks() + 2;
}

static bool is_over(void)
{
	return has_come_in() && one.out.parts == blocks() + 2 && one.out.at == one.out.size;
}

/*
 * Waits once for the connection, if there is one, or what else is in the third
 * place of `look`, and carries it on. It is closed when it is over or lost.
 */
static void go_on(struct pollfd *look, nfds_t count)
{
	uint64_t until = seen.due;
	bool some = false;

	if (one.fd >= 0) {
		some = have_part();
		until = one.moved + STALL;
		if (!some && one.out.parts > 0 && one.out.parts <= blocks() && one.due < until)
			until = one.due;
	}
	look[1] = (struct pollfd){ .fd = one.fd };
	look[1].events = (some ? POLLOUT : 0) | (has_come_in() ? 0 : POLLIN);
	wait_until(look, count, until);
	if (one.fd < 0)
		return;
	if (look[1].revents & (POLLIN | POLLERR | POLLHUP))
		receive_part();
	if (one.fd >= 0 && look[1].revents & POLLOUT)
		send_part();
	if (one.fd < 0)
		return;
	if (is_over()) {
		close(one.fd);
		one.fd = -1;
	} else if (now_ns() >= one.moved + STALL) {
		lost("nothing moved for %llu s", STALL / (1000 * MS));
	}
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static void set_up(int fd)
{
	int unsent = UNSENT, on = 1;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &unsent, sizeof(unsent));
	/* The end of a block does not wait for an answer to what was before. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Makes a connection. If it cannot, that has failed. */
static void make_connection(const struct sockaddr_in *from, const struct sockaddr_in *to)
{
	struct pollfd look[2];
	uint64_t end = now_ns() + STALL;
	int fd = tcp_socket(), error = 0;
	socklen_t size = sizeof(error);

	open_one(fd, true);
	set_up(fd);
	if (bind(fd, (const struct sockaddr *)from, sizeof(*from)) ||
	    (connect(fd, (const struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)) {
		error = errno;
	} else {
		do {
			look[1] = (struct pollfd){ .fd = fd, .events = POLLOUT };
			wait_until(look, 2, end);
		} while (!look[1].revents && now_ns() < end);
		if (!look[1].revents)
			error = ETIMEDOUT;
		else
			getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	}
	if (!error)
		return;
	failed("connecting: %s", strerror(error));
	break_off();
}

static void connect_on(char **argv)
{
	struct sockaddr_in from = address(argv[1], 0);
	struct sockaddr_in to = address(argv[2], number(argv[3], 1, 65535));
	uint64_t key = mix(number(argv[4], 0, UINT32_MAX));
	uint64_t bytes = number(argv[6], BLOCK, MOST_BYTES);
	struct pollfd look[2];

	period = BLOCK * 1000 * MS / number(argv[5], BLOCK, 1 << 30);
	begin();
	for (;; key++) {
		make_connection(&from, &to);
		one.head = (struct head){ .key = key, .bytes = bytes / BLOCK * BLOCK };
		one.moved = one.due = now_ns();
		while (one.fd >= 0)
			go_on(look, 2);
		if (one.broken)
			sleep_until(now_ns() + RETRY);
	}
}

static void listen_on(char **argv)
{
	struct sockaddr_in at = address(argv[2], number(argv[3], 1, 65535));
	int fd = tcp_socket(), on = 1;
	struct pollfd look[3];

	period = BLOCK * 1000 * MS / number(argv[4], BLOCK, 1 << 30);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 8))
		die(argv[2]);
	one.fd = -1;
	begin();
	for (;;) {
		int next;

		look[2] = (struct pollfd){ .fd = fd, .events = POLLIN };
		go_on(look, 3);
		if (!look[2].revents)
			continue;
		next = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (next < 0)
			continue;
		if (one.fd >= 0)
			break_off();
		open_one(next, false);
		set_up(next);
	}
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "listen"))
		listen_on(argv);
	if (argc == 7)
		connect_on(argv);
	fprintf(stderr, "usage: tcp FROM TO PORT SEED RATE BYTES\n"
			"       tcp listen ADDRESS PORT RATE\n");
	return 64;
}
