// SPDX-License-Identifier: MIT
/*
 * plugin-host PLUGIN COUNTS [BLOCK TIMES]...
 *
 * QEMU's side of a plugin, as far as cost.c needs it: loads the plugin, shows it
 * a block of code, BLOCK being its address and then the bytes of each of its
 * instructions, all in hexadecimal and separated by ",", and executes it as often
 * as TIMES says. Prints nothing.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qemu_plugin_insn {
	uint8_t code[16];
	size_t size;
};

struct qemu_plugin_tb {
	uint64_t address;
	struct qemu_plugin_insn insn[16];
	size_t count;
	uint64_t *counter;
	uint64_t by;
};

static void (*translated)(uint64_t id, struct qemu_plugin_tb *tb);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *at,
					      uint64_t by);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id,
					   void (*cb)(uint64_t id, struct qemu_plugin_tb *tb))
{
	(void)id;
	translated = cb;
}

void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *at,
					      uint64_t by)
{
	if (op)
		exit(2);
	tb->counter = at;
	tb->by = by;
}

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb)
{
	return tb->count;
}

uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb)
{
	return tb->address;
}

struct qemu_plugin_insn *qemu_plugin_tb_get_insn(struct qemu_plugin_tb *tb, size_t index)
{
	return &tb->insn[index];
}

const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn)
{
	return insn->code;
}

size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn)
{
	return insn->size;
}

static struct qemu_plugin_tb block_of(char *text)
{
	struct qemu_plugin_tb tb = { .address = strtoull(strtok(text, ","), NULL, 16) };
	char *code;

	while ((code = strtok(NULL, ","))) {
		struct qemu_plugin_insn *insn = &tb.insn[tb.count++];
		unsigned int byte;

		for (; sscanf(code, "%2x", &byte) == 1; code += 2)
			insn->code[insn->size++] = (uint8_t)byte;
	}
	return tb;
}

int main(int argc, char **argv)
{
	void *plugin = argc > 2 ? dlopen(argv[1], RTLD_NOW) : NULL;
	int (*install)(uint64_t id, const void *info, int argc, char **argv);
	int i, times;

	if (!plugin) {
		fprintf(stderr, "plugin-host: %s\n", argc > 2 ? dlerror() : "usage");
		return 64;
	}
	if (*(int *)dlsym(plugin, "qemu_plugin_version") != 1)
		return 3;
	*(void **)&install = dlsym(plugin, "qemu_plugin_install");
	if (install(1, NULL, 1, &argv[2]))
		return 1;
	for (i = 3; i + 1 < argc; i += 2) {
		struct qemu_plugin_tb tb = block_of(argv[i]);

		translated(1, &tb);
		for (times = atoi(argv[i + 1]); times; times--)
			*tb.counter += tb.by;
	}
	return 0;
}
