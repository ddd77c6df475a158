// SPDX-License-Identifier: MIT
/* Every call of the contract, mostly as it is meant, with one thing wrong now and then. */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"

long call_on(int fd, enum kind kind, unsigned int number, void *arg)
{
	long result = syscall(SYS_ioctl, fd, number, arg);

	return tallied(kind, result < 0 ? -errno : result);
}

/* The same as a program of 32 bits makes it. A kernel that knows none answers with a signal. */
static long call_compat(int fd, enum kind kind, unsigned int number, void *arg)
{
	long result;

	__asm__ volatile("int $0x80" : "=a" (result) : "a" (54), "b" (fd), "c" (number), "d" (arg)
			 : "memory", "r8", "r9", "r10", "r11");
	return tallied(kind, (int)result);
}

/* Spoil one field of a structure: argsz, flags, or whichever. */
static void spoil(struct random *random, void *structure, size_t size)
{
	uint32_t words[2];

	memcpy(words, structure, sizeof(words));
	switch (random_below(random, 6)) {
	case 0:
		words[0] = random_chance(random, 2) ? (uint32_t)random_edge(random) :
			   (uint32_t)size + random_below(random, 64) - 32;
		memcpy(structure, words, sizeof(words));
		break;
	case 1:
		words[1] = random_chance(random, 4) ? (uint32_t)random_next(random) :
			   1u << random_below(random, 32);
		memcpy(structure, words, sizeof(words));
		break;
	default: {
		uint64_t value = random_edge(random);
		size_t width = random_chance(random, 2) ? 4 : 8;
		size_t at = random_below(random, (uint32_t)(size / 4)) * 4;

		if (at + width > size)
			at = size - width;
		memcpy((char *)structure + at, &value, width);
	}
	}
}

/* Make a call on any descriptor, from memory that may not stay. Copies back what came out. */
static long call(struct random *random, enum kind kind, unsigned int number, void *structure,
		 size_t size)
{
	void *at = structure;
	long result;

	if (random_chance(random, 4))
		spoil(random, structure, size);
	if (random_chance(random, 3)) {
		at = arena_at(random, size);
		memcpy(at, structure, size);
	} else if (random_chance(random, 40)) {
		at = (void *)(uintptr_t)random_edge(random);
	}
	if ((uintptr_t)at >> 32 == 0 && random_chance(random, 6))
		result = call_compat(any_file(random), kind, number, at);
	else
		result = call_on(any_file(random), kind, number, at);
	if (at != structure && result == 0)
		memcpy(structure, at, size);
	return result;
}

void do_info(struct random *random)
{
	struct r3_info info = { .argsz = sizeof(info) };

	call(random, DO_INFO, R3_INFO, &info, sizeof(info));
}

void do_irq(struct random *random)
{
	struct r3_irq irq = { .argsz = sizeof(irq) };
	long fd = call(random, DO_IRQ, R3_IRQ, &irq, sizeof(irq));

	if (fd >= 0) {
		int old = atomic_exchange(&me.irq[random_below(random, FILES)], (int)fd);

		if (old >= 0)
			close(old);
	}
}

void do_dma_alloc(struct random *random)
{
	static const uint64_t lengths[] = {
		1, 4096, 4097, 8192, 65536, 1 << 20, 0xfffff000, 0xffffffff,
	};
	struct r3_dma_alloc alloc = {
		.argsz = sizeof(alloc), .length = lengths[random_below(random, COUNT(lengths))],
	};

	if (call(random, DO_DMA_ALLOC, R3_DMA_ALLOC, &alloc, sizeof(alloc)) == 0) {
		remember(me.offset, random, alloc.mmap_offset);
		remember(me.bus, random, alloc.address);
	}
}

/* Memory to pin: the process's own, of several kinds, or what is none. */
static uint64_t pinned(struct random *random)
{
	size_t length;
	uint8_t *map = any_map(random, &length);

	switch (random_below(random, 8)) {
	case 0:
	case 1:
	case 2:
		return (uintptr_t)me.arena + random_below(random, ARENA * PAGE);
	case 3:
	case 4:
		return (uintptr_t)me.huge + random_below(random, 4 << 20);
	case 5:
		return (uintptr_t)(map ? map : me.rings);
	case 6:
		return (uintptr_t)&pinned;
	default:
		return random_edge(random);
	}
}

void do_dma_map(struct random *random)
{
	static const uint64_t lengths[] = {
		1, 2, 4095, 4096, 4097, 16384, 65536, 100000, 1 << 20, 4 << 20,
	};
	struct r3_segment segments[64];
	struct r3_dma_map map = {
		.argsz = sizeof(map), .flags = 1 + random_below(random, 3),
		.address = pinned(random),
		.length = lengths[random_below(random, COUNT(lengths))],
		.segment = (uintptr_t)segments,
		.segments = random_chance(random, 4) ? random_below(random, 4) : COUNT(segments),
	};

	if (random_chance(random, 5))
		map.segment = (uintptr_t)arena_at(random, sizeof(segments));
	if (call(random, DO_DMA_MAP, R3_DMA_MAP, &map, sizeof(map)) == 0) {
		remember(me.handle, random, map.handle);
		if (map.segment == (uintptr_t)segments)
			remember(me.bus, random, segments[0].address);
	}
}

