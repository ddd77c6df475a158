// SPDX-License-Identifier: MIT
/* ring3-fuzz run CARD SEED SECONDS [IDE]; ring3-fuzz flood INTERFACE. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

int main(int argc, char **argv)
{
	if ((argc == 5 || argc == 6) && !strcmp(argv[1], "run"))
		return root_run(argv[2], argv[5], strtoull(argv[3], NULL, 0),
				(unsigned int)strtoul(argv[4], NULL, 0));
	if (argc == 3 && !strcmp(argv[1], "flood"))
		return traffic_flood(argv[2]);
	fprintf(stderr, "usage: ring3-fuzz run CARD SEED SECONDS [IDE] | flood INTERFACE\n");
	return 64;
}
