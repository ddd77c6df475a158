// SPDX-License-Identifier: MIT
/* Attempts on the kernel through the rings that both share: lies about what was done. */
#include <string.h>
#include <sys/ioctl.h>

#include "attempt.h"

#define TX 0
#define RX 1

static volatile struct r3_channel_control *control(int channel)
{
	const struct r3_channel_info *info = &granted.info.channel[channel];

	return (volatile struct r3_channel_control *)(granted.rings + info->control);
}

static struct r3_entry *entry(uint32_t ring, uint32_t at, int channel)
{
	const uint32_t mask = granted.info.channel[channel].size - 1;

	return (struct r3_entry *)(granted.rings + ring) + (at & mask);
}

static int attach(void)
{
	struct r3_port_attach args = {
		.argsz = sizeof(args), .kind = R3_PORT_KIND_NET,
		.net = { .mac = { 2, 0, 0, 0, 0, 0x66 }, .max_mtu = 1500, .max_segments = 18 },
	};

	return failed(ioctl(granted.fd, R3_PORT_ATTACH, &args));
}

/* Attached, with receive buffers to complete. */
static void serve(void)
{
	struct r3_port_report args = {
		.argsz = sizeof(args), .kind = R3_PORT_KIND_NET,
		.net = { .link = 1, .speed = 1000, .full_duplex = 1 },
	};

	errno = attach();
	if (errno || ioctl(granted.fd, R3_PORT_REPORT, &args))
		broken("attaching");
	ask("up");
	if (!control(RX)->submitted) {
		errno = ENOBUFS;
		broken("finding a receive buffer");
	}
}

static uint32_t posted(uint32_t at)
{
	return entry(granted.info.channel[RX].submissions, at, RX)->token;
}

static void complete(int channel, uint32_t length_flags, uint32_t token)
{
	const uint32_t at = control(channel)->completed;
	struct r3_entry *done = entry(granted.info.channel[channel].completions, at, channel);

	*done = (struct r3_entry){ .length_flags = length_flags, .token = token };
	__atomic_store_n(&control(channel)->completed, at + 1, __ATOMIC_RELEASE);
}

/* Has the kernel look; then waits until it has done something about it. */
static int kick(void)
{
	struct r3_wait args = { .argsz = sizeof(args), .kick = 1u << TX | 1u << RX };

	for (int tries = 0; tries < 200; tries++) {
		if (ioctl(granted.fd, R3_WAIT, &args))
			return errno;
		usleep(5000);
	}
	return 0;
}

static int never_asked(char **unused)
{
	(void)unused;
	complete(TX, 0, 0);
	return kick();
}

static int id_past_all(char **unused)
{
	(void)unused;
	complete(TX, 0, 0xffff);
	return kick();
}

static int other_generation(char **unused)
{
	(void)unused;
	complete(RX, 100 | R3_ENTRY_LAST, posted(0) ^ 0x10000);
	return kick();
}

static int twice(char **unused)
{
	(void)unused;
	complete(RX, 100 | R3_ENTRY_LAST, posted(0));
	complete(RX, 100 | R3_ENTRY_LAST, posted(0));
	return kick();
}

static int too_long(char **unused)
{
	(void)unused;
	complete(RX, (granted.info.channel[RX].buffer_size + 1) | R3_ENTRY_LAST, posted(0));
	return kick();
}

static int longest(char **unused)
{
	(void)unused;
	complete(RX, R3_ENTRY_LENGTH | R3_ENTRY_LAST, posted(0));
	return kick();
}

static int index_jumps(char **unused)
{
	(void)unused;
	control(RX)->completed = granted.info.channel[RX].size + 1;
	return kick();
}

static int index_back(char **unused)
{
	(void)unused;
	control(TX)->completed = 0xffffffff;
	return kick();
}

static int attach_twice(char **unused)
{
	(void)unused;
	return attach();
}

/* The kernel must not read again what it wrote there: garbage in all, from the first word on. */
static int garbage(char **unused)
{
	const struct r3_channel_info *tx = &granted.info.channel[TX];
	const struct r3_channel_info *rx = &granted.info.channel[RX];

	(void)unused;
	memset(granted.rings + tx->submissions, 0xa5, tx->size * sizeof(struct r3_entry));
	memset(granted.rings + rx->submissions, 0xa5, rx->size * sizeof(struct r3_entry));
	memset(granted.rings + tx->completions, 0xa5, tx->size * sizeof(struct r3_entry));
	memset(granted.rings + rx->completions, 0xa5, rx->size * sizeof(struct r3_entry));
	for (int channel = TX; channel <= RX; channel++) {
		control(channel)->submitted = 0xa5a5a5a5;
		control(channel)->seen = 0xa5a5a5a5;
		control(channel)->reaped = 0xa5a5a5a5;
		control(channel)->completed = 0xa5a5a5a5;
	}
	return kick();
}

const struct attempt ring_attempts[] = {
	{ .name = "never-asked", .make = never_asked, .prepare = serve },
	{ .name = "id-past-all", .make = id_past_all, .prepare = serve },
	{ .name = "other-generation", .make = other_generation, .prepare = serve },
	{ .name = "twice", .make = twice, .prepare = serve },
	{ .name = "too-long", .make = too_long, .prepare = serve },
	{ .name = "longest", .make = longest, .prepare = serve },
	{ .name = "index-jumps", .make = index_jumps, .prepare = serve },
	{ .name = "index-back", .make = index_back, .prepare = serve },
	{ .name = "attach-twice", .make = attach_twice, .prepare = serve },
	{ .name = "garbage", .make = garbage, .prepare = serve },
	{ 0 },
};
