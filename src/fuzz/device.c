// SPDX-License-Identifier: MIT
/* The 8254x: set up so that frames reach the posted buffers, and programmed with whatever comes. */
#include "fuzz.h"

#define RING	64	/* descriptors */

/* Registers, 8254x manual chapter 13. */
enum {
	CTRL = 0x0000, EERD = 0x0014, MDIC = 0x0020,
	ICR = 0x00c0, ITR = 0x00c4, ICS = 0x00c8, IMS = 0x00d0, IMC = 0x00d8,
	RCTL = 0x0100, TCTL = 0x0400,
	RDBAL = 0x2800, RDBAH = 0x2804, RDLEN = 0x2808, RDH = 0x2810, RDT = 0x2818, RDTR = 0x2820,
	TDBAL = 0x3800, TDBAH = 0x3804, TDLEN = 0x3808, TDH = 0x3810, TDT = 0x3818,
	RAL = 0x5400, RAH = 0x5404,
};

#define CTRL_RST	(1u << 26)
#define CTRL_SLU	(1u << 6)
/* Enabled, everything accepted, buffers of 4096 bytes, CRC stripped. */
#define RCTL_ALL	(1u << 1 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 15 | 3u << 16 | 1u << 25 | \
			 1u << 26)
#define TCTL_ALL	(1u << 1 | 1u << 3)
#define TX_COMMAND	(1u << 24 | 1u << 25 | 1u << 27)	/* end of packet, CRC, report */
#define DONE		1u

/* Only the serving thread gives, takes and sends. */
static uint32_t token_of[RING];
static uint32_t given, taken, sent;

static volatile uint32_t *receive(uint32_t index)
{
	return (volatile uint32_t *)(me.memory + (index % RING) * 16);
}

static volatile uint32_t *transmit(uint32_t index)
{
	return (volatile uint32_t *)(me.memory + PAGE + (index % RING) * 16);
}

static void store(uint32_t offset, uint32_t value)
{
	tallied(DO_device, 0);
	me.registers[offset / 4] = value;
}

void device_set_up(void)
{
	if (!me.registers || !me.memory)
		return;
	store(IMC, 0xffffffff);
	store(CTRL, CTRL_RST);
	store(CTRL, CTRL_SLU);
	store(RDBAL, (uint32_t)me.memory_bus);
	store(RDBAH, (uint32_t)(me.memory_bus >> 32));
	store(RDLEN, RING * 16);
	store(RDH, 0);
	store(RDT, 0);
	store(TDBAL, (uint32_t)(me.memory_bus + PAGE));
	store(TDBAH, (uint32_t)((me.memory_bus + PAGE) >> 32));
	store(TDLEN, RING * 16);
	store(TDH, 0);
	store(TDT, 0);
	store(RAL, 0x00000002);
	store(RAH, 0x80000100);
	store(RCTL, RCTL_ALL);
	store(TCTL, TCTL_ALL);
	store(IMS, 0x80 | 4 | 1);
	given = taken = sent = 0;
}

bool device_give(uint64_t address, uint32_t token)
{
	if (!me.memory || !me.registers || given - taken >= RING - 1)
		return false;
	token_of[given % RING] = token;
	receive(given)[0] = (uint32_t)address;
	receive(given)[1] = (uint32_t)(address >> 32);
	receive(given)[2] = 0;
	receive(given)[3] = 0;
	store(RDT, ++given % RING);
	return true;
}

bool device_take(uint32_t *token, uint32_t *length)
{
	if (!me.memory || taken == given || !(receive(taken)[3] & DONE))
		return false;
	*token = token_of[taken % RING];
	*length = receive(taken)[2] & 0xffff;
	taken++;
	return true;
}

void device_send(uint64_t address, uint32_t length)
{
	if (!me.memory || !me.registers)
		return;
	transmit(sent)[0] = (uint32_t)address;
	transmit(sent)[1] = (uint32_t)(address >> 32);
	transmit(sent)[2] = (length & 0xffff) | TX_COMMAND;
	transmit(sent)[3] = 0;
	store(TDT, ++sent % RING);
}

/*
 * Memory of others, the rest of the machine, interrupts to be forged; or what
 * the device may reach.
 */
static uint64_t target(struct random *random)
{
	static const uint64_t others[] = {
		0, 0x1000, 0x100000, 0x1000000, 0xfee00000, 0xfee01004, 0xfec00000, 0xffffffff,
		0x100000000, 0xfffffffffffff000,
	};

	return random_chance(random, 2) ? others[random_below(random, COUNT(others))] :
					  any_of(me.bus, random);
}

void do_device(struct random *random)
{
	static const uint16_t any[] = {
		CTRL, EERD, MDIC, ITR, ICS, IMS, IMC, RCTL, TCTL, RDLEN, RDH, RDT, RDTR, TDLEN,
		TDH, TDT, RAL, RAH,
	};
	uint64_t address = target(random);

	if (!me.registers)
		return;
	switch (random_below(random, 10)) {
	case 0: /* interrupt, again and again */
		store(IMS, 0xffffffff);
		store(ICS, 1u << random_below(random, 20));
		break;
	case 1:
		(void)me.registers[ICR / 4];
		break;
	case 2:
		store(random_chance(random, 2) ? RDBAL : TDBAL, (uint32_t)address);
		store(random_chance(random, 2) ? RDBAH : TDBAH, (uint32_t)(address >> 32));
		break;
	case 3: /* have it read from there, or write to there */
		if (me.memory) {
			volatile uint32_t *descriptor = random_chance(random, 2) ?
				receive(random_below(random, RING)) :
				transmit(random_below(random, RING));

			descriptor[0] = (uint32_t)address;
			descriptor[1] = (uint32_t)(address >> 32);
		}
		break;
	case 4: /* a descriptor of any kind */
		if (me.memory)
			transmit(random_below(random, RING))[2] = (uint32_t)random_next(random);
		store(TDT, random_below(random, RING));
		break;
	case 5:
		if (random_chance(random, 40))
			device_set_up();
		break;
	case 6:
		store(any[random_below(random, COUNT(any))],
		      (uint32_t)random_edge(random) & 0xffff);
		break;
	default:
		(void)me.registers[random_below(random, 0x6000 / 4)];
	}
}
