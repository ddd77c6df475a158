/* SPDX-License-Identifier: MIT */
/*
 * What a workload says: every WORD_MS a line of JSON of what has been seen since
 * the last, as src/faults/workloads/workload.ts has it. A program that waits
 * does so here, so that words come whatever happens, and it ends with its input.
 */
#ifndef RING3_WORKLOAD_WORD_H
#define RING3_WORKLOAD_WORD_H

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"

#define MS 1000000ULL
#define WORD_MS 250

static struct {
	unsigned long done, failed, wrong;
	uint64_t gap;		/* the longest so far, of those that have ended */
	uint64_t well;		/* when the last operation ended well */
	uint64_t due;		/* when the next word is */
	char text[200];		/* the first error or wrong content */
} seen;

/* Counts from now on. */
static inline void begin(void)
{
	seen.well = now_ns();
	seen.due = seen.well + WORD_MS * MS;
}

static inline void say(void)
{
	uint64_t now = now_ns();
	struct timespec wall;

	if (now - seen.well > seen.gap)
		seen.gap = now - seen.well;
	clock_gettime(CLOCK_REALTIME, &wall);
	printf("{\"at\":%.3f,\"done\":%lu,\"failed\":%lu,\"wrong\":%lu,\"gap\":%.3f",
	       wall.tv_sec * 1e3 + wall.tv_nsec / 1e6, seen.done, seen.failed, seen.wrong,
	       seen.gap / 1e6);
	if (*seen.text)
		printf(",\"text\":\"%s\"", seen.text);
	puts("}");
	fflush(stdout);
	seen.done = seen.failed = seen.wrong = seen.gap = 0;
	*seen.text = 0;
	seen.due = now + WORD_MS * MS;
}

/* An operation has ended well. */
static inline void well(void)
{
	uint64_t now = now_ns();

	if (now - seen.well > seen.gap)
		seen.gap = now - seen.well;
	seen.well = now;
	seen.done++;
}

/* Keeps the first text since the last word, with nothing in it that JSON has a meaning for. */
static inline void keep(const char *format, va_list values)
{
	char *at;

	if (*seen.text)
		return;
	vsnprintf(seen.text, sizeof(seen.text), format, values);
	for (at = seen.text; *at; at++)
		if (*at < ' ' || *at > '~' || *at == '"' || *at == '\\')
			*at = *at == '"' ? '\'' : '?';
}

/* An operation has ended with an error. */
__attribute__((format(printf, 1, 2)))
static inline void failed(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	keep(format, values);
	va_end(values);
	seen.failed++;
}

/* Content was not what was sent. */
__attribute__((format(printf, 1, 2)))
static inline void wrong(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	keep(format, values);
	va_end(values);
	seen.wrong++;
}

/* Ends the program: something that no fault of a driver accounts for. */
static inline void die(const char *what)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, strerror(errno));
	exit(1);
}

/*
 * Waits until something happens, or a time has come, or for a while. The first
 * of what is looked at is the program's input, and set here. One whose
 * descriptor is less than 0 is passed over.
 */
static inline void wait_until(struct pollfd *look, nfds_t count, uint64_t until)
{
	uint64_t now = now_ns(), end = until < seen.due ? until : seen.due;
	uint64_t left = end > now ? end - now : 0;
	struct timespec time = { .tv_sec = left / (1000 * MS), .tv_nsec = left % (1000 * MS) };
	char input[64];

	look[0] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };
	if (ppoll(look, count, &time, NULL) < 0) {
		if (errno != EINTR)
			die("ppoll");
		while (count--)
			look[count].revents = 0;
		return;
	}
	if (now_ns() >= seen.due)
		say();
	if (look[0].revents && read(STDIN_FILENO, input, sizeof(input)) <= 0) {
		say();
		exit(0);
	}
}

/* The same, of nothing but the time: comes back when it is there. */
static inline void sleep_until(uint64_t until)
{
	struct pollfd look[1];

	while (now_ns() < until)
		wait_until(look, 1, until);
}

/* A whole number from an argument, within bounds, both included; else the program ends. */
static inline uint64_t number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text >= '0' && *text <= '9' && !*end && value >= least && value <= most)
		return value;
	fprintf(stderr, "%s: %s: not from %llu to %llu\n", program_invocation_short_name, text,
		(unsigned long long)least, (unsigned long long)most);
	exit(64);
}

#endif
