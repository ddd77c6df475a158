// SPDX-License-Identifier: MIT
/*
 * load OWN CARD MAC FROM TO SIZE RATE WARM_MS MS echo|macswap
 *
 * The far end of a card whose wire is a pair of Unix datagram sockets, a frame
 * in each datagram: sends so many UDP datagrams of SIZE bytes a second from the
 * address FROM to port 7 of TO, and counts what comes back. It never waits for
 * an answer before it sends. More than 10,000 a second go in groups, every
 * 100 us, and answers are then looked for as often. OWN is the socket's path,
 * which is made; CARD is that of the card, whose address is MAC. SIZE is at
 * least 16, which is what tells a datagram from others, and 18 for the shortest
 * frame of Ethernet: 60 bytes, and 4 of FCS on a wire.
 *
 * With echo what comes back is a datagram of the same bytes from port 7, as a
 * host answers; with macswap it is the very frame, its two MAC addresses
 * exchanged, as a forwarder sends it.
 *
 * Prints "begin" when WARM_MS are over, "end" MS later, and when what was still
 * under way has had half a second to come back, a line of JSON; SIGTERM after
 * begin has it end at once, as if MS were over:
 *   offered  datagrams that were due between begin and end; fewer than RATE says
 *            if this program did not always run when it should have
 *   missed   of these, those that the card took none of (see FIFO)
 *   echoed   of these, those that came back
 *   wrong    answers that no datagram was sent for, or are not as they should be
 *   seconds  from begin to end
 *   returned datagrams that came back between begin and end, of whenever
 *   gap_us   longest time from begin on in which none came back: until one did,
 *            or until end
 *   p50_us, p99_us, p999_us, max_us  round trips of the echoed; 0 without one
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "times.h"

#define ECHO_PORT 7
#define OUR_PORT 40000
#define HEADERS (14 + 20 + 8)
#define UDP_CHECKSUM (HEADERS - 2)
#define LARGEST 1472
/* The card's receive FIFO, bytes: what is due while it is full, and the socket too, is missed. */
#define FIFO 49152
#define FIFO_FRAMES 1024
#define DRAIN_NS 500000000ULL
/*
 * Where less is left until the next datagram is due, nothing else is waited for,
 * and those that fall due meanwhile go together: to wake up for every frame
 * would take a processor from the machine under load.
 */
#define TICK_NS 100000
/*
 * Where this program itself did not run while more fell due, those are not
 * offered at all: all at once they would be another load.
 */
#define MOST_AT_ONCE 32
#define BATCH 32

/* What tells a datagram from others. Every member lies at an even offset: it is summed as words. */
struct stamp {
	uint32_t run;
	uint32_t number;
	uint64_t sent_ns;
};

static uint8_t frame[HEADERS + LARGEST];
static size_t frame_length;
static uint32_t sum_of_rest;	/* of pseudo header, UDP header and payload without the stamp */
static uint32_t run;
static int swapped;		/* the very frames come back, their MAC addresses exchanged */

static uint32_t *round_trip_ns;	/* by number, from the first after begin; 0 until it is back */
static uint32_t first_number, measured, capacity;
static uint64_t echoed, wrong, returned;
static uint64_t last_return, longest_gap;	/* from begin on; the last is 0 before that */
static volatile sig_atomic_t told_to_end;

