// SPDX-License-Identifier: MIT
/*
 * What the driver does between two WAITs: its time by the processor's counter,
 * or its instructions one by one, by the trap flag: exact, on any x86, and
 * without a performance counter, which many virtual machines do not have.
 */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <x86intrin.h>

#include "null.h"

#define TRAP_FLAG 0x100u

static u64 recorded[MAX_BATCHES];
static volatile u64 steps;
static bool stepping;
static u64 opened;
/* What begin and end measure of themselves. */
static u64 empty_ticks, empty_steps;
/* When the process began. */
static struct { u64 ticks; struct timespec time; } origin;

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "null card: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_Exit(70);
}

static void on_step(int number)
{
	(void)number;
	steps++;
}

void measure_begin(void)
{
	if (stepping) {
		steps = 0;
		__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() | TRAP_FLAG);
		return;
	}
	/* What the kernel and the card have stored is not for the driver to wait for. */
	_mm_mfence();
	_mm_lfence();
	opened = __rdtsc();
	_mm_lfence();
}

u64 measure_end(void)
{
	u64 amount, empty;

	if (stepping) {
		__builtin_ia32_writeeflags_u64(__builtin_ia32_readeflags_u64() & ~(u64)TRAP_FLAG);
		amount = steps;
		empty = empty_steps;
	} else {
		_mm_lfence();
		amount = __rdtsc() - opened;
		empty = empty_ticks;
	}
	return amount > empty ? amount - empty : 0;
}

void measure_instructions(bool on)
{
	stepping = on;
}

void measure_record(u32 batch, u64 amount)
{
	recorded[batch] = amount;
}

static int compare(const void *a, const void *b)
{
	const u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

static u32 rank(u32 batches, double q)
{
	qsort(recorded, batches, sizeof(recorded[0]), compare);
	return min((u32)(q * batches), batches - 1);
}

double measure_of(u32 batches, double q)
{
	return (double)recorded[rank(batches, q)];
}

double measure_mean(u32 batches, double q)
{
	const u32 last = rank(batches, q);
	double sum = 0;

	for (u32 i = 0; i <= last; i++)
		sum += (double)recorded[i];
	return sum / (last + 1);
}

static double since_origin(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)(t.tv_sec - origin.time.tv_sec) * 1e9 +
	       (double)(t.tv_nsec - origin.time.tv_nsec);
}

double measure_now(void)
{
	return since_origin() / 1e6;
}

double measure_ticks_to_ns(double ticks)
{
	return ticks * since_origin() / (double)(__rdtsc() - origin.ticks);
}

static void __attribute__((constructor)) measure_init(void)
{
	const struct sigaction action = { .sa_handler = on_step };
	enum { TRIES = 1001 };

	/* V8 prints there as well, and the order of lines matters. */
	setvbuf(stdout, NULL, _IONBF, 0);
	clock_gettime(CLOCK_MONOTONIC, &origin.time);
	origin.ticks = __rdtsc();
	sigaction(SIGTRAP, &action, NULL);
	for (u32 i = 0; i < TRIES; i++) {
		measure_begin();
		measure_record(i, measure_end());
	}
	empty_ticks = (u64)measure_of(TRIES, 0.5);
	measure_instructions(true);
	measure_begin();
	empty_steps = measure_end();
	measure_instructions(false);
}
