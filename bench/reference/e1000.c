// SPDX-License-Identifier: MIT
/* Sections are those of Intel's manual, see drivers/e1000/registers.ts. */
#include <stdio.h>
#include <stdlib.h>

#include "e1000.h"
#include "registers.h"

#define IMS	0x00d0

#define CAUSE_TXDW	(1u << 0)
#define CAUSE_LSC	(1u << 2)

/* Status of a receive descriptor, §3.2.3.1, and errors, §3.2.3.2. */
#define RX_DD		(1u << 0)
#define RX_EOP		(1u << 1)
#define RX_IXSM		(1u << 2)
#define RX_TCPCS	(1u << 5)
#define RX_BAD		(0x97u << 8)
#define RX_TCPE		(0x20u << 8)

/* Commands and status of a descriptor to send, §3.3.6.1 and §3.3.7.1. */
#define TX_DATA		(1u << 20)
#define TX_EOP		(1u << 24)
#define TX_IFCS		(1u << 25)
#define TX_TSE		(1u << 26)
#define TX_RS		(1u << 27)
#define TX_DEXT		(1u << 29)
#define TX_TCP		(1u << 24)
#define TX_IP		(1u << 25)
#define TX_DD		(1u << 0)
#define TX_IXSM		(1u << 8)
#define TX_TXSM		(1u << 9)

#define LONGEST_FRAME	16384
#define REFILL_BATCH	32
#define CHUNK		4096u
#define REPORT_EVERY	16
#define TCP_CHECKSUM	16
/* An IPv4 header, where its checksum is, behind an Ethernet header. */
#define IP_AT		14u
#define IP_CHECKSUM	(IP_AT + 10)
#define UNSENDABLE	UINT32_MAX

enum left { ALL, WAIT, BUDGET };

static void write_reg(struct e1000 *nic, u32 offset, u32 value)
{
	nic->regs[offset / 4] = value;
}

void e1000_init(struct e1000 *nic, u32 ring, struct e1000_desc *memory, u64 address)
{
	const u32 bytes = ring * (u32)sizeof(*memory);

	nic->rx.ring = memory;
	nic->tx.ring = memory + ring;
	nic->tx.mask = ring - 1;
	nic->rx.mask = ring - 1;
	write_reg(nic, RDBAL, (u32)address);
	write_reg(nic, RDBAH, (u32)(address >> 32));
	write_reg(nic, RDLEN, bytes);
	write_reg(nic, TDBAL, (u32)(address + bytes));
	write_reg(nic, TDBAH, (u32)((address + bytes) >> 32));
	write_reg(nic, TDLEN, bytes);
}

/* ---- receive ---- */

static bool receive(struct e1000 *nic, u32 budget)
{
	struct e1000_rx *rx = &nic->rx;
	struct channel *port = &nic->rx_port;
	u32 slot = rx->next, filled = rx->filled, frames = 0;

	while (filled > 0 && frames < budget) {
		const struct e1000_desc *d = &rx->ring[slot];
		/* First: DD says that the rest is there. */
		const u32 status = READ_ONCE(d->status);
		u32 length, flags;

		if (!(status & RX_DD))
			break;
		length = READ_ONCE(d->length) & 0xffff;
		rx->frame += length;
		if (length > rx->buffer_size || rx->frame > LONGEST_FRAME) {
			fprintf(stderr, "cannot receive: the device claims %u bytes\n", length);
			exit(70);
		}
		flags = length;
		if (status & RX_EOP) {
			flags |= R3_ENTRY_LAST;
			if (rx->frame > rx->longest || (status & RX_BAD))
				flags |= R3_ENTRY_ERROR;
			else if ((status & (RX_IXSM | RX_TCPCS | RX_TCPE)) == RX_TCPCS)
				flags |= R3_ENTRY_CSUM;
			rx->frame = 0;
			frames++;
		}
		channel_complete(port, rx->tokens[slot], flags);
		slot = (slot + 1) & rx->mask;
		filled--;
	}
	if (filled != rx->filled)
		channel_publish(port);
	rx->next = slot;
	rx->filled = filled;
	return frames == budget;
}

