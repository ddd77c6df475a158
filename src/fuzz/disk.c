// SPDX-License-Identifier: MIT
/* Disks: what they are like, and processes that use one whose drivers are hostile. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"

#define ROOM		(256u << 10)
/* What a reader's memory holds before, and what is written: no driver knows the first. */
#define BEFORE		0xa7
#define WRITTEN		0x5c

struct r3_block_attach disk;

void disk_choose(struct random *random, uint32_t ring, uint32_t queues)
{
	uint32_t logical = random_chance(random, 3) ? 4096 : 512;
	uint32_t most = ring - 1 < 128 ? ring - 1 : 128;

	disk = (struct r3_block_attach){
		.sectors = 2048u << random_below(random, 10), .logical_block = logical,
		.physical_block = logical << random_below(random, 4),
		.boundary = random_chance(random, 3) ? 0 : 4096u << random_below(random, 6),
		.max_sectors = 8u << random_below(random, 8),
		.max_segments = 1 + random_below(random, most),
		.max_segment = 4096u << random_below(random, 6),
		.alignment = random_chance(random, 2) ? logical : 4u << random_below(random, 8),
		.depth = 1 + random_below(random, 64), .queues = 1 + random_below(random, queues),
		.features = random_below(random, R3_BLOCK_FEATURES + 1),
		.model = "Hostile", .serial = "1",
	};
	if (!random_chance(random, 8))
		disk.features &= ~R3_BLOCK_READ_ONLY;
	if (disk.features & (R3_BLOCK_DISCARD | R3_BLOCK_ZEROES))
		disk.max_discard = 64u << random_below(random, 8);
}

/* A read that was done has left nothing of what was there before. */
static void look(const uint8_t *buffer, size_t length)
{
	static const uint8_t before[16] = {
		BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE,
		BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE, BEFORE,
	};
	size_t at;

	for (at = 0; at + sizeof(before) <= length; at += 256) {
		if (!memcmp(buffer + at, before, sizeof(before))) {
			atomic_fetch_add(&tally->remains, 1);
			return;
		}
	}
}

static long use(int fd, uint8_t *buffer, struct random *random)
{
	off_t at = (off_t)random_below(random, (uint32_t)(disk.sectors / 8)) * 4096;
	size_t length = (1 + random_below(random, random_chance(random, 4) ? ROOM / 4096 : 4)) *
			4096;
	uint64_t range[2] = { (uint64_t)at, length };
	long result;

	switch (random_below(random, 24)) {
	case 0:
		return fsync(fd);
	case 1:
		return fdatasync(fd);
	case 2:
		return ioctl(fd, BLKDISCARD, range);
	case 3:
		return ioctl(fd, BLKZEROOUT, range);
	case 4:
		return ioctl(fd, BLKFLSBUF, 0);
	case 5:
		return random_chance(random, 8) ? ioctl(fd, BLKRRPART, 0) : 0;
	case 6:
		return posix_fadvise(fd, at, (off_t)length, POSIX_FADV_DONTNEED);
	case 7:
	case 8:
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
	case 14:
		memset(buffer, WRITTEN, length);
		return pwrite(fd, buffer, length, at);
	default:
		memset(buffer, BEFORE, length);
		result = pread(fd, buffer, length, at);
		if (result > 0)
			look(buffer, (size_t)result);
		return result;
	}
}

_Noreturn void disk_use(const char *path, uint64_t seed)
{
	/* Shared, so that the kernel does not take it for the reader's alone. */
	uint8_t *buffer = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
			       0);
	struct random random = { seed };
	uint32_t i;

	if (buffer == MAP_FAILED)
		_exit(1);
	for (;;) {
		int fd = open(path, (random_chance(&random, 4) ? O_RDONLY : O_RDWR) | O_CLOEXEC |
			      (random_chance(&random, 3) ? 0 : O_DIRECT));

		if (fd < 0)
			usleep(3000);
		else
			for (i = random_below(&random, 40); i > 0; i--)
				tallied(DO_disk_use, use(fd, buffer, &random));
		close(fd);
	}
}
