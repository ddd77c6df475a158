// SPDX-License-Identifier: MIT
/* Attempts on the module with a grant: more than it holds, and longer. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#include "attempt.h"

/* 8254x: interrupt cause set, mask set; manual 13.4.17 to 13.4.20. Any cause does. */
#define ICS (0xc8 / 4)
#define IMS (0xd0 / 4)
#define CAUSE 4

/* A second and a bit of an interrupt that nobody handles, nanoseconds. */
#define STORM 1000000000ll

/* A part of the contract has this number; the next one does not exist. */
#define REGION(id) ((off_t)(id) << 32)

static void *map_part(off_t offset, size_t length)
{
	return mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, granted.fd, offset);
}

void map_grant(void)
{
	struct r3_info *info = &granted.info;

	info->argsz = sizeof(*info);
	if (ioctl(granted.fd, R3_INFO, info))
		broken("asking what is granted");
	granted.bar = map_part((off_t)info->window[0].mmap_offset, info->window[0].length);
	if (granted.bar == MAP_FAILED)
		broken("mapping the window");
	if (info->port_mmap_length) {
		granted.rings = map_part((off_t)info->port_mmap_offset, info->port_mmap_length);
		if (granted.rings == MAP_FAILED)
			broken("mapping the rings");
	}
}

static int mapped(const void *at)
{
	return at == MAP_FAILED ? errno : 0;
}

static int map_other(char **unused)
{
	(void)unused;
	return mapped(map_part(REGION(9), 4096));
}

static int map_past(char **unused)
{
	const struct r3_window_info *window = &granted.info.window[0];

	(void)unused;
	return mapped(map_part((off_t)(window->mmap_offset + window->length), 4096));
}

static int map_longer(char **unused)
{
	const struct r3_window_info *window = &granted.info.window[0];

	(void)unused;
	return mapped(map_part((off_t)window->mmap_offset, window->length + 4096));
}

static int stretch(char **unused)
{
	const size_t length = granted.info.window[0].length;

	(void)unused;
	return mapped(mremap((void *)granted.bar, length, 2 * length, MREMAP_MAYMOVE));
}

static int run_registers(char **unused)
{
	(void)unused;
	return failed(mprotect((void *)granted.bar, 4096, PROT_READ | PROT_EXEC));
}

static int other_vector(char **unused)
{
	struct r3_irq args = { .argsz = sizeof(args), .index = granted.info.irqs };

	(void)unused;
	return failed(ioctl(granted.fd, R3_IRQ, &args));
}

static int over_quota(char **unused)
{
	struct r3_dma_alloc args = {
		.argsz = sizeof(args), .length = granted.info.dma_limit + 4096,
	};

	(void)unused;
	return failed(ioctl(granted.fd, R3_DMA_ALLOC, &args));
}

/* In parts, each below the quota. */
static int quota_in_parts(char **unused)
{
	uint64_t taken;

	(void)unused;
	for (taken = 0; taken <= granted.info.dma_limit; taken += 4096) {
		struct r3_dma_alloc args = { .argsz = sizeof(args), .length = 4096 };

		note("after %llu KiB", (unsigned long long)taken >> 10);
		if (ioctl(granted.fd, R3_DMA_ALLOC, &args))
			return errno;
	}
	return 0;
}

static int pin_memory(char **unused)
{
	static char page[2 * 1024 * 1024] __attribute__((aligned(4096)));
	static struct r3_segment segments[512];
	struct r3_dma_map args = {
		.argsz = sizeof(args), .flags = R3_DMA_TO_DEVICE, .address = (uintptr_t)page,
		.length = sizeof(page), .segment = (uintptr_t)segments, .segments = 512,
	};

	(void)unused;
	return failed(ioctl(granted.fd, R3_DMA_MAP, &args));
}

/* What only the claim's holder may. */
static int speak_as_claim(char **unused)
{
	struct r3_grant_args args = {
		.argsz = sizeof(args), .dma_bits = 64, .dma_limit = 1ull << 40,
	};

	(void)unused;
	return failed(ioctl(granted.fd, R3_GRANT, &args));
}

static int unknown_channel(char **unused)
{
	struct r3_wait args = { .argsz = sizeof(args), .kick = 1u << 7 };

	(void)unused;
	return failed(ioctl(granted.fd, R3_WAIT, &args));
}