static void refill(struct e1000 *nic)
{
	struct e1000_rx *rx = &nic->rx;
	struct channel *port = &nic->rx_port;
	const u32 count = min(channel_available(port), rx->mask - rx->filled);
	u32 slot = rx->tail;

	if (!count || (count < REFILL_BATCH && rx->filled > rx->mask >> 1))
		return;
	for (u32 i = 0; i < count; i++) {
		const struct r3_entry *from = channel_take(port);
		struct e1000_desc *to = &rx->ring[slot];

		to->low = READ_ONCE(from->address_low);
		to->high = READ_ONCE(from->address_high);
		to->length = 0;
		to->status = 0;
		rx->tokens[slot] = READ_ONCE(from->token);
		slot = (slot + 1) & rx->mask;
	}
	rx->tail = slot;
	rx->filled += count;
	__atomic_thread_fence(__ATOMIC_RELEASE); /* the descriptors, then the tail */
	write_reg(nic, RDT, slot);
}

/* ---- transmit ---- */

static u32 segment_chunk(u32 segments)
{
	return min(CHUNK, (segments & 0xffff) << 2);
}

/* Most descriptors that the next frame takes; 0 if it is not all there. */
static u32 measure(const struct channel *port, u32 left)
{
	u32 chunk = CHUNK, descriptors = 1; /* the last may be split */
	bool sendable = true;

	for (u32 i = 0; i < left; i++) {
		const struct r3_entry *entry = channel_peek(port, i);
		const u32 word = READ_ONCE(entry->length_flags);
		const u32 length = word & R3_ENTRY_LENGTH;

		if (!length)
			sendable = false;
		if (word & R3_ENTRY_CONTEXT) {
			const u32 offsets = READ_ONCE(entry->address_low);
			const u32 segments = READ_ONCE(entry->address_high);
			const u32 header = segments >> 16;

			if ((offsets & 0xff00ff00) || header > 255 || header >= length)
				sendable = false;
			if (segments)
				chunk = segment_chunk(segments);
			descriptors++;
		} else if (chunk) {
			descriptors += (length + chunk - 1) / chunk;
		} else {
			sendable = false;
		}
		if (word & R3_ENTRY_LAST)
			return sendable ? descriptors : UNSENDABLE;
	}
	return 0;
}

/* Refuse the next frame; returns its submissions. */
static u32 drop(struct channel *port)
{
	for (u32 entries = 1;; entries++) {
		const struct r3_entry *entry = channel_take(port);

		if (!(READ_ONCE(entry->length_flags) & R3_ENTRY_LAST))
			continue;
		channel_complete(port, READ_ONCE(entry->token), R3_ENTRY_ERROR);
		channel_publish(port);
		return entries;
	}
}

/* Write a context descriptor, §3.3.6, unless the card holds it; returns the slot after it. */
static u32 write_context(struct e1000_tx *tx, const struct r3_entry *entry, u32 slot)
{
	const u32 segments = READ_ONCE(entry->address_high), where = READ_ONCE(entry->address_low);
	const u32 start = where & 0xff, offset = where >> 16;
	const u32 sums = start | offset << 8;
	const u32 tcp = TX_DEXT | (offset - start == TCP_CHECKSUM ? TX_TCP : 0);
	struct e1000_desc *d = &tx->ring[slot];

	if (!segments) {
		if (sums == tx->sums && tcp == tx->command)
			return slot;
		d->low = 0;
		d->length = tcp;
		d->status = 0;
		tx->command = tcp;
	} else {
		const u32 header = segments >> 16;

		d->low = IP_AT | IP_CHECKSUM << 8 | (start - 1) << 16;
		d->length = tcp | TX_IP | TX_TSE |
			    ((READ_ONCE(entry->length_flags) & R3_ENTRY_LENGTH) - header);
		d->status = header << 8 | (segments & 0xffff) << 16;
		tx->command = 0;
	}
	d->high = sums;
	tx->sums = sums;
	return (slot + 1) & tx->mask;
}

/* Have the card say when the frame posted last is done, and with it all before it, §3.3.3.1. */
static void ask(struct e1000_tx *tx)
{
	tx->ring[tx->ends[(tx->posted - 1) & tx->mask]].length |= TX_RS;
	tx->reports[tx->asked++ & tx->mask] = tx->posted;
	tx->covered = tx->posted;
}

