// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's side of a channel. Everything in shared memory may change at
 * any time and hold any value: the driver's words are read once and checked,
 * our own are written and never believed.
 */
#include "ring3.h"

void r3_channel_init(struct r3_channel *ch, const struct r3_channel_info *info, void *memory)
{
	memset(ch, 0, sizeof(*ch));
	ch->control = memory + info->control;
	ch->submissions = memory + info->submissions;
	ch->completions = memory + info->completions;
	ch->kind = info->kind;
	ch->size = info->size;
	ch->wake_after = 1;
}

/* Write one entry; r3_channel_publish() shows it. The caller has checked for room. */
void r3_channel_submit(struct r3_channel *ch, u64 address, u32 length_flags, u32 token)
{
	struct r3_entry *entry = &ch->submissions[ch->queued++ & (ch->size - 1)];

	entry->address_low = lower_32_bits(address);
	entry->address_high = upper_32_bits(address);
	entry->length_flags = length_flags;
	entry->token = token;
}

void r3_channel_publish(struct r3_channel *ch)
{
	WRITE_ONCE(ch->submitted, ch->queued);
	/* Entries are visible before the counter; pairs with the driver's Atomics.load. */
	smp_store_release(&ch->control->submitted, ch->queued);
}

/* How many completions wait to be reaped; -EPROTO if the driver's counter cannot be true. */
int r3_channel_completed(const struct r3_channel *ch)
{
	/* Pairs with the driver's Atomics.store: its entries are visible after this. */
	u32 count = smp_load_acquire(&ch->control->completed) - ch->reaped;

	return count > ch->size ? -EPROTO : count;
}

void r3_channel_reap(struct r3_channel *ch, u32 *length_flags, u32 *token)
{
	const struct r3_entry *entry = &ch->completions[ch->reaped++ & (ch->size - 1)];

	*length_flags = READ_ONCE(entry->length_flags);
	*token = READ_ONCE(entry->token);
}

void r3_channel_reaped(struct r3_channel *ch)
{
	WRITE_ONCE(ch->control->reaped, ch->reaped);
}

void r3_channel_state(const struct r3_channel *ch, struct r3_channel_state *out)
{
	out->kind = ch->kind;
	out->size = ch->size;
	out->submitted = READ_ONCE(ch->submitted);
	out->seen = r3_channel_seen(ch);
	out->completed = READ_ONCE(ch->control->completed);
	out->reaped = READ_ONCE(ch->reaped);
}
