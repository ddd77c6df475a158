/* SPDX-License-Identifier: MIT */
/*
 * A kernel and a card that are made up, behind the calls of ring3.h. The kernel
 * holds a network port, the card is an 8254x that moves no byte: it takes
 * descriptors and writes them back. Both are run by WAIT, in the thread of the
 * driver, and their time is not the driver's: a clock runs from the end of one
 * WAIT to the beginning of the next. They check all that the driver does, and
 * end the process if something is wrong.
 */
#ifndef NULL_H
#define NULL_H

#include "ring3.h"
#include "types.h"

/* Entries of each ring of the port, and descriptors of each ring of the card. */
#define RING		512u
/* Bytes of the card's registers, and of memory that it shares with the driver. */
#define BAR_SIZE	0x20000u
#define DMA_SIZE	0x20000u
/* Where that memory, and the first of the port's buffers, are for the card. */
#define DMA_BUS		0x200000000ull
#define BUFFER_BUS	0x1000000000ull
#define BUFFER_SIZE	2048u
#define BUFFERS		(4 * RING)
/* Bytes of every frame: the shortest there is, without its CRC. */
#define FRAME		60u

#define PAGE		4096u
#define PORT_SIZE	(PAGE + 4 * RING * (u32)sizeof(struct r3_entry))

/* What mmap() is told. */
#define BAR_OFFSET	0x0ull
#define DMA_OFFSET	0x100000ull
#define PORT_OFFSET	0x200000ull

enum { TX, RX };

/* null.c: the calls of a grant; 0 or -errno. */
int null_call(u32 number, void *args);
int null_map(u64 offset, u64 length, void *over);

/* port.c */
void port_map(void *memory);
void port_info(struct r3_channel_info *info);
/* Give the driver all the empty buffers that there is room for. */
void port_refill(void);
/* Give it so many frames to send, of memory of the port's own. */
void port_send(u32 frames);
/* Take completions; kick says of which channels. With forward, what was received is to be sent. */
void port_reap(u32 kick, bool forward);
/* Send what was received and reaped so. Returns how many frames that were. */
u32 port_forward(void);
/* Frames reaped so far. */
u32 port_received(void);
/* The card has put a frame into this buffer, or sent it from there. */
void port_filled(u64 address);
void port_sent(u64 address);

/* card.c */
void card_map(void *bar, void *dma);
void card_power_on(void);
/* Until a driver attaches, registers change that it waits for: whenever it looks at the clock. */
void card_run_registers(void);
void card_attach(void);
/* There are buffers to receive into. */
bool card_has_buffers(void);
void card_receive(u32 frames);
/* Take all that there is to send; frames so far. */
u32 card_send(void);
/* The card interrupts for these reasons. */
void card_interrupt(u32 causes);

#define CAUSE_TXDW	(1u << 0)
#define CAUSE_RXT0	(1u << 7)

/* measure.c */
#define MAX_BATCHES	1000000u
void measure_begin(void);
/* What the driver has done since measure_begin(), in ticks or in instructions. */
u64 measure_end(void);
/* From now on count instructions, or tell the time again. */
void measure_instructions(bool on);
void measure_record(u32 batch, u64 amount);
/* Milliseconds since the process began. */
double measure_now(void);
/* Of what so many batches recorded: the value of rank q, 0 to 1, and the mean of all up to it. */
double measure_of(u32 batches, double q);
double measure_mean(u32 batches, double q);
double measure_ticks_to_ns(double ticks);

void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...);

#endif