/* Write the descriptors of the next frame, §3.3.7; returns its submissions. */
static u32 post(struct e1000_tx *tx, struct channel *port)
{
	u32 slot = tx->tail, chunk = CHUNK, command = TX_DATA | TX_DEXT | TX_IFCS, options = 0;

	for (u32 entries = 1;; entries++) {
		const struct r3_entry *entry = channel_take(port);
		const u32 word = READ_ONCE(entry->length_flags);
		u64 address;
		u32 end = slot;
		bool split;

		if (word & R3_ENTRY_CONTEXT) {
			const u32 segments = READ_ONCE(entry->address_high);

			options = TX_TXSM;
			if (segments) {
				chunk = segment_chunk(segments);
				command |= TX_TSE;
				options |= TX_IXSM;
			}
			slot = write_context(tx, entry, slot);
			continue;
		}
		/* Erratum: segmenting, and in the next frame, the last descriptor must be short. */
		split = (word & R3_ENTRY_LAST) && ((command & TX_TSE) || tx->after_segments);
		address = READ_ONCE(entry->address_low) | (u64)READ_ONCE(entry->address_high) << 32;
		for (u32 left = word & R3_ENTRY_LENGTH; left > 0;) {
			const u32 bytes = split && left > 8 && left <= chunk ?
					  left - 4 : min(left, chunk);
			struct e1000_desc *d = &tx->ring[slot];

			d->low = (u32)address;
			d->high = (u32)(address >> 32);
			d->length = command | bytes;
			d->status = options;
			end = slot;
			address += bytes;
			left -= bytes;
			slot = (slot + 1) & tx->mask;
		}
		if (!(word & R3_ENTRY_LAST))
			continue;
		tx->ring[end].length |= TX_EOP;
		tx->tokens[tx->posted & tx->mask] = READ_ONCE(entry->token);
		tx->ends[tx->posted & tx->mask] = end;
		tx->posted++;
		tx->tail = slot;
		tx->after_segments = command & TX_TSE;
		if (!(tx->posted & (REPORT_EVERY - 1)))
			ask(tx);
		return entries;
	}
}

static enum left transmit(struct e1000 *nic, u32 budget)
{
	struct e1000_tx *tx = &nic->tx;
	struct channel *port = &nic->tx_port;
	const u32 before = tx->tail;
	u32 left = channel_available(port), frames = 0;

	for (; left > 0 && frames < budget; frames++) {
		const u32 descriptors = measure(port, left);

		if (!descriptors)
			break; /* the kernel is still submitting this frame */
		if (descriptors > tx->mask)
			left -= drop(port);
		else if (descriptors > ((tx->clean - tx->tail - 1) & tx->mask))
			break;
		else
			left -= post(tx, port);
	}
	if (tx->tail != before) {
		if (tx->covered != tx->posted)
			ask(tx);
		__atomic_thread_fence(__ATOMIC_RELEASE); /* the descriptors, then the tail */
		write_reg(nic, TDT, tx->tail);
	}
	return !left ? ALL : frames == budget ? BUDGET : WAIT;
}

/* Complete the frames that the card is done with. True if there were any. */
static bool reclaim(struct e1000 *nic)
{
	struct e1000_tx *tx = &nic->tx;
	struct channel *port = &nic->tx_port;
	const u32 before = tx->done;

	while (tx->seen != tx->asked) {
		const u32 up_to = tx->reports[tx->seen & tx->mask];
		const u32 end = tx->ends[(up_to - 1) & tx->mask];

		if (!(READ_ONCE(tx->ring[end].status) & TX_DD))
			break;
		for (; tx->done != up_to; tx->done++)
			channel_complete(port, tx->tokens[tx->done & tx->mask], 0);
		tx->clean = (end + 1) & tx->mask;
		tx->seen++;
	}
	if (tx->done == before)
		return false;
	channel_publish(port);
	return true;
}

/* ---- interrupt and poll ---- */

void e1000_interrupt(struct e1000 *nic)
{
	if (nic->regs[ICR / 4] & CAUSE_LSC)
		nic->link_changed = true;
	nic->active = true;
}

bool e1000_poll(struct e1000 *nic, u32 budget)
{
	const bool more = receive(nic, budget);
	enum left left;
	bool freed;

	refill(nic);
	left = transmit(nic, budget);
	freed = reclaim(nic);
	if (!nic->sent_armed && nic->tx.done != nic->tx.posted) {
		nic->sent_armed = true;
		write_reg(nic, IMS, CAUSE_TXDW);
	}
	return more || left == BUDGET || (left == WAIT && freed);
}
