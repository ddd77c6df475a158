/* SPDX-License-Identifier: MIT */
/* The driver's side of a channel, as src/driver/rings.ts has it. */
#ifndef CHANNEL_H
#define CHANNEL_H

#include "ring3.h"
#include "types.h"

struct channel {
	struct r3_channel_control *control;
	const struct r3_entry *submissions;
	struct r3_entry *completions;
	/* The word that asks the kernel to look, and the bit of it. */
	u32 *kick;
	u32 kick_bit;
	u32 mask;
	u32 taken;
	u32 completed;
};

/* Look once: how many submissions can be taken. */
static inline u32 channel_available(struct channel *ch)
{
	/* Pairs with the port's release: submissions are visible after this. */
	const u32 submitted = smp_load_acquire(&ch->control->submitted);

	WRITE_ONCE(ch->control->seen, submitted);
	return submitted - ch->taken;
}

static inline const struct r3_entry *channel_take(struct channel *ch)
{
	return &ch->submissions[ch->taken++ & ch->mask];
}

/* The submission so many places after the next one. */
static inline const struct r3_entry *channel_peek(const struct channel *ch, u32 ahead)
{
	return &ch->submissions[(ch->taken + ahead) & ch->mask];
}

static inline void channel_complete(struct channel *ch, u32 token, u32 length_flags)
{
	struct r3_entry *entry = &ch->completions[ch->completed++ & ch->mask];

	entry->length_flags = length_flags;
	entry->token = token;
}

static inline void channel_publish(struct channel *ch)
{
	/* Completions are visible before their count. */
	smp_store_release(&ch->control->completed, ch->completed);
	*ch->kick |= ch->kick_bit;
}

#endif
