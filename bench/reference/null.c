// SPDX-License-Identifier: MIT
/*
 * The calls of a grant. WAIT is where time passes: it reads an order from
 * standard input, a line such as `receive 32 300 50000 9` (what, frames in a
 * batch, milliseconds to warm up, batches to tell the time of, times to count
 * the instructions), has the card and the kernel make one batch after the
 * other, and prints what the driver took for them. R3_EVENT_SIGNAL tells the
 * driver's process when the timed part begins and ends; a pair comes amid the
 * warming up, for what it does at them is to be compiled by then as well. With
 * the end of the input the grant ends.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "null.h"

/* WAITs in which a batch must end. */
#define PATIENCE 1000
/*
 * Instructions are counted within so many milliseconds of the driver's report of
 * every second: it takes microseconds to count one, so that it would else be
 * time for the next report, which is no part of moving frames, all the time.
 */
#define REPORT_FREE_MS 300

static struct {
	char path[16];
	bool receive, send;
	u32 batch;
	double cold_until, warm_until;
	u32 timed, counted;
} order;

enum phase { IDLE, COLD, REHEARSAL, WARM, TIMED, COUNTED };

static enum phase phase;
/* Batches of the phase that are done; what the driver took for the present one, and WAITs in it. */
static u32 done, waits;
static bool running;
static u64 amount;
/* Instructions are counted from a WAIT to the next, of each in a batch in turn: which it is now. */
static u32 counted_wait, waits_of_batch;
static double instructions;
static bool counting;
static double reported_at;
/* Frames received and sent when the present one is done. */
static u32 will_receive, will_send;
static struct { double p50, p99, p999, max, mean, typical; } times;