static void end_early(int signal)
{
	(void)signal;
	told_to_end = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void refuse(const char *what, const char *why)
{
	fprintf(stderr, "load: %s: %s\n", what, why);
	exit(64);
}

static double number(const char *text, double least, double most)
{
	char *end, why[64];
	double value = strtod(text, &end);

	if (*text && !*end && value >= least && value <= most)
		return value;
	snprintf(why, sizeof(why), "not from %.0f to %.0f", least, most);
	refuse(text, why);
	return 0;
}

/* Sum of 16-bit words as they lie in memory, for the Internet checksum. */
static uint32_t sum(const void *from, size_t length)
{
	const uint8_t *bytes = from;
	uint32_t total = 0;
	uint16_t word;
	size_t i;

	for (i = 0; i + 1 < length; i += 2) {
		memcpy(&word, bytes + i, 2);
		total += word;
	}
	if (length & 1)
		total += bytes[length - 1];
	return total;
}

static uint16_t checksum(uint32_t total)
{
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return ~total;
}

static void put16(uint8_t *to, uint16_t value)
{
	value = htons(value);
	memcpy(to, &value, 2);
}

static void make_frame(const char *mac, const char *from, const char *to, size_t size)
{
	uint8_t *ip = frame + 14, *udp = ip + 20, *payload = udp + 8;
	uint8_t pseudo[12] = { [9] = IPPROTO_UDP };
	struct stamp stamp = { .run = run };
	uint16_t word;
	size_t i;

	if (sscanf(mac, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", frame, frame + 1, frame + 2, frame + 3,
		   frame + 4, frame + 5) != 6)
		refuse(mac, "not a MAC address");
	memcpy(frame + 6, "\x52\x55\0\0\0\x02", 6);
	put16(frame + 12, 0x0800);

	ip[0] = 0x45;
	put16(ip + 2, 20 + 8 + size);
	put16(ip + 6, 0x4000);
	ip[8] = 64;
	ip[9] = IPPROTO_UDP;
	if (inet_pton(AF_INET, from, ip + 12) != 1)
		refuse(from, "not an IPv4 address");
	if (inet_pton(AF_INET, to, ip + 16) != 1)
		refuse(to, "not an IPv4 address");
	word = checksum(sum(ip, 20));
	memcpy(ip + 10, &word, 2);

	put16(udp, OUR_PORT);
	put16(udp + 2, ECHO_PORT);
	put16(udp + 4, 8 + size);
	for (i = sizeof(stamp); i < size; i++)
		payload[i] = i * 7 + 1;
	memcpy(payload, &stamp, sizeof(stamp));

	memcpy(pseudo, ip + 12, 8);
	put16(pseudo + 10, 8 + size);
	sum_of_rest = sum(pseudo, sizeof(pseudo)) + sum(udp, 8 + size);
	frame_length = HEADERS + size;
}

/* True if the card has taken it, or it has been lost on the way; false while there is no room. */
static int send_one(int fd, uint32_t seq, uint64_t when)
{
	uint8_t *payload = frame + HEADERS;
	struct stamp stamp = { .run = run, .sent_ns = when, .number = seq };
	struct stamp changing = { .sent_ns = when, .number = seq };
	uint16_t word = checksum(sum_of_rest + sum(&changing, sizeof(changing)));

	/* Zero says that there is no checksum; its other form means the same sum. */
	if (!word)
		word = 0xffff;
	memcpy(frame + UDP_CHECKSUM, &word, 2);
	memcpy(payload, &stamp, sizeof(stamp));
	if (send(fd, frame, frame_length, MSG_DONTWAIT) >= 0)
		return 1;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
		return 0;
	die("sending to the card");
	return 0;
}

/* True of a whole frame as it should come back; what the stamp and the checksum say aside. */
static int as_it_should_be(const uint8_t *got, size_t length)
{
	size_t rest = HEADERS + sizeof(struct stamp);

	if (length < frame_length || memcmp(got, frame + 6, 6) || memcmp(got + 6, frame, 6))
		return 0;
	if (swapped && memcmp(got + 12, frame + 12, UDP_CHECKSUM - 12))
		return 0;
	return !memcmp(got + rest, frame + rest, frame_length - rest);
}

static void note_return(uint64_t at)
{
	if (at - last_return > longest_gap)
		longest_gap = at - last_return;
	last_return = at;
}

static void take(const uint8_t *got, size_t length, uint64_t at, int counting)
{
	const uint8_t *payload = got + HEADERS;
	struct stamp stamp;
	uint16_t type, port;
	uint32_t index;
	uint64_t took;

	if (length < 38)
		return;
	memcpy(&type, got + 12, 2);
	memcpy(&port, got + 34, 2);
	if (ntohs(type) != 0x0800 || got[14] != 0x45 || got[23] != IPPROTO_UDP ||
	    ntohs(port) != (swapped ? OUR_PORT : ECHO_PORT))
		return;
	if (length < HEADERS + sizeof(stamp)) {
		wrong++;
		return;
	}
	memcpy(&stamp, payload, sizeof(stamp));
	/* One of an earlier run, that was still under way when that ended. */
	if (stamp.run != run)
		return;
	if (!as_it_should_be(got, length)) {
		wrong++;
		return;
	}
	if (counting)
		returned++;
	if (last_return)
		note_return(at);
	index = stamp.number - first_number;
	if (stamp.number < first_number || index >= measured)
		return;
	if (round_trip_ns[index]) {
		wrong++;
		return;
	}
	took = at - stamp.sent_ns;
	round_trip_ns[index] = took ? kept_ns(took) : 1;
	echoed++;
}

static void receive(int fd, int counting)
{
	static uint8_t buffers[BATCH][2048];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	uint64_t at;
	int i, count;

	for (i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ buffers[i], sizeof(buffers[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	do {
		count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
		if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
			die("receiving from the card");
		at = now_ns();
		for (i = 0; i < count; i++)
			take(buffers[i], messages[i].msg_len, at, counting);
	} while (count == BATCH);
}

static void address(struct sockaddr_un *out, const char *path)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(out->sun_path))
		refuse(path, "too long for a socket's path");
	strcpy(out->sun_path, path);
}

static int open_wire(const char *own, const char *card)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0), room = 4 << 20;
	struct sockaddr_un name;

	if (fd < 0)
		die("socket");
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	address(&name, own);
	unlink(own);
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)))
		die(own);
	address(&name, card);
	if (connect(fd, (struct sockaddr *)&name, sizeof(name)))
		die(card);
	return fd;
}