void do_dma_unmap(struct random *random)
{
	struct r3_dma_unmap unmap = {
		.argsz = sizeof(unmap), .handle = (uint32_t)any_of(me.handle, random),
	};

	call(random, DO_DMA_UNMAP, R3_DMA_UNMAP, &unmap, sizeof(unmap));
}

void do_bus_master(struct random *random)
{
	struct r3_bus_master master = {
		.argsz = sizeof(master), .enable = !random_chance(random, 8),
	};

	call(random, DO_BUS_MASTER, R3_BUS_MASTER, &master, sizeof(master));
}

void do_attach(struct random *random)
{
	struct r3_port_attach attach = {
		.argsz = sizeof(attach), .kind = R3_PORT_KIND_NET,
		.net = {
			.mac = { 2, 0, 0, 0, 0, 1 }, .max_mtu = 68 + random_below(random, 16000),
			.features = random_below(random, 16),
			.max_segments = 1 + random_below(random, 18),
		},
	};

	if (disk.sectors) {
		attach.kind = R3_PORT_KIND_BLOCK;
		attach.block = disk;
		/* Of the numbers, which come before the names. */
		if (random_chance(random, 2)) {
			uint32_t *numbers = (uint32_t *)&attach.block;

			numbers[random_below(random, offsetof(struct r3_block_attach, model) / 4)] =
				(uint32_t)random_edge(random);
		}
	}
	call(random, DO_PORT_ATTACH, R3_PORT_ATTACH, &attach, sizeof(attach));
}

void do_config(struct random *random)
{
	struct r3_port_config config = { .argsz = sizeof(config) };

	call(random, DO_PORT_CONFIG, R3_PORT_CONFIG, &config, sizeof(config));
}

void do_report(struct random *random)
{
	struct r3_port_report report = {
		.argsz = sizeof(report), .kind = R3_PORT_KIND_NET,
		.net = { .link = !random_chance(random, 4),
			 .speed = (uint32_t)random_edge(random), .full_duplex = 1,
			 .rx_missed = random_edge(random), .collisions = random_edge(random) },
	};

	call(random, DO_PORT_REPORT, R3_PORT_REPORT, &report, sizeof(report));
}

void do_wait(struct random *random)
{
	static const uint32_t timeouts[] = { 0, 0, 0, 1, 100, 1000, 5000, R3_WAIT_FOREVER };
	struct r3_wait wait = {
		.argsz = sizeof(wait), .kick = random_below(random, 1u << me.info.channels),
		.timeout_us = timeouts[random_below(random, COUNT(timeouts))],
	};

	call(random, DO_WAIT, R3_WAIT, &wait, sizeof(wait));
}

/* An access to a window; most of those of the windows that there are have a port. */
static struct r3_pio_access access_any(struct random *random)
{
	/*
	 * Of a disk: recalibrate, read and write by ports and by DMA, parameters, flush,
	 * identify, features.
	 */
	static const uint8_t commands[] = { 0x10, 0x20, 0x30, 0xc8, 0xca, 0x91, 0xe7, 0xec, 0xef };
	uint32_t window = random_below(random, me.info.windows ? me.info.windows : 1);
	uint64_t length = me.info.windows ? me.info.window[window].length : 1;
	struct r3_pio_access access = {
		.window = (uint16_t)window, .width = (uint8_t)(1u << random_below(random, 3)),
		.flags = random_chance(random, 2) ? R3_PIO_WRITE : 0,
	};

	while (access.width > length)
		access.width /= 2;
	access.offset = random_below(random, (uint32_t)length) & ~(access.width - 1u);
	access.value = random_chance(random, 2) ? (uint32_t)any_of(me.bus, random) :
						  (uint32_t)random_edge(random);
	if (window % 2 == 0 && length == 8 && access.offset == 7)
		access.value = commands[random_below(random, COUNT(commands))];
	if (access.width > 1 && random_chance(random, 3)) {
		access.flags |= R3_PIO_REPEAT;
		access.value = 1 + random_below(random, 4096u / access.width);
		access.buffer = random_chance(random, 8) ? random_edge(random) :
							   (uintptr_t)arena_at(random, 4096);
	}
	return access;
}

void do_pio(struct random *random)
{
	struct r3_pio_access accesses[R3_MAX_PIO];
	struct r3_pio pio = {
		.argsz = sizeof(pio),
		.count = 1 + random_below(random, random_chance(random, 4) ? R3_MAX_PIO : 6),
		.access = (uintptr_t)accesses,
	};
	uint32_t i;

	for (i = 0; i < pio.count; i++) {
		accesses[i] = access_any(random);
		if (random_chance(random, 64))
			((uint8_t *)&accesses[i])[random_below(random, sizeof(accesses[i]))] =
				(uint8_t)random_edge(random);
	}
	if (random_chance(random, 4)) {
		void *at = arena_at(random, pio.count * sizeof(accesses[0]));

		memcpy(at, accesses, pio.count * sizeof(accesses[0]));
		pio.access = (uintptr_t)at;
	}
	call(random, DO_PIO, R3_PIO, &pio, sizeof(pio));
}

/* Calls of other objects, of none, and with sizes and directions in their numbers. */
void do_unknown(struct random *random)
{
	unsigned int number = random_chance(random, 2) ? _IO(R3_IOC, random_below(random, 0x40)) :
			      (unsigned int)random_next(random);

	/* Those that have meaning here are made elsewhere, with structures. */
	if (number >= R3_INFO && number <= R3_PIO)
		number += 0x10;
	call_on(any_file(random), DO_unknown, number, arena_at(random, 512));
}
