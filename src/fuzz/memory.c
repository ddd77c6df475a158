// SPDX-License-Identifier: MIT
/* What a process can do to memory: the grant's mappings, and its own that it names in calls. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fuzz.h"

uint8_t *map_grant(uint64_t offset, size_t length)
{
	void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, me.grant, (off_t)offset);

	return at == MAP_FAILED ? NULL : at;
}

static struct map *any_slot(struct random *random)
{
	uint32_t from = random_below(random, MAPS);
	uint32_t i;

	for (i = 0; i < MAPS; i++)
		if (me.map[(from + i) % MAPS].at)
			return &me.map[(from + i) % MAPS];
	return &me.map[from];
}

uint8_t *any_map(struct random *random, size_t *length)
{
	struct map *map = any_slot(random);
	uint8_t *at = map->at;

	*length = map->length;
	/* The ones that the rest of the process relies on go as well, at times. */
	if (random_chance(random, 300)) {
		*length = PAGE;
		return random_chance(random, 2) ? me.rings : me.memory;
	}
	return at;
}

void do_mmap(struct random *random)
{
	static const int prots[] = {
		PROT_READ, PROT_READ | PROT_WRITE, PROT_WRITE, PROT_NONE, 7, PROT_READ | PROT_EXEC,
	};
	struct map *map = &me.map[random_below(random, MAPS)];
	uint64_t offset = any_of(me.offset, random);
	size_t length = PAGE << random_below(random, 6);
	int flags = random_chance(random, 10) ? MAP_PRIVATE : MAP_SHARED;
	int prot = prots[random_chance(random, 3) ? random_below(random, COUNT(prots)) : 1];
	uint8_t *old = map->at;
	void *at;

	if (random_chance(random, 6))
		offset += (uint64_t)random_below(random, 64) * PAGE;
	if (random_chance(random, 12))
		offset = random_edge(random);
	if (random_chance(random, 8))
		flags |= MAP_POPULATE;
	/* Over another one, which goes by that. */
	if (old && random_chance(random, 4))
		flags |= MAP_FIXED;
	at = mmap(flags & MAP_FIXED ? old : NULL, length, prot, flags, any_file(random),
		  (off_t)offset);
	if (tallied(DO_mmap, at == MAP_FAILED ? -errno : 0))
		return;
	map->length = length;
	map->at = at;
	if (old && old != at && random_chance(random, 2))
		munmap(old, PAGE);
}

void do_munmap(struct random *random)
{
	struct map *map = any_slot(random);
	uint8_t *at = map->at;
	size_t length = map->length;

	if (!at)
		return;
	/* Part of it: what is left is two. */
	if (length > PAGE && random_chance(random, 3)) {
		tallied(DO_munmap, munmap(at + PAGE, PAGE) ? -errno : 0);
		return;
	}
	/* What is not there any more is named in calls as well, at times. */
	if (!random_chance(random, 4))
		map->at = NULL;
	tallied(DO_munmap, munmap(at, length) ? -errno : 0);
}

void do_mprotect(struct random *random)
{
	static const int prots[] = {
		PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC,
	};
	size_t length;
	uint8_t *at = any_map(random, &length);

	if (at)
		tallied(DO_mprotect,
			mprotect(at, random_chance(random, 2) ? PAGE : length,
				 prots[random_below(random, COUNT(prots))]) ? -errno : 0);
}

void do_madvise(struct random *random)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_DOFORK, MADV_DONTFORK, MADV_DODUMP, MADV_WILLNEED, MADV_FREE,
		MADV_REMOVE, MADV_HUGEPAGE, MADV_MERGEABLE, MADV_COLD, MADV_PAGEOUT,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE,
	};
	size_t length;
	uint8_t *at = any_map(random, &length);

	if (!at)
		return;
	if (random_chance(random, 4))
		tallied(DO_madvise, mlock(at, length) ? -errno : 0);
	else
		tallied(DO_madvise,
			madvise(at, length,
				advice[random_below(random, COUNT(advice))]) ? -errno : 0);
}

void do_mremap(struct random *random)
{
	struct map *map = any_slot(random);
	uint8_t *old = map->at;
	size_t length = map->length;
	/* Smaller, larger, elsewhere, and from no length at all: the way to a second mapping. */
	size_t to = random_chance(random, 3) ? PAGE << random_below(random, 6) : length;
	size_t from = random_chance(random, 6) ? 0 : length;
	int flags = random_chance(random, 5) ? MREMAP_MAYMOVE | MREMAP_DONTUNMAP : MREMAP_MAYMOVE;
	void *at;

	if (!old)
		return;
	if (random_chance(random, 2))
		at = mremap(old, from, to, flags | MREMAP_FIXED,
			    me.arena + (size_t)random_below(random, ARENA) * PAGE);
	else
		at = mremap(old, from, to, flags);
	if (tallied(DO_mremap, at == MAP_FAILED ? -errno : 0))
		return;
	map->length = to;
	map->at = at;
}

void do_touch(struct random *random)
{
	size_t length;
	volatile uint32_t *at = (volatile uint32_t *)any_map(random, &length);
	size_t word;

	if (!at)
		return;
	word = random_below(random, (uint32_t)(length / 4));
	/* Counted before: the access may not return here. */
	tallied(DO_touch, 0);
	if (random_chance(random, 2))
		at[word] = (uint32_t)random_edge(random);
	else
		(void)at[word];
}

/* Have the kernel touch a mapping: as a buffer of other calls. */
void do_copy(struct random *random)
{
	size_t length;
	uint8_t *at = any_map(random, &length);
	struct iovec here = { .iov_base = at, .iov_len = length };
	struct iovec there = { .iov_base = me.arena, .iov_len = length };
	long result;
	int fd[2];

	if (!at)
		return;
	switch (random_below(random, 3)) {
	case 0:
		result = process_vm_readv(getpid(), &there, 1, &here, 1, 0);
		break;
	case 1:
		fd[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC);
		result = read(fd[0], at, length);
		close(fd[0]);
		break;
	default:
		if (pipe2(fd, O_CLOEXEC | O_NONBLOCK))
			return;
		result = random_chance(random, 2) ? write(fd[1], at, PAGE) :
						    vmsplice(fd[1], &here, 1, SPLICE_F_GIFT);
		close(fd[0]);
		close(fd[1]);
	}
	tallied(DO_copy, result < 0 ? -errno : 0);
}

/* Take memory away that calls under way may be reading, or that is pinned; and give it back. */
void do_arena(struct random *random)
{
	bool huge = random_chance(random, 4);
	uint8_t *base = huge ? me.huge : me.arena;
	size_t page = random_below(random, huge ? 1024 : ARENA);
	size_t pages = 1 + random_below(random, huge ? 256 : 8);
	size_t limit = huge ? 1024 : ARENA;
	uint8_t *at = base + page * PAGE;
	size_t length = (page + pages > limit ? limit - page : pages) * PAGE;

	switch (random_below(random, 8)) {
	case 0:
		munmap(at, length);
		break;
	case 1:
		mprotect(at, length, PROT_READ);
		break;
	case 2:
		mprotect(at, length, PROT_NONE);
		break;
	case 3:
		madvise(at, length, MADV_DONTNEED);
		break;
	case 4:
		madvise(at, length, random_chance(random, 2) ? MADV_FREE : MADV_PAGEOUT);
		break;
	default:
		mmap(at, length, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_ANONYMOUS |
		     (random_chance(random, 4) ? MAP_SHARED : MAP_PRIVATE), -1, 0);
		if (huge)
			madvise(at, length, MADV_HUGEPAGE);
	}
}
