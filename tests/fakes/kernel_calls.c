// SPDX-License-Identifier: MIT
/*
 * libring3.so with the kernel's part made up, so that a host runs where there is
 * no ring3.ko: a grant of one page of registers, memory, one interrupt and a
 * network port. Everything else is libring3's own code.
 */
#include <time.h>

#define r3_call r3_call_of_the_kernel
#define r3_map r3_map_of_a_descriptor
#define r3_receive r3_receive_of_libring3
#include "../../ffi/libring3.c"
#undef r3_call
#undef r3_map
#undef r3_receive

/* The control socket, whose messages end WAIT. */
static int control = -1;

#define PAGE 4096u
#define ENTRIES 64u
#define RING (ENTRIES * (uint32_t)sizeof(struct r3_entry))

EXPORT int r3_call(int fd, uint32_t number, void *args);
EXPORT int r3_map(int fd, uint64_t offset, uint64_t length, void *over);
EXPORT int r3_receive(int fd, void *data, uint32_t size, int32_t *passed, int32_t nonblock);

static void channel(struct r3_channel_info *info, uint32_t index, uint32_t kind)
{
	info->kind = kind;
	info->size = ENTRIES;
	info->control = index * (uint32_t)sizeof(struct r3_channel_control);
	info->submissions = PAGE + index * 2 * RING;
	info->completions = info->submissions + RING;
	info->buffer_size = kind == R3_CHANNEL_NET_RX ? 2048 : 0;
}

static int info(struct r3_info *info)
{
	strcpy(info->address, "0000:00:10.0");
	info->windows = 1;
	info->window[0].length = PAGE;
	info->irqs = 1;
	info->port_kind = R3_PORT_KIND_NET;
	info->port_mmap_length = PAGE + 4 * RING;
	info->channels = 2;
	channel(&info->channel[0], 0, R3_CHANNEL_NET_TX);
	channel(&info->channel[1], 1, R3_CHANNEL_NET_RX);
	return 0;
}

/* Sleeps, and ends early when the supervisor has something to say. */
static int wait(struct r3_wait *wait)
{
	const struct timespec slice = { .tv_nsec = 1000000 };
	char byte;

	for (uint32_t us = 0;; us += 1000) {
		if (recv(control, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) {
			wait->events = R3_EVENT_SIGNAL;
			return 0;
		}
		if (us >= wait->timeout_us)
			break;
		nanosleep(&slice, NULL);
	}
	wait->events = R3_EVENT_TIMEOUT;
	return 0;
}

int r3_call(int fd, uint32_t number, void *args)
{
	(void)fd;
	switch (_IO(R3_IOC, number)) {
	case R3_INFO:
		return info(args);
	case R3_DMA_ALLOC:
		((struct r3_dma_alloc *)args)->address = PAGE;
		return 0;
	case R3_WAIT:
		return wait(args);
	case R3_BUS_MASTER:
	case R3_PORT_ATTACH:
	case R3_PORT_CONFIG:
	case R3_PORT_REPORT:
		return 0;
	}
	return -ENOTTY;
}

/* The memory is as good as any: what is mapped over it would be shared with the kernel. */
int r3_map(int fd, uint64_t offset, uint64_t length, void *over)
{
	(void)fd, (void)offset, (void)length, (void)over;
	return atomic_load(&sealed) == SEALED_MAPPED ? -EPERM : 0;
}

int r3_receive(int fd, void *data, uint32_t size, int32_t *passed, int32_t nonblock)
{
	control = fd;
	return r3_receive_of_libring3(fd, data, size, passed, nonblock);
}
