// SPDX-License-Identifier: MIT
/*
 * The card: an 8254x as far as a driver that brings it up and moves frames can
 * tell, but for the bytes. Sections are those of Intel's manual, see
 * drivers/e1000/registers.ts.
 */
#include "null.h"
#include "registers.h"

#define CTRL	0x0000
#define STATUS	0x0008
#define EERD	0x0014
#define MDIC	0x0020

#define CTRL_RST	(1u << 26)
#define STATUS_UP	(1u << 0 | 1u << 1 | 2u << 6)	/* full duplex, link, 1 Gb/s */
#define EERD_START	(1u << 0)
#define EERD_DONE	(1u << 4)
#define EEPROM_LAST	63
#define EEPROM_SUM	0xbaba
#define MDIC_READY	(1u << 28)
#define MDIC_OP		(3u << 26)
#define MDIC_REG(v)	(((v) >> 16) & 31)
#define PHY_STATUS	1
#define PHY_LINK	(1u << 2)

/* Words 2 and 3 of descriptors, §3.2.3, §3.3.6 and §3.3.7. */
#define RX_DONE		(1u << 0 | 1u << 1 | 1u << 5)	/* DD, EOP, TCPCS */
#define TX_WHOLE	(1u << 20 | 1u << 24 | 1u << 25 | 1u << 29)	/* DATA, EOP, IFCS, DEXT */
#define TX_RS		(1u << 27)
#define TX_DD		(1u << 0)

struct descriptor {
	u32 low, high, length, status;
};

static u8 *bar, *memory;
static struct descriptor *rx, *tx;
static u32 rx_head, tx_head, sent;
static bool attached;

static u32 *reg(u32 offset)
{
	return (u32 *)(bar + offset);
}

void card_map(void *registers, void *dma)
{
	if (registers)
		bar = registers;
	if (dma)
		memory = dma;
}

static u32 eeprom(u32 word)
{
	/* Locally administered; the last word makes the sum. */
	static const u32 mac[] = { 0x0002, 0x0000, 0x0100 };

	if (word < 3)
		return mac[word];
	return word == EEPROM_LAST ? EEPROM_SUM - 0x0102 : 0;
}

void card_power_on(void)
{
	*reg(STATUS) = STATUS_UP;
}

/* The driver waits for what it has written to have an effect, and writes nothing meanwhile. */
void card_run_registers(void)
{
	u32 eerd, mdic;

	if (attached)
		return;
	eerd = READ_ONCE(*reg(EERD));
	mdic = READ_ONCE(*reg(MDIC));
	*reg(CTRL) &= ~CTRL_RST;
	if (eerd & EERD_START)
		*reg(EERD) = eeprom(eerd >> 8 & 0xff) << 16 | EERD_DONE;
	if ((mdic & MDIC_OP) && !(mdic & MDIC_READY))
		*reg(MDIC) = (mdic & ~0xffffu) | MDIC_READY |
			     (MDIC_REG(mdic) == PHY_STATUS ? PHY_LINK : 0);
}

static struct descriptor *ring(u32 low, u32 high, u32 length)
{
	const u64 offset = (*reg(low) | (u64)*reg(high) << 32) - DMA_BUS;

	if (*reg(length) != RING * sizeof(struct descriptor) || offset > DMA_SIZE - *reg(length))
		fail("a ring of %u bytes at %llu of the shared memory", *reg(length),
		     (unsigned long long)offset);
	return (struct descriptor *)(memory + offset);
}

void card_attach(void)
{
	attached = true;
	rx = ring(RDBAL, RDBAH, RDLEN);
	tx = ring(TDBAL, TDBAH, TDLEN);
}

static u64 address_of(const struct descriptor *d)
{
	return d->low | (u64)d->high << 32;
}

static u32 buffers(void)
{
	return (READ_ONCE(*reg(RDT)) - rx_head) & (RING - 1);
}

bool card_has_buffers(void)
{
	return buffers() != 0;
}

void card_receive(u32 frames)
{
	if (buffers() < frames)
		fail("%u buffers for %u frames", buffers(), frames);
	for (; frames; frames--, rx_head = (rx_head + 1) & (RING - 1)) {
		struct descriptor *d = &rx[rx_head];

		if (d->length || d->status)
			fail("receive descriptor %u was not cleared", rx_head);
		port_filled(address_of(d));
		d->length = FRAME;
		d->status = RX_DONE;
	}
	WRITE_ONCE(*reg(RDH), rx_head);
}

u32 card_send(void)
{
	const u32 tail = READ_ONCE(*reg(TDT));

	for (; tx_head != tail; tx_head = (tx_head + 1) & (RING - 1)) {
		struct descriptor *d = &tx[tx_head];

		if ((d->length & ~TX_RS) != (TX_WHOLE | FRAME) || d->status)
			fail("descriptor %u to send holds %#x and %#x", tx_head, d->length,
			     d->status);
		port_sent(address_of(d));
		if (d->length & TX_RS)
			d->status = TX_DD;
		sent++;
	}
	WRITE_ONCE(*reg(TDH), tx_head);
	WRITE_ONCE(*reg(GPTC), sent);
	return sent;
}

void card_interrupt(u32 causes)
{
	WRITE_ONCE(*reg(ICR), causes);
}
