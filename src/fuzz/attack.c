// SPDX-License-Identifier: MIT
/* A hostile process: it comes up like a driver, then its threads do whatever they can. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fuzz.h"

#define THREADS		4
#define MEMORY		(4 * PAGE)

struct attacker me;
_Thread_local sigjmp_buf escape;

/* ---- what there is to name in a call ---- */

static int any_descriptor(atomic_int *table, struct random *random)
{
	uint32_t from = random_below(random, FILES);
	uint32_t i;

	for (i = 0; i < FILES; i++)
		if (table[(from + i) % FILES] >= 0)
			return table[(from + i) % FILES];
	return -1;
}

int any_file(struct random *random)
{
	return me.grant >= 0 && random_chance(random, 2) ? me.grant :
							   any_descriptor(me.file, random);
}

int any_irq(struct random *random)
{
	return any_descriptor(me.irq, random);
}

uint64_t any_of(_Atomic(uint64_t) *table, struct random *random)
{
	uint32_t from = random_below(random, ADDRESSES);
	uint32_t i;

	for (i = 0; i < ADDRESSES; i++)
		if (table[(from + i) % ADDRESSES])
			return table[(from + i) % ADDRESSES];
	return 0;
}

void *arena_at(struct random *random, size_t size)
{
	/* Often across two pages, of which one may not be there. */
	size_t page = random_below(random, ARENA - 1);
	size_t before = random_chance(random, 2) ?
				random_below(random, (uint32_t)(size / 4 + 1)) * 4 : PAGE;

	return me.arena + (page + 1) * PAGE - (before > size ? PAGE : before);
}

void remember(_Atomic(uint64_t) *table, struct random *random, uint64_t value)
{
	table[random_below(random, ADDRESSES)] = value;
}

/* ---- what it does ---- */

/* How often, by temper; the sums need not agree. */
static const struct {
	void (*act)(struct random *random);
	uint8_t weight[N_TEMPERS];
} acts[] = {
	{ do_serve, { 60, 60, 20 } },
	{ do_wait, { 10, 10, 10 } },
	{ do_pio, { 4, 10, 20 } },
	{ do_info, { 2, 2, 3 } },
	{ do_irq, { 3, 3, 3 } },
	{ do_dma_alloc, { 2, 2, 3 } },
	{ do_dma_map, { 6, 6, 6 } },
	{ do_dma_unmap, { 6, 6, 6 } },
	{ do_bus_master, { 1, 1, 2 } },
	{ do_attach, { 1, 1, 3 } },
	{ do_config, { 2, 2, 3 } },
	{ do_report, { 2, 2, 3 } },
	{ do_unknown, { 1, 1, 2 } },
	{ do_mmap, { 6, 6, 6 } },
	{ do_munmap, { 4, 4, 4 } },
	{ do_mprotect, { 2, 2, 3 } },
	{ do_madvise, { 2, 2, 3 } },
	{ do_mremap, { 2, 2, 4 } },
	{ do_touch, { 10, 10, 10 } },
	{ do_copy, { 3, 3, 3 } },
	{ do_arena, { 8, 8, 8 } },
	{ do_irq_read, { 6, 6, 6 } },
	{ do_poll, { 3, 3, 3 } },
	{ do_epoll, { 2, 2, 2 } },
	{ do_dup, { 4, 4, 4 } },
	{ do_close, { 4, 4, 4 } },
	{ do_fork, { 1, 1, 2 } },
	{ do_pass, { 3, 3, 3 } },
	{ do_receive, { 3, 3, 3 } },
	{ do_schedule, { 1, 1, 2 } },
	{ do_signal, { 3, 3, 3 } },
	{ do_device, { 0, 10, 30 } },
	{ do_lie, { 0, 1, 10 } },
};

static void attack_step(struct random *random)
{
	uint32_t sum = 0, at;
	size_t i;

	if (random_chance(random, me.temper == RAVES ? 2000 : 10000))
		do_death(random);
	for (i = 0; i < COUNT(acts); i++)
		sum += acts[i].weight[me.temper];
	at = random_below(random, sum);
	for (i = 0; at >= acts[i].weight[me.temper]; i++)
		at -= acts[i].weight[me.temper];
	acts[i].act(random);
}

_Noreturn void attack_thread(struct random *random)
{
	for (;;) {
		if (sigsetjmp(escape, 1))
			serve_no_more();
		attack_step(random);
	}
}

static void *attack_start(void *seed)
{
	struct random random = { (uintptr_t)seed };

	me.threads[random_below(&random, COUNT(me.threads))] = (int)syscall(SYS_gettid);
	attack_thread(&random);
}