static bool read_order(void)
{
	char line[128];
	u32 length = 0, warm;
	ssize_t got;

	do {
		got = read(STDIN_FILENO, line + length, 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
	} while (line[length] != '\n' && ++length < sizeof(line) - 1);
	line[length] = 0;
	if (sscanf(line, "%15s %u %u %u %u", order.path, &order.batch, &warm, &order.timed,
		   &order.counted) != 5)
		fail("cannot read the order \"%s\"", line);
	order.receive = strcmp(order.path, "transmit") != 0;
	order.send = strcmp(order.path, "receive") != 0;
	if (order.receive && order.send && strcmp(order.path, "forward") != 0)
		fail("there is no path \"%s\"", order.path);
	/* A batch to send comes while the one before has not been completed. */
	if (!order.batch || order.batch > RING / 2)
		fail("a batch has 1 to %u frames", RING / 2);
	if (!order.timed || order.timed > MAX_BATCHES || order.counted > MAX_BATCHES)
		fail("1 to %u batches can be measured", MAX_BATCHES);
	order.cold_until = measure_now() + warm / 2;
	order.warm_until = order.cold_until + warm / 2;
	return true;
}

static void next_batch(void)
{
	u32 causes = 0;

	if (order.send) {
		/* Forwarded is what the batch before received: with the first, nothing. */
		if (!order.receive)
			port_send(order.batch);
		will_send += order.receive ? port_forward() : order.batch;
		causes |= CAUSE_TXDW;
	}
	if (order.receive) {
		card_receive(order.batch);
		will_receive += order.batch;
		causes |= CAUSE_RXT0;
	}
	port_refill();
	card_interrupt(causes);
	running = true;
	amount = 0;
	waits = 0;
}

static void keep_times(void)
{
	times.mean = measure_ticks_to_ns(measure_mean(done, 1));
	times.typical = measure_ticks_to_ns(measure_mean(done, 0.99));
	times.p50 = measure_ticks_to_ns(measure_of(done, 0.5));
	times.p99 = measure_ticks_to_ns(measure_of(done, 0.99));
	times.p999 = measure_ticks_to_ns(measure_of(done, 0.999));
	times.max = measure_ticks_to_ns(measure_of(done, 1));
}

static void print_result(void)
{
	printf("{\"path\":\"%s\",\"batch\":%u,\"batches\":%u,\"p50\":%.1f,\"p99\":%.1f,"
	       "\"p999\":%.1f,\"max\":%.1f,\"mean\":%.1f,\"typical\":%.1f,\"instructions\":%.0f}\n",
	       order.path, order.batch, order.timed, times.p50, times.p99, times.p999, times.max,
	       times.mean, times.typical, instructions);
}

/* The phase after one that is over, with the events that tell of it. */
static u32 next_phase(void)
{
	switch (phase) {
	case WARM:
		phase = TIMED;
		done = 0;
		printf("{\"begin\":true}\n");
		return R3_EVENT_SIGNAL;
	case COLD:
		phase = REHEARSAL;
		return R3_EVENT_SIGNAL;
	case REHEARSAL:
		phase = WARM;
		return R3_EVENT_SIGNAL;
	case TIMED:
		keep_times();
		waits_of_batch = waits + 1;
		phase = COUNTED;
		done = 0;
		counted_wait = 0;
		instructions = 0;
		return R3_EVENT_SIGNAL;
	default:
		print_result();
		phase = IDLE;
		return 0;
	}
}

static bool phase_is_over(void)
{
	switch (phase) {
	case COLD:
		return measure_now() >= order.cold_until;
	case WARM:
		return measure_now() >= order.warm_until;
	case TIMED:
		return done == order.timed;
	case COUNTED:
		return !order.counted || counted_wait >= waits_of_batch;
	default:
		return true;
	}
}

/* A count of the instructions from one WAIT to the next; the median is taken of each. */
static void count(u64 steps)
{
	measure_record(done++, steps);
	if (done < order.counted)
		return;
	instructions += measure_of(done, 0.5);
	counted_wait++;
	done = 0;
}

/* Everything between two runs of the driver. 0, or -EKEYREVOKED with the end of the orders. */
static int pass_time(struct r3_wait *wait)
{
	const u32 sent = card_send();

	wait->events = 0;
	wait->irqs = 0;
	port_reap(wait->kick, order.receive && order.send);
	if (running) {
		if (port_received() != will_receive || sent != will_send) {
			if (++waits == PATIENCE)
				fail("%s: a batch of %u is not done after %u calls", order.path,
				     order.batch, PATIENCE);
			return 0;
		}
		running = false;
		if (phase == TIMED)
			measure_record(done++, amount);
		else if (phase == COUNTED)
			waits_of_batch = min(waits_of_batch, waits + 1);
		if (phase_is_over()) {
			wait->events = next_phase();
			if (wait->events)
				return 0;
		}
	}
	/* The first call looks only, before the driver has had a chance to give buffers. */
	if (!card_has_buffers())
		return 0;
	if (phase == IDLE) {
		if (!read_order())
			return -EKEYREVOKED;
		phase = COLD;
	}
	next_batch();
	wait->events = R3_EVENT_IRQ | (order.send ? R3_EVENT_PORT : 0);
	wait->irqs = 1;
	return 0;
}

static int wait_call(struct r3_wait *wait)
{
	const u64 measured = measure_end();
	int err;

	if (counting)
		count(measured);
	else
		amount += measured;
	err = pass_time(wait);
	counting = running && phase == COUNTED && order.counted && waits == counted_wait &&
		   measure_now() < reported_at + REPORT_FREE_MS;
	measure_instructions(counting);
	measure_begin();
	return err;
}

static int info_call(struct r3_info *info)
{
	strcpy(info->address, "0000:00:10.0");
	info->vendor = 0x8086;
	info->device = 0x100f;
	info->windows = 1;
	info->window[0].length = BAR_SIZE;
	info->window[0].mmap_offset = BAR_OFFSET;
	info->irqs = 1;
	info->port_kind = R3_PORT_KIND_NET;
	info->channels = 2;
	info->dma_limit = DMA_SIZE;
	info->port_mmap_offset = PORT_OFFSET;
	info->port_mmap_length = PORT_SIZE;
	port_info(info->channel);
	return 0;
}

static int config_call(struct r3_port_config *config)
{
	config->kind = R3_PORT_KIND_NET;
	config->net.flags = R3_NET_UP;
	config->net.mtu = 1500;
	config->net.features = R3_NET_TX_CSUM | R3_NET_RX_CSUM;
	return 0;
}

int null_call(u32 number, void *args)
{
	struct r3_dma_alloc *dma = args;

	switch (_IO(R3_IOC, number)) {
	case R3_WAIT:
		return wait_call(args);
	case R3_INFO:
		return info_call(args);
	case R3_DMA_ALLOC:
		if (dma->length != DMA_SIZE)
			return -ENOMEM;
		dma->address = DMA_BUS;
		dma->mmap_offset = DMA_OFFSET;
		return 0;
	case R3_PORT_ATTACH:
		card_attach();
		port_refill();
		return 0;
	case R3_PORT_CONFIG:
		return config_call(args);
	case R3_PORT_REPORT:
		reported_at = measure_now();
		return 0;
	case R3_BUS_MASTER:
		return 0;
	}
	return -ENOTTY;
}

/* The caller's memory is taken as it is: it keeps it as long as it would keep a mapping. */
int null_map(u64 offset, u64 length, void *over)
{
	memset(over, 0, length);
	switch (offset) {
	case BAR_OFFSET:
		card_map(over, NULL);
		card_power_on();
		return 0;
	case DMA_OFFSET:
		card_map(NULL, over);
		return 0;
	case PORT_OFFSET:
		port_map(over);
		return 0;
	}
	return -EINVAL;
}
