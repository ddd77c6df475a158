/* SPDX-License-Identifier: MIT */
/* Registers of an 8254x that both its driver and the card know. */
#ifndef REGISTERS_H
#define REGISTERS_H

#define ICR	0x00c0
#define RDBAL	0x2800
#define RDBAH	0x2804
#define RDLEN	0x2808
#define RDH	0x2810
#define RDT	0x2818
#define TDBAL	0x3800
#define TDBAH	0x3804
#define TDLEN	0x3808
#define TDH	0x3810
#define TDT	0x3818
#define GPTC	0x4080

#endif
