// SPDX-License-Identifier: MIT
/* The port's kernel side, as kernel-module/channel.c and net.c have it, but for the network. */
#include <string.h>

#include "null.h"

#define TX_BIT (1u << TX)
#define RX_BIT (1u << RX)

struct channel {
	struct r3_channel_control *control;
	struct r3_entry *submissions, *completions;
	u32 submitted, reaped;
};

/* Buffers by number, first in, first out. */
struct queue {
	u32 in, out;
	u16 buffer[BUFFERS];
};

static struct channel channel[2];
/* Empty; with the card, in the order it filled them; received and to be sent; given to be sent. */
static struct queue idle, filled, received, sending;
/* Of those being sent, how many the card has sent. */
static u32 sent;
static u32 total_received;
/* Token of each buffer: its number, and above it how often it has been used. */
static u32 tokens[BUFFERS];

static void put(struct queue *q, u32 buffer)
{
	q->buffer[q->in++ & (BUFFERS - 1)] = (u16)buffer;
}

static u32 take(struct queue *q)
{
	return q->buffer[q->out++ & (BUFFERS - 1)];
}

void port_info(struct r3_channel_info *info)
{
	static const u32 kind[] = { R3_CHANNEL_NET_TX, R3_CHANNEL_NET_RX };
	const u32 ring = RING * sizeof(struct r3_entry);

	for (u32 i = TX; i <= RX; i++) {
		info[i].kind = kind[i];
		info[i].size = RING;
		info[i].control = i * (u32)sizeof(struct r3_channel_control);
		info[i].submissions = PAGE + i * 2 * ring;
		info[i].completions = info[i].submissions + ring;
		info[i].buffer_size = i == RX ? BUFFER_SIZE : 0;
	}
}

void port_map(void *memory)
{
	struct r3_channel_info info[2];

	port_info(info);
	for (u32 i = TX; i <= RX; i++) {
		channel[i].control = (void *)((u8 *)memory + info[i].control);
		channel[i].submissions = (void *)((u8 *)memory + info[i].submissions);
		channel[i].completions = (void *)((u8 *)memory + info[i].completions);
	}
	for (u32 i = 0; i < BUFFERS; i++)
		put(&idle, i);
}

static void submit(struct channel *ch, u32 buffer, u32 length_flags)
{
	const u64 address = BUFFER_BUS + (u64)buffer * BUFFER_SIZE;
	struct r3_entry *entry = &ch->submissions[ch->submitted++ & (RING - 1)];

	tokens[buffer] = (tokens[buffer] + 0x10000) & 0xffff0000;
	tokens[buffer] |= buffer;
	entry->address_low = (u32)address;
	entry->address_high = (u32)(address >> 32);
	entry->length_flags = length_flags;
	entry->token = tokens[buffer];
}

static u32 room(const struct channel *ch)
{
	return RING - (ch->submitted - ch->reaped);
}

static void show(struct channel *ch)
{
	/* Submissions are visible before their count. */
	smp_store_release(&ch->control->submitted, ch->submitted);
}

void port_refill(void)
{
	while (room(&channel[RX]) && idle.in != idle.out)
		submit(&channel[RX], take(&idle), BUFFER_SIZE);
	show(&channel[RX]);
}

static void send(u32 buffer)
{
	if (!room(&channel[TX]))
		fail("no room to send: frames are not completed");
	put(&sending, buffer);
	submit(&channel[TX], buffer, FRAME | R3_ENTRY_LAST);
}

void port_send(u32 frames)
{
	while (frames--)
		send(take(&idle));
	show(&channel[TX]);
}

u32 port_forward(void)
{
	const u32 frames = received.in - received.out;

	while (received.in != received.out)
		send(take(&received));
	show(&channel[TX]);
	return frames;
}

static u32 number_of(u64 address)
{
	const u64 offset = address - BUFFER_BUS;

	if (offset >= (u64)BUFFERS * BUFFER_SIZE || offset % BUFFER_SIZE)
		fail("address %#llx in a descriptor", (unsigned long long)address);
	return (u32)(offset / BUFFER_SIZE);
}

void port_filled(u64 address)
{
	put(&filled, number_of(address));
}

void port_sent(u64 address)
{
	if (number_of(address) != sending.buffer[(sending.out + sent) & (BUFFERS - 1)])
		fail("frames leave in another order than they were submitted in");
	sent++;
}

/* The next completion must be of this buffer. */
static void reap(struct channel *ch, u32 buffer, u32 length_flags)
{
	const struct r3_entry *entry = &ch->completions[ch->reaped++ & (RING - 1)];

	if (entry->token != tokens[buffer] || entry->length_flags != length_flags)
		fail("completion %#x of token %#x, not %#x of %#x", entry->length_flags,
		     entry->token, length_flags, tokens[buffer]);
}

static u32 completed(struct channel *ch, bool kicked)
{
	/* Pairs with channel_publish(): completions are visible after this. */
	const u32 count = smp_load_acquire(&ch->control->completed) - ch->reaped;

	if (count > RING)
		fail("%u completions in a ring of %u", count, RING);
	if (count && !kicked)
		fail("completions without a kick");
	return count;
}

void port_reap(u32 kick, bool forward)
{
	for (u32 left = completed(&channel[RX], kick & RX_BIT); left; left--) {
		u32 buffer;

		if (filled.in == filled.out)
			fail("a completion of a buffer that holds nothing");
		buffer = take(&filled);
		reap(&channel[RX], buffer, FRAME | R3_ENTRY_LAST | R3_ENTRY_CSUM);
		put(forward ? &received : &idle, buffer);
		total_received++;
	}
	for (u32 left = completed(&channel[TX], kick & TX_BIT); left; left--) {
		u32 buffer;

		if (!sent)
			fail("a completion of a frame that was not sent");
		sent--;
		buffer = take(&sending);
		reap(&channel[TX], buffer, 0);
		put(&idle, buffer);
	}
}

u32 port_received(void)
{
	return total_received;
}
