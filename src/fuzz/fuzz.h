/* SPDX-License-Identifier: MIT */
/*
 * ring3-fuzz: hostile driver processes against ring3.ko.
 *
 * main.c     what it is told to do
 * root.c     the trusted side: claim, port, grant after grant, and what must hold after each
 * traffic.c  frames through the interface, and onto the wire
 * disk.c     what disks are like, and who reads and writes them
 * attack.c   a hostile process: what it holds, its threads, and what they choose to do
 * calls.c    the calls of the contract with hostile arguments
 * memory.c   mappings made, moved and taken away under the kernel
 * files.c    descriptors: IRQ files, copies, passed on, closed, and processes that have them
 * rings.c    the rings of the port, served well and badly
 * device.c   the 8254x, programmed well and badly
 * random.c   numbers from a seed
 */
#ifndef RING3_FUZZ_H
#define RING3_FUZZ_H

#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ring3.h"

#define PAGE		4096u
#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

/* ---- random.c ---- */

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *random);
/* 0 .. n - 1 */
uint32_t random_below(struct random *random, uint32_t n);
/* True once in n times. */
bool random_chance(struct random *random, uint32_t n);
/* A number at which something may break. */
uint64_t random_edge(struct random *random);
/* Another seed, of this one and a number. */
uint64_t random_mix(uint64_t seed, uint64_t number);

/* ---- what was done, in memory that all processes share ---- */

#define KINDS(X) \
	X(INFO) X(IRQ) X(DMA_ALLOC) X(DMA_MAP) X(DMA_UNMAP) X(BUS_MASTER) X(PORT_ATTACH) \
	X(PORT_CONFIG) X(PORT_REPORT) X(WAIT) X(PIO) X(unknown) \
	X(mmap) X(munmap) X(mprotect) X(madvise) X(mremap) X(touch) X(copy) \
	X(irq_read) X(poll) X(epoll) X(dup) X(close) X(fork) X(pass) X(receive) X(schedule) \
	X(signal) X(device) \
	X(tx_completion) X(rx_completion) X(request) X(ring_lie) X(disk_use) X(death)

enum kind {
#define KIND(name) DO_##name,
	KINDS(KIND)
#undef KIND
	N_KINDS
};

struct tally {
	atomic_ulong succeeded[N_KINDS];
	atomic_ulong failed[N_KINDS];
	atomic_ulong remains;	/* reads that showed what the reader's memory held before */
};

extern struct tally *tally;

/* Count it; returns result. */
long tallied(enum kind kind, long result);

/* ---- root.c, traffic.c, disk.c ---- */

/*
 * Fuzz a card, and an IDE controller if there is one, for so many seconds.
 * Returns the exit status.
 */
int root_run(const char *card, const char *ide, uint64_t seed, unsigned int seconds);
/* Send broadcast frames onto the wire until killed. */
int traffic_flood(const char *interface);
/* In a process of its own: send through the interface, and be slow to take what it receives. */
void traffic_use(const char *interface, uint64_t seed);

/*
 * What the drivers of this claim say of their disk; no sectors, if it has none.
 * Set before they are made.
 */
extern struct r3_block_attach disk;

/* Think of a disk that a port with rings of so many entries and so many queues takes. */
void disk_choose(struct random *random, uint32_t ring, uint32_t queues);
/*
 * In a process of its own: read, write and do all else that a disk is for,
 * whatever becomes of it.
 */
_Noreturn void disk_use(const char *path, uint64_t seed);

/* ---- attack.c ---- */

/* How a driver treats its rings, gentle enough at first to get deep. */
enum temper { SERVES, SLIPS, RAVES, N_TEMPERS };

#define FILES	12
#define MAPS	24
#define ADDRESSES 64
#define ARENA	64	/* pages */

struct map {
	_Atomic(uint8_t *) at;
	atomic_size_t length;
};

/* What one process has. Its threads race on all of it; so do the kernel and the device. */
struct attacker {
	enum temper temper;
	int grant;				/* the descriptor it began with */
	atomic_int file[FILES];			/* copies of it */
	atomic_int irq[FILES];			/* IRQ files */
	atomic_int socket;			/* to another process, of another user */
	struct r3_info info;
	struct map map[MAPS];			/* of the grant */
	uint8_t *arena;				/* its own memory, which comes and goes */
	uint8_t *huge;				/* 4 MiB that may be huge pages */
	_Atomic(uint64_t) offset[ADDRESSES];	/* to mmap at */
	_Atomic(uint64_t) bus[ADDRESSES];	/* for the device */
	_Atomic(uint64_t) handle[ADDRESSES];	/* of DMA_MAP */
	volatile uint32_t *registers;
	uint8_t *rings;
	uint8_t *memory;			/* for the device's descriptors */
	uint64_t memory_bus;
	atomic_int threads[16];
};

extern struct attacker me;

/* Where a thread goes on when memory that it touches is not there. */
extern _Thread_local sigjmp_buf escape;

/* Be a hostile driver with this grant until killed, or dead by one's own hand. */
_Noreturn void attack(int grant, int socket, enum temper temper, uint64_t seed);
/* Be the other process: with nothing but what comes over the socket. */
_Noreturn void attack_accomplice(int socket, uint64_t seed);
/* One thing after the other, whatever becomes of the memory meant. */
_Noreturn void attack_thread(struct random *random);

/* Part of the arena, which may go at any moment. */
void *arena_at(struct random *random, size_t size);
/* Any that there is: else -1, or 0. */
int any_file(struct random *random);
int any_irq(struct random *random);
uint64_t any_of(_Atomic(uint64_t) *table, struct random *random);
void remember(_Atomic(uint64_t) *table, struct random *random, uint64_t value);

/* ---- calls.c ---- */

long call_on(int fd, enum kind kind, unsigned int number, void *arg);
void do_info(struct random *random);
void do_irq(struct random *random);
void do_dma_alloc(struct random *random);
void do_dma_map(struct random *random);
void do_dma_unmap(struct random *random);
void do_bus_master(struct random *random);
void do_attach(struct random *random);
void do_config(struct random *random);
void do_report(struct random *random);
void do_wait(struct random *random);
void do_pio(struct random *random);
void do_unknown(struct random *random);

/* ---- memory.c ---- */

uint8_t *map_grant(uint64_t offset, size_t length);
/* Any mapping of the grant that there is, or was; NULL before the first. */
uint8_t *any_map(struct random *random, size_t *length);
void do_mmap(struct random *random);
void do_munmap(struct random *random);
void do_mprotect(struct random *random);
void do_madvise(struct random *random);
void do_mremap(struct random *random);
void do_touch(struct random *random);
void do_copy(struct random *random);
void do_arena(struct random *random);

/* ---- files.c ---- */

void do_irq_read(struct random *random);
void do_poll(struct random *random);
void do_epoll(struct random *random);
void do_dup(struct random *random);
void do_close(struct random *random);
void do_fork(struct random *random);
void do_pass(struct random *random);
void do_receive(struct random *random);
void do_schedule(struct random *random);
void do_signal(struct random *random);
void do_death(struct random *random);

/* ---- rings.c, device.c ---- */

void do_serve(struct random *random);
/* Let others serve: this thread has been thrown out of it, or is done. */
void serve_no_more(void);
void do_lie(struct random *random);

/* A buffer that the kernel has posted; false if the device has no room for it. */
bool device_give(uint64_t address, uint32_t token);
/* A buffer that the device has filled; false if there is none. */
bool device_take(uint32_t *token, uint32_t *length);
void device_send(uint64_t address, uint32_t length);
void device_set_up(void);
void do_device(struct random *random);

#endif
