// SPDX-License-Identifier: MIT
/*
 * The rings of the port: served so that traffic flows, and lied about. One
 * thread serves at a time; all may lie.
 */
#include "fuzz.h"

#define HELD	512

/* The driver's side of a channel. */
struct side {
	uint32_t seen;			/* submissions taken */
	uint32_t completed;		/* completions written */
	uint32_t held;			/* tokens taken and not completed */
	uint32_t token[HELD];
	uint32_t length[HELD];		/* that a completion has, of a request */
};

static struct side sides[R3_MAX_CHANNELS];
static atomic_flag serving = ATOMIC_FLAG_INIT;
static _Thread_local bool serves;	/* this thread holds it */

static uint32_t kind_of(uint32_t channel)
{
	return me.info.channel[channel].kind;
}

static volatile uint32_t *word(uint32_t offset)
{
	return (volatile uint32_t *)(me.rings + offset);
}

static volatile uint32_t *control(uint32_t channel, size_t field)
{
	return word(me.info.channel[channel].control + (uint32_t)field);
}

#define SUBMITTED offsetof(struct r3_channel_control, submitted)
#define SEEN offsetof(struct r3_channel_control, seen)
#define COMPLETED offsetof(struct r3_channel_control, completed)

/* Take what the kernel has submitted; buffers go to the device while it has room. */
static void take(struct random *random, uint32_t channel)
{
	const struct r3_channel_info *info = &me.info.channel[channel];
	struct side *side = &sides[channel];
	uint32_t submitted = __atomic_load_n(control(channel, SUBMITTED), __ATOMIC_ACQUIRE);
	uint32_t kind = kind_of(channel), length = 0;

	while (side->seen != submitted && side->held < HELD) {
		volatile uint32_t *entry = word(info->submissions +
						(side->seen++ & (info->size - 1)) * 16);
		uint64_t address = entry[0] | (uint64_t)entry[1] << 32;
		uint32_t flags = entry[2], token = entry[3];

		if (random_chance(random, 16))
			remember(me.bus, random, address);
		if (kind == R3_CHANNEL_BLOCK && flags & R3_ENTRY_CONTEXT)
			length = flags & R3_ENTRY_LENGTH;
		if (kind != R3_CHANNEL_NET_RX && !(flags & R3_ENTRY_CONTEXT) &&
		    random_chance(random, 3))
			device_send(address, flags & R3_ENTRY_LENGTH);
		if (kind == R3_CHANNEL_NET_RX && device_give(address, token))
			continue;
		if (kind == R3_CHANNEL_NET_RX || flags & R3_ENTRY_LAST) {
			side->length[side->held] = length;
			side->token[side->held++] = token;
		}
	}
	*control(channel, SEEN) = side->seen;
}

static void complete(uint32_t channel, uint32_t token, uint32_t length_flags)
{
	const struct r3_channel_info *info = &me.info.channel[channel];
	volatile uint32_t *entry = word(info->completions +
					(sides[channel].completed++ & (info->size - 1)) * 16);

	entry[2] = length_flags;
	entry[3] = token;
	tallied(kind_of(channel) == R3_CHANNEL_BLOCK ? DO_request :
		kind_of(channel) == R3_CHANNEL_NET_TX ? DO_tx_completion : DO_rx_completion, 0);
}

/* Any of the tokens held, and its length. */
static uint32_t release(struct random *random, struct side *side, uint32_t *length)
{
	uint32_t at = random_below(random, side->held);
	uint32_t token = side->token[at];

	*length = side->length[at];
	side->token[at] = side->token[--side->held];
	side->length[at] = side->length[side->held];
	return token;
}

/* A length and flags that no kernel can tell from the truth. */
static uint32_t plausible(struct random *random)
{
	static const uint32_t lengths[] = {
		0, 1, 13, 14, 15, 60, 255, 256, 257, 1514, 2048, 4095, 4096,
	};

	return lengths[random_below(random, COUNT(lengths))] |
	       (random_chance(random, 4) ? 0 : R3_ENTRY_LAST) |
	       (random_chance(random, 12) ? R3_ENTRY_ERROR : 0) |
	       (random_chance(random, 3) ? R3_ENTRY_CSUM : 0) |
	       (random_chance(random, 8) ? (uint32_t)random_next(random) & 0x07f00000 : 0);
}

void serve_no_more(void)
{
	if (!serves)
		return;
	serves = false;
	atomic_flag_clear(&serving);
}

/* The end of what has been taken, as a driver would tell it that has done something or nothing. */
static uint32_t ending(struct random *random, uint32_t kind, uint32_t length)
{
	switch (kind) {
	case R3_CHANNEL_NET_TX:
		return random_chance(random, 30) ? R3_ENTRY_ERROR : 0;
	case R3_CHANNEL_NET_RX:
		return plausible(random);
	default:
		return random_chance(random, 30) ?
			       R3_ENTRY_ERROR | random_below(random, R3_BLOCK_E_GONE + 1) : length;
	}
}

/* What a driver's poll does. */
void do_serve(struct random *random)
{
	struct r3_wait wait = {
		.argsz = sizeof(wait), .kick = (1u << me.info.channels) - 1,
		.timeout_us = random_below(random, 2) * 500,
	};
	uint32_t token, length, i;

	if (!me.rings || atomic_flag_test_and_set(&serving))
		return;
	serves = true;
	for (i = 0; i < me.info.channels; i++) {
		take(random, i);
		while (kind_of(i) == R3_CHANNEL_NET_RX && device_take(&token, &length))
			complete(i, token, length | R3_ENTRY_LAST);
		while (sides[i].held && !random_chance(random, 24)) {
			token = release(random, &sides[i], &length);
			complete(i, token, ending(random, kind_of(i), length));
		}
		__atomic_store_n(control(i, COMPLETED), sides[i].completed, __ATOMIC_RELEASE);
	}
	serve_no_more();
	call_on(me.grant, DO_WAIT, R3_WAIT, &wait);
}

/* A lie in shared memory, without regard to what the serving thread does there. */
void do_lie(struct random *random)
{
	uint32_t channel = me.info.channels ? random_below(random, me.info.channels) : 0;
	const struct r3_channel_info *info = &me.info.channel[channel];
	volatile uint32_t *completion;

	if (!me.rings || !me.info.channels)
		return;
	tallied(DO_ring_lie, 0);
	completion = word(info->completions + random_below(random, info->size) * 16);
	switch (random_below(random, 8)) {
	case 0: /* more, or less, than there can be */
		*control(channel, COMPLETED) += (uint32_t)random_edge(random);
		break;
	case 1: /* nothing new, or all of the ring */
		*control(channel, COMPLETED) += random_chance(random, 2) ? info->size : 1;
		break;
	case 2:
		*control(channel, SEEN) = (uint32_t)random_edge(random);
		break;
	case 3: /* the kernel's own */
		*control(channel, random_chance(random, 2) ?
					  SUBMITTED : offsetof(struct r3_channel_control, reaped)) =
			(uint32_t)random_edge(random);
		break;
	case 4: /* an id with another generation, or another's */
		completion[3] ^= random_chance(random, 2) ? 0x10000 :
							    1u << random_below(random, 32);
		break;
	case 5:
		completion[2] = (uint32_t)random_edge(random);
		break;
	case 6:
		completion[3] = (uint32_t)random_edge(random);
		break;
	default: /* anywhere */
		*word(random_below(random, (uint32_t)(me.info.port_mmap_length / 4)) * 4) =
			(uint32_t)random_edge(random);
	}
}
