// SPDX-License-Identifier: MIT
/*
 * The driver in C over the kernel and the card that are made up: the loop of
 * src/host/loop.ts, with the one timer that drivers/e1000 has while there is
 * traffic. Orders and results are those of null.c.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "e1000.h"
#include "null.h"

/* Most frames each way between two looks at everything else. */
#define BUDGET		64
#define REPORT_MS	1000
#define LONGEST_FRAME	1518	/* with an MTU of 1500, and a VLAN tag */

static u8 bar[BAR_SIZE] __attribute__((aligned(PAGE)));
static u8 memory[DMA_SIZE] __attribute__((aligned(PAGE)));
static u8 port[PORT_SIZE] __attribute__((aligned(PAGE)));
static struct e1000 nic;
static struct r3_wait wait_args = { .argsz = sizeof(wait_args) };
/* When the device is to be reported of, milliseconds; 0 if it is not. */
static double report_at;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int call(u32 request, void *args)
{
	return null_call(request & 0xff, args);
}

static void open_channel(struct channel *ch, const struct r3_channel_info *info, u32 index)
{
	ch->control = (void *)(port + info->control);
	ch->submissions = (void *)(port + info->submissions);
	ch->completions = (void *)(port + info->completions);
	ch->mask = info->size - 1;
	ch->kick = &wait_args.kick;
	ch->kick_bit = 1u << index;
}

static int bring_up(void)
{
	struct r3_info info = { .argsz = sizeof(info) };
	struct r3_dma_alloc dma = { .argsz = sizeof(dma), .length = DMA_SIZE };
	struct r3_port_attach attach = { .argsz = sizeof(attach), .kind = R3_PORT_KIND_NET };
	int err;

	err = call(R3_INFO, &info);
	if (!err)
		err = null_map(info.window[0].mmap_offset, BAR_SIZE, bar);
	if (!err)
		err = null_map(info.port_mmap_offset, PORT_SIZE, port);
	if (!err)
		err = call(R3_DMA_ALLOC, &dma);
	if (!err)
		err = null_map(dma.mmap_offset, DMA_SIZE, memory);
	if (err)
		return err;
	open_channel(&nic.tx_port, &info.channel[TX], TX);
	open_channel(&nic.rx_port, &info.channel[RX], RX);
	nic.regs = (volatile u32 *)bar;
	nic.rx.buffer_size = info.channel[RX].buffer_size;
	nic.rx.longest = LONGEST_FRAME;
	e1000_init(&nic, RING, (struct e1000_desc *)memory, dma.address);
	return call(R3_PORT_ATTACH, &attach);
}

static void report(void)
{
	struct r3_port_report args = { .argsz = sizeof(args), .kind = R3_PORT_KIND_NET };

	args.net.link = 1;
	args.net.speed = 1000;
	args.net.full_duplex = 1;
	call(R3_PORT_REPORT, &args);
}

static void report_while_active(double time)
{
	report();
	report_at = nic.active ? time + REPORT_MS : 0;
	nic.active = false;
}

/* Microseconds until there is something to do by the clock. */
static u32 timeout(double time)
{
	return report_at == 0 ? R3_WAIT_FOREVER : (u32)((report_at - time) * 1e3) + 1;
}

int main(void)
{
	int err = bring_up();

	while (!err) {
		double time = 0;
		bool more;

		if (report_at != 0) {
			time = now();
			if (time >= report_at)
				report_while_active(time);
		}
		more = e1000_poll(&nic, BUDGET);
		wait_args.timeout_us = more ? 0 : timeout(time);
		err = call(R3_WAIT, &wait_args);
		wait_args.kick = 0;
		if (!err && (wait_args.events & R3_EVENT_IRQ)) {
			e1000_interrupt(&nic);
			if (report_at == 0)
				report_at = now() + REPORT_MS;
		}
	}
	if (err == -EKEYREVOKED)
		return 0;
	fprintf(stderr, "reference: %s\n", strerror(-err));
	return 1;
}