static int kernel_address(char **unused)
{
	(void)unused;
	return failed(ioctl(granted.fd, R3_INFO, (void *)0xffffffff81000000));
}

static int call_revoked(char **unused)
{
	struct r3_dma_alloc args = { .argsz = sizeof(args), .length = 4096 };

	(void)unused;
	ask("revoke");
	return failed(ioctl(granted.fd, R3_DMA_ALLOC, &args));
}

static int touch_revoked(char **unused)
{
	(void)unused;
	note("a register reads %u", granted.bar[2]);
	ask("revoke");
	note("a register reads %u", granted.bar[2]);
	return 0;
}

static int rings_revoked(char **unused)
{
	(void)unused;
	*(volatile uint32_t *)granted.rings = 0;
	ask("revoke");
	*(volatile uint32_t *)granted.rings = 1;
	note("a ring was written");
	return 0;
}

/* Another driver has the device by then, with a grant of its own. */
static int call_replaced(char **unused)
{
	struct r3_bus_master args = { .argsz = sizeof(args), .enable = 1 };

	(void)unused;
	ask("replace");
	return failed(ioctl(granted.fd, R3_BUS_MASTER, &args));
}

/* To another process, by the socket over which it came. */
static int pass_grant(char **unused)
{
	union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control = {
		.head = {
			.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		},
	};
	struct iovec part = { .iov_base = "x", .iov_len = 1 };
	struct msghdr message = {
		.msg_iov = &part, .msg_iovlen = 1,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};

	(void)unused;
	memcpy(CMSG_DATA(&control.head), &granted.fd, sizeof(int));
	if (sendmsg(CONTROL_FD, &message, 0) < 0)
		return errno;
	note("sent to the supervisor, who never looks");
	return 0;
}

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000ll + at.tv_nsec;
}

/* The card asserts its interrupt for ever; each WAIT arms it again. */
static int storm(char **unused)
{
	const long long end = now() + STORM;
	unsigned long waits = 0, interrupts = 0;

	(void)unused;
	granted.bar[IMS] = CAUSE;
	granted.bar[ICS] = CAUSE;
	while (now() < end) {
		struct r3_wait args = { .argsz = sizeof(args), .timeout_us = 1000 };

		if (ioctl(granted.fd, R3_WAIT, &args))
			return errno;
		waits++;
		interrupts += args.events & R3_EVENT_IRQ ? 1 : 0;
	}
	note("%lu interrupts in %lu WAITs", interrupts, waits);
	return interrupts > waits ? 0 : EBUSY;
}

/* An interrupt comes, and nobody comes for it. */
static int spin(char **unused)
{
	struct r3_wait args = { .argsz = sizeof(args), .timeout_us = 1000 };

	(void)unused;
	if (ioctl(granted.fd, R3_WAIT, &args))
		return errno;
	granted.bar[IMS] = CAUSE;
	granted.bar[ICS] = CAUSE;
	for (;;) {
		/* Nothing but a look at a register, which is no call. */
		(void)granted.bar[2];
	}
}

const struct attempt grant_attempts[] = {
	{ .name = "map-other", .make = map_other },
	{ .name = "map-past", .make = map_past },
	{ .name = "map-longer", .make = map_longer },
	{ .name = "stretch", .make = stretch },
	{ .name = "run-registers", .make = run_registers },
	{ .name = "other-vector", .make = other_vector },
	{ .name = "over-quota", .make = over_quota },
	{ .name = "quota-in-parts", .make = quota_in_parts },
	{ .name = "pin", .make = pin_memory },
	{ .name = "speak-as-claim", .make = speak_as_claim },
	{ .name = "unknown-channel", .make = unknown_channel },
	{ .name = "kernel-address", .make = kernel_address },
	{ .name = "call-revoked", .make = call_revoked },
	{ .name = "touch-revoked", .make = touch_revoked },
	{ .name = "rings-revoked", .make = rings_revoked },
	{ .name = "call-replaced", .make = call_replaced },
	{ .name = "pass-grant", .make = pass_grant },
	{ .name = "storm", .make = storm },
	{ .name = "spin", .make = spin },
	{ 0 },
};
