// SPDX-License-Identifier: MIT
/*
 * wait ADDRESS wait|read
 *
 * A driver of QEMU's edu device in C, on a grant like that of
 * bench/drivers/edu.json: it blocks in WAIT, or in read() of the IRQ file, says
 * that it has been woken in the memory that it shares with the device, quiets
 * that, and blocks again. Says "ready" with its process id, and runs until it is
 * killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ring3.h"
#include "wakeup.h"

static int must(int result, const char *what)
{
	if (result >= 0)
		return result;
	fprintf(stderr, "wait: %s: %s\n", what, strerror(errno));
	exit(1);
}

static volatile uint32_t *map(int grant, uint64_t offset)
{
	void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, grant, (off_t)offset);

	must(at == MAP_FAILED ? -1 : 0, "mapping what was granted");
	return at;
}

/* The claim stays open as long as the process. */
static int granted(const char *address)
{
	struct r3_claim_args claim = { .argsz = sizeof(claim) };
	struct r3_grant_args grant = {
		.argsz = sizeof(grant), .windows = 1, .irqs = 1, .irq_type = R3_IRQ_MSI,
		.dma_bits = 64, .dma_limit = PAGE, .stall_ms = 1000,
		.window = { { .length = PAGE } },
	};
	int device = must(open("/dev/ring3", O_RDWR), "/dev/ring3");

	snprintf(claim.address, sizeof(claim.address), "%s", address);
	return must(ioctl(must(ioctl(device, R3_CLAIM, &claim), address), R3_GRANT, &grant),
		    "grant");
}

/* What a driver does when it is woken, and first of all that it says so. */
static void interrupted(volatile uint32_t *registers, volatile uint32_t *shared)
{
	shared[WORD_ANSWER] = 1;
	registers[REG_ACKNOWLEDGE] = registers[REG_STATUS];
}

static void by_wait(int grant, volatile uint32_t *registers, volatile uint32_t *shared)
{
	struct r3_wait args = { .argsz = sizeof(args), .timeout_us = R3_WAIT_FOREVER };

	for (;;) {
		must(ioctl(grant, R3_WAIT, &args), "WAIT");
		if (args.events & R3_EVENT_IRQ)
			interrupted(registers, shared);
	}
}

static void by_read(int grant, volatile uint32_t *registers, volatile uint32_t *shared)
{
	struct r3_irq args = { .argsz = sizeof(args) };
	int irq = must(ioctl(grant, R3_IRQ, &args), "IRQ file");
	uint64_t count;

	for (;;) {
		must((int)read(irq, &count, sizeof(count)), "reading the IRQ file");
		interrupted(registers, shared);
	}
}

int main(int argc, char **argv)
{
	struct r3_info info = { .argsz = sizeof(info) };
	struct r3_dma_alloc memory = { .argsz = sizeof(memory), .length = PAGE };
	struct r3_bus_master master = { .argsz = sizeof(master), .enable = 1 };
	volatile uint32_t *registers, *shared;
	int grant;

	if (argc != 3 || (strcmp(argv[2], "wait") && strcmp(argv[2], "read"))) {
		fprintf(stderr, "usage: wait ADDRESS wait|read\n");
		return 64;
	}
	grant = granted(argv[1]);
	must(ioctl(grant, R3_INFO, &info), "INFO");
	must(ioctl(grant, R3_DMA_ALLOC, &memory), "memory");
	registers = map(grant, info.window[0].mmap_offset);
	shared = map(grant, memory.mmap_offset);
	registers[REG_ACKNOWLEDGE] = registers[REG_STATUS];
	/* The message of an interrupt is a write of the device's. */
	must(ioctl(grant, R3_BUS_MASTER, &master), "bus master");
	/* Without the shell that started it having something to say of that. */
	signal(SIGTERM, _exit);
	printf("ready %d\n", getpid());
	fflush(stdout);
	if (!strcmp(argv[2], "wait"))
		by_wait(grant, registers, shared);
	else
		by_read(grant, registers, shared);
}
