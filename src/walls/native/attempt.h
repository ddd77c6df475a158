/* SPDX-License-Identifier: MIT */
/* A hostile driver as native code: what the parts of the program have of each other. */
#ifndef WALLS_ATTEMPT_H
#define WALLS_ATTEMPT_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "ring3.h"

#define CONTROL_FD 3
#define FILTER_FD 4

/*
 * An attempt that is made with the arguments of the command line behind its name.
 * 0: it got what it wanted; else errno.
 */
typedef int (*attempt_fn)(char **arguments);

struct attempt {
	const char *name;
	attempt_fn make;
	void (*prepare)(void);	/* by a host, before the seal, if it takes more than the grant */
};

/* What a host holds when it is sealed. */
struct granted {
	int fd;
	struct r3_info info;
	volatile uint32_t *bar;		/* window 0 */
	char *rings;			/* the port's */
};

extern struct granted granted;

/* The attempts of each file, ended by one without a name. */
extern const struct attempt file_attempts[], process_attempts[], privilege_attempts[],
	network_attempts[], memory_attempts[], grant_attempts[], ring_attempts[];

/* Says more of what happened, in a few words without quotes. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* Ends the program: it is the attempt that is to fail, and not what leads to it. */
__attribute__((noreturn)) void broken(const char *what);

/* Has whoever started this do something, and waits until it is done. */
void ask(const char *what);

/* Tells how an attempt went, on standard output. */
void report(int error);

/* Errno of a result below zero, else 0. */
static inline int failed(long result)
{
	return result < 0 ? errno : 0;
}

/* grant.c: maps what the grant holds. */
void map_grant(void);

/* main.c: the attempt of a name, for those who make another one in a new way. */
const struct attempt *find_attempt(const char *name);

/* victim.c: what others have that a driver is to reach. Returns once standard input has ended. */
int keep_victim(void);

#define VICTIM_SECRET "what no driver may know"
#define VICTIM_SHM 0x72330001
#define VICTIM_MQ "/ring3-victim"
#define VICTIM_ABSTRACT "ring3-victim"
#define VICTIM_SOCKET "/run/ring3-victim.socket"

/* libring3.c, compiled in. */
int r3_seal(int filter);
int r3_seal_mapped(void);
int r3_receive(int fd, void *data, uint32_t size, int32_t *passed, int32_t nonblock);

#endif
