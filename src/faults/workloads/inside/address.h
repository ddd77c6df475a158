/* SPDX-License-Identifier: MIT */
/* Addresses from arguments. */
#ifndef RING3_WORKLOAD_ADDRESS_H
#define RING3_WORKLOAD_ADDRESS_H

#include <arpa/inet.h>
#include <sys/socket.h>

#include "word.h"

/* An address and a port, 0 for any; if it is none, the program ends. */
static inline struct sockaddr_in address(const char *text, uint64_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	if (inet_pton(AF_INET, text, &at.sin_addr) == 1)
		return at;
	fprintf(stderr, "%s: %s: not an IPv4 address\n", program_invocation_short_name, text);
	exit(64);
}

#endif
