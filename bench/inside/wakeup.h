/* SPDX-License-Identifier: MIT */
/* QEMU's edu device, and the memory beside it that a driver and raise share. */
#ifndef RING3_BENCH_WAKEUP_H
#define RING3_BENCH_WAKEUP_H

#define PAGE		4096

/* Registers that interrupts take, as in bench/drivers/edu/registers.ts; words of BAR 0. */
#define REG_STATUS	(0x24 / 4)
#define REG_RAISE	(0x60 / 4)
#define REG_ACKNOWLEDGE	(0x64 / 4)

/* Words of the memory, as there. */
#define WORD_ANSWER	0
#define WORD_GARBAGE	16
#define WORD_BUSY	32
#define WORD_LOTS	33
#define WORD_TOOK	34
#define WORD_LONGEST	35

#endif
