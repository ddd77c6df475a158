// SPDX-License-Identifier: MIT
/* Attempts to take all memory, and to make code of it. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#include "attempt.h"

#define PART (4ul << 20)
/* More than the cgroup lets it use; from there on it takes without using, which is quicker. */
#define USED (128ul << 20)
/* More than any lab has. */
#define MOST (64ul << 30)

/* x86-64: mov eax, 7; ret */
static const unsigned char code[] = { 0xb8, 7, 0, 0, 0, 0xc3 };

static int take(int flags)
{
	size_t taken;

	for (taken = 0; taken < MOST; taken += PART) {
		char *at = mmap(NULL, PART, PROT_READ | PROT_WRITE, flags, -1, 0);

		note("after %zu MiB", taken >> 20);
		if (at == MAP_FAILED)
			return errno;
		for (size_t page = 0; taken < USED && page < PART; page += 4096)
			at[page] = 1;
	}
	return 0;
}

static int memory_bomb(char **unused)
{
	(void)unused;
	return take(MAP_PRIVATE | MAP_ANONYMOUS);
}

static int shared_bomb(char **unused)
{
	(void)unused;
	return take(MAP_SHARED | MAP_ANONYMOUS);
}

/* Pages that the machine has set aside for others, and that count as nobody's memory. */
static int huge_pages(char **unused)
{
	(void)unused;
	return mmap(NULL, 2ul << 20, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0) == MAP_FAILED ? errno : 0;
}

/* Memory that is a file. */
static int file_bomb(char **unused)
{
	const int fd = (int)syscall(SYS_memfd_create, "bomb", 0);
	static char zeros[65536];

	(void)unused;
	if (fd < 0)
		return errno;
	for (size_t taken = 0; taken < MOST; taken += sizeof(zeros)) {
		if (write(fd, zeros, sizeof(zeros)) < 0)
			return errno;
	}
	return 0;
}

static int run(void *at)
{
	const int got = ((int (*)(void))at)();

	note("it ran and gave %d", got);
	return got == 7 ? 0 : ENOEXEC;
}

/* A page that begins with the code; NULL and errno, if it cannot be had. */
static void *page_of_code(int prot)
{
	void *at = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : memcpy(at, code, sizeof(code));
}

static int map_code(char **unused)
{
	void *at = page_of_code(PROT_READ | PROT_WRITE | PROT_EXEC);

	(void)unused;
	return at ? run(at) : errno;
}

static int protect_code(char **unused)
{
	void *at = page_of_code(PROT_READ | PROT_WRITE);

	(void)unused;
	if (!at)
		return errno;
	return mprotect(at, 4096, PROT_READ | PROT_EXEC) ? errno : run(at);
}

/* Whatever is read may be run. */
static int readable_is_code(char **unused)
{
	void *at;

	(void)unused;
	if (personality(READ_IMPLIES_EXEC) < 0)
		return errno;
	at = page_of_code(PROT_READ | PROT_WRITE);
	return at ? run(at) : errno;
}

/* Without asking. */
static int run_data(char **unused)
{
	void *at = page_of_code(PROT_READ | PROT_WRITE);

	(void)unused;
	return at ? run(at) : errno;
}

static int lock_memory(char **unused)
{
	(void)unused;
	return failed(mlockall(MCL_CURRENT));
}

/* Takes a page of the machine's out of use for good. */
static int poison_page(char **unused)
{
	char *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	if (at == MAP_FAILED)
		return errno;
	at[0] = 1;
	return failed(madvise(at, 4096, MADV_HWPOISON));
}

const struct attempt memory_attempts[] = {
	{ .name = "memory-bomb", .make = memory_bomb },
	{ .name = "shared-bomb", .make = shared_bomb },
	{ .name = "huge-pages", .make = huge_pages },
	{ .name = "file-bomb", .make = file_bomb },
	{ .name = "map-code", .make = map_code },
	{ .name = "protect-code", .make = protect_code },
	{ .name = "readable-is-code", .make = readable_is_code },
	{ .name = "run-data", .make = run_data },
	{ .name = "lock-memory", .make = lock_memory },
	{ .name = "poison-page", .make = poison_page },
	{ 0 },
};