/* ---- coming up ---- */

static void escaped(int signal)
{
	(void)signal;
	siglongjmp(escape, 1);
}

static void nothing(int signal)
{
	(void)signal;
}

static void prepare(int grant, int socket, enum temper temper)
{
	struct sigaction action = { .sa_handler = escaped };
	size_t i;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	action.sa_handler = nothing;
	sigaction(SIGUSR1, &action, NULL);
	action = (struct sigaction){ .sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT };
	sigaction(SIGCHLD, &action, NULL);

	me.grant = grant;
	me.socket = socket;
	me.temper = temper;
	for (i = 0; i < FILES; i++)
		me.file[i] = me.irq[i] = -1;
	me.file[0] = grant;
	/* Where calls of 32 bits reach it as well. */
	me.arena = mmap(NULL, ARENA * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	me.huge = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* On the boundary of a huge page. */
	me.huge += -(uintptr_t)me.huge & ((2 << 20) - 1);
	madvise(me.huge, 4 << 20, MADV_HUGEPAGE);
}

/* What a driver does at its start. Any of it may be left out. */
static void come_up(struct random *random)
{
	struct r3_dma_alloc alloc = { .argsz = sizeof(alloc), .length = MEMORY };
	struct r3_bus_master master = { .argsz = sizeof(master), .enable = 1 };
	struct r3_irq irq = { .argsz = sizeof(irq) };
	struct r3_port_attach attach = {
		.argsz = sizeof(attach), .kind = R3_PORT_KIND_NET,
		.net = { .mac = { 2, 0, 0, 0, 0, 1 }, .max_mtu = 9000,
			 .features = random_below(random, 2) ? 15 : 1,
			 .max_segments = 1 + random_below(random, 18) },
	};
	struct r3_port_attach attach_disk = {
		.argsz = sizeof(attach), .kind = R3_PORT_KIND_BLOCK, .block = disk,
	};
	struct r3_port_report report = {
		.argsz = sizeof(report), .kind = R3_PORT_KIND_NET,
		.net = { .link = 1, .speed = 1000, .full_duplex = 1 },
	};
	size_t i;

	me.info.argsz = sizeof(me.info);
	if (call_on(me.grant, DO_INFO, R3_INFO, &me.info))
		return;
	for (i = 0; i < me.info.windows; i++)
		remember(me.offset, random, me.info.window[i].mmap_offset);
	remember(me.offset, random, me.info.port_mmap_offset);
	me.rings = map_grant(me.info.port_mmap_offset, me.info.port_mmap_length);
	if (me.info.windows && !(me.info.window[0].flags & R3_WINDOW_IO) &&
	    !random_chance(random, 10))
		me.registers = (void *)map_grant(me.info.window[0].mmap_offset,
						 me.info.window[0].length);
	if (!random_chance(random, 10) &&
	    call_on(me.grant, DO_DMA_ALLOC, R3_DMA_ALLOC, &alloc) == 0) {
		me.memory_bus = alloc.address;
		me.memory = map_grant(alloc.mmap_offset, MEMORY);
		remember(me.bus, random, alloc.address);
		remember(me.offset, random, alloc.mmap_offset);
	}
	device_set_up();
	if (!random_chance(random, 10))
		call_on(me.grant, DO_BUS_MASTER, R3_BUS_MASTER, &master);
	me.irq[0] = (int)call_on(me.grant, DO_IRQ, R3_IRQ, &irq);
	if (random_chance(random, 10))
		return;
	call_on(me.grant, DO_PORT_ATTACH, R3_PORT_ATTACH, disk.sectors ? &attach_disk : &attach);
	if (disk.sectors)
		return;
	call_on(me.grant, DO_PORT_REPORT, R3_PORT_REPORT, &report);
}

_Noreturn void attack(int grant, int socket, enum temper temper, uint64_t seed)
{
	struct random random = { seed };
	size_t i;

	prepare(grant, socket, temper);
	if (!sigsetjmp(escape, 1))
		come_up(&random);
	for (i = 1; i < THREADS; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, attack_start,
			       (void *)(uintptr_t)random_next(&random));
	}
	attack_start((void *)(uintptr_t)random_next(&random));
	_exit(0);
}

_Noreturn void attack_accomplice(int socket, uint64_t seed)
{
	struct random random = { seed };
	size_t i;

	prepare(-1, socket, RAVES);
	for (i = 0; i < FILES; i++) {
		while (me.file[i % 2] < 0) {
			if (!sigsetjmp(escape, 1))
				do_receive(&random);
			usleep(1000);
		}
	}
	attack_thread(&random);
}