int main(int argc, char **argv)
{
	static struct { uint32_t number; uint64_t at; } fifo[FIFO_FRAMES];
	uint32_t in = 0, out = 0, fifo_size, next = 0, missed = 0;
	uint64_t start, begin, end;
	int fd, phase = 0;	/* 0 before begin, 1 after it, 2 after end */
	double interval_ns;

	if (argc != 11) {
		fprintf(stderr, "usage: load OWN CARD MAC FROM TO SIZE RATE WARM_MS MS echo|macswap\n");
		return 64;
	}
	swapped = !strcmp(argv[10], "macswap");
	if (!swapped && strcmp(argv[10], "echo"))
		refuse(argv[10], "neither echo nor macswap");
	run = now_ns() ^ (uint32_t)getpid() << 16;
	make_frame(argv[3], argv[4], argv[5], number(argv[6], sizeof(struct stamp), LARGEST));
	interval_ns = 1e9 / number(argv[7], 1, 1e7);
	fifo_size = FIFO / frame_length < FIFO_FRAMES ? FIFO / frame_length : FIFO_FRAMES;
	fd = open_wire(argv[1], argv[2]);
	/* Sleeps end when they should, and not up to 50 us later. */
	prctl(PR_SET_TIMERSLACK, 1);
	signal(SIGTERM, end_early);

	start = now_ns();
	begin = start + number(argv[8], 0, 3600000) * 1000000;
	end = begin + number(argv[9], 1, 3600000) * 1000000;
	capacity = (end - begin) / interval_ns + 2;
	round_trip_ns = calloc(capacity, sizeof(*round_trip_ns));
	if (!round_trip_ns)
		die("no memory");

	for (;;) {
		struct pollfd look = { .fd = fd, .events = POLLIN };
		uint64_t at = now_ns(), due = start + next * interval_ns, until;
		struct timespec pause;

		if (phase == 0 && at >= begin) {
			phase = 1;
			last_return = begin;
			say("begin");
		}
		if (phase == 1 && told_to_end && at < end)
			end = at;
		if (at > due + MOST_AT_ONCE * interval_ns) {
			start += at - due;
			due = at;
		}
		for (; due <= at && due < end; due = start + next * interval_ns) {
			if (due >= begin) {
				if (!measured)
					first_number = next;
				measured++;
			}
			if (in - out < fifo_size) {
				fifo[in % FIFO_FRAMES].number = next;
				fifo[in++ % FIFO_FRAMES].at = at;
			} else if (due >= begin) {
				missed++;
			}
			next++;
		}
		while (out != in &&
		       send_one(fd, fifo[out % FIFO_FRAMES].number, fifo[out % FIFO_FRAMES].at))
			out++;
		receive(fd, phase == 1);
		if (phase == 1 && at >= end) {
			phase = 2;
			say("end");
		}
		if (phase == 2 && (at >= end + DRAIN_NS || echoed == measured))
			break;

		until = phase == 2 ? end + DRAIN_NS : due < end ? due : end;
		if (phase == 0 && begin < until)
			until = begin;
		at = now_ns();
		until = until > at ? until - at : 0;
		if (until < TICK_NS) {
			pause = (struct timespec){ .tv_nsec = TICK_NS };
			nanosleep(&pause, NULL);
			continue;
		}
		if (out != in)
			look.events |= POLLOUT;
		pause = (struct timespec){ until / 1000000000, until % 1000000000 };
		if (ppoll(&look, 1, &pause, NULL) < 0 && errno != EINTR)
			die("poll");
	}

	if (last_return < end)
		note_return(end);
	/* Those that did not come back are zero, and so first. */
	qsort(round_trip_ns, measured, sizeof(*round_trip_ns), ascending);
	printf("{\"offered\":%u,\"missed\":%u,\"echoed\":%llu,\"wrong\":%llu,\"returned\":%llu,",
	       measured, missed, (unsigned long long)echoed, (unsigned long long)wrong,
	       (unsigned long long)returned);
	printf("\"seconds\":%.6f,\"gap_us\":%.1f", (end - begin) / 1e9, longest_gap / 1e3);
	print_times(round_trip_ns + measured - echoed, echoed);
	puts("}");
	unlink(argv[1]);
	return 0;
}
