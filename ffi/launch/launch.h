/* SPDX-License-Identifier: MIT */
/* ring3-launch: what its parts have of each other. All but filters end the process if they fail. */
#ifndef RING3_LAUNCH_H
#define RING3_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

/* Set-up failed, as distinct from any exit status of the program's. */
#define EXIT_LAUNCH 125

/* Most files and folders that a program may be given to read. */
#define MAX_READABLE 64

/* Descriptors that the program finds, beside 0 to 2. */
#define CONTROL_FD 3
#define FILTER_FD 4

/* Parts of the sandbox that a kernel may lack, or that may be left out. */
enum wall { NAMESPACES, LANDLOCK, SECCOMP, CGROUP, WALLS };

/* What is asked of such a part, and what becomes of it. */
enum demand { REQUIRED, PREFERRED, OFF };
enum standing { STANDS, MISSING, LEFT_OUT };

struct cgroup_limits {
	const char *directory;	/* to be made, for this process alone; in an existing one */
	unsigned long memory;	/* bytes */
	unsigned long threads;
	unsigned long cpu;	/* thousandths of a processor */
};

/* Says what failed, with errno in words, and ends the process. */
__attribute__((noreturn)) void fail(const char *what);

/* Writes a line about what is missing, where errno would not explain it, and ends the process. */
__attribute__((noreturn)) void refuse(const char *why);

/* cgroup.c: a cgroup of version 2. */
int cgroup_make(const struct cgroup_limits *limits);
bool cgroup_ran_out_of_memory(int directory);
void cgroup_remove(int directory_fd, const char *directory);

/* root.c: file system with nothing but what is named, all of it read-only. */
void root_enter(const char *const *readable, size_t count);

/* landlock.c */
int landlock_version(void);
void landlock_enter(int version, const char *const *readable, size_t count);

/* filter.c: system calls. */
bool filter_available(void);
void filter_enter(void);
int filter_for_seal(bool executable_memory);

#endif
