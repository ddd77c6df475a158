// SPDX-License-Identifier: MIT
/*
 * A plugin of QEMU's emulator (TCG) that counts the guest's instructions by
 * where they are:
 *
 *   -plugin cost.so,counts=FILE
 *
 * The file, which is made, is a header of 64 bytes and then entries, all of
 * words of 64 bits. The header's first word says how many entries there are, and
 * only grows; its second, how many blocks found no entry any more and were not
 * counted. An entry is
 *
 *   address     virtual, where a block of instructions begins
 *   size        instructions in it; with the highest bit set, a round of a string
 *               instruction after its first, which is a block of its own
 *   executions  how often it was entered, also where an exception left it early
 *
 * The emulator adds in place, without a call; there must be one thread of it
 * (-accel tcg,thread=single).
 *
 * qemu-plugin.h is not packaged; what is used of it is declared here, as QEMU 7.2
 * has it (version 1 of the interface).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
					   void (*translated)(qemu_plugin_id_t id,
							      struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, enum qemu_plugin_op op,
					      void *at, uint64_t by);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

EXPORT int qemu_plugin_version = 1;

#define CAPACITY (1u << 24)
#define BUCKETS (2 * CAPACITY)
#define ROUND (1ULL << 63)

struct entry {
	uint64_t address;
	uint64_t size;
	uint64_t executions;
};

struct counts {
	uint64_t entries;
	uint64_t overflows;
	uint64_t reserved[6];
	struct entry entry[CAPACITY];
};

static struct counts *counts;
static uint32_t bucket[BUCKETS];	/* index of an entry plus one, or 0 */

static struct entry *entry_of(uint64_t address, uint64_t size)
{
	uint32_t at = (uint32_t)(((address ^ size << 48) * 0x9e3779b97f4a7c15ULL) >> 32) % BUCKETS;
	struct entry *entry;

	while (bucket[at]) {
		entry = &counts->entry[bucket[at] - 1];
		if (entry->address == address && entry->size == size)
			return entry;
		at = (at + 1) % BUCKETS;
	}
	if (counts->entries == CAPACITY) {
		counts->overflows++;
		return NULL;
	}
	entry = &counts->entry[counts->entries];
	entry->address = address;
	entry->size = size;
	/* A reader that sees the number sees the entry. */
	__atomic_store_n(&counts->entries, counts->entries + 1, __ATOMIC_RELEASE);
	bucket[at] = (uint32_t)counts->entries;
	return entry;
}

/* REP and an instruction that moves, compares, stores, loads, scans, or does I/O with a string. */
static int repeats(const struct qemu_plugin_insn *insn)
{
	const uint8_t *code = qemu_plugin_insn_data(insn);
	size_t size = qemu_plugin_insn_size(insn), at;
	int rep = 0;

	for (at = 0; at + 1 < size; at++)
		rep |= code[at] == 0xf2 || code[at] == 0xf3;
	return rep && ((code[at] >= 0x6c && code[at] <= 0x6f) ||
		       (code[at] >= 0xa4 && code[at] <= 0xa7) ||
		       (code[at] >= 0xaa && code[at] <= 0xaf));
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t size = qemu_plugin_tb_n_insns(tb);
	int round = size == 1 && repeats(qemu_plugin_tb_get_insn(tb, 0));
	struct entry *entry = entry_of(qemu_plugin_tb_vaddr(tb), size | (round ? ROUND : 0));

	(void)id;
	if (entry)
		qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64,
							 &entry->executions, 1);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	const char *path = NULL;
	int i, fd;

	(void)info;
	for (i = 0; i < argc; i++)
		if (!strncmp(argv[i], "counts=", 7))
			path = argv[i] + 7;
	if (!path) {
		fprintf(stderr, "cost: no counts=FILE\n");
		return 1;
	}
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*counts))) {
		fprintf(stderr, "cost: %s: %s\n", path, strerror(errno));
		return 1;
	}
	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (counts == MAP_FAILED) {
		fprintf(stderr, "cost: %s: %s\n", path, strerror(errno));
		return 1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
