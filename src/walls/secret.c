// SPDX-License-Identifier: MIT
/*
 * A page of a process that no device has any business with. Fills it with 4,096
 * bytes from standard input, locks it, and prints its physical address; when
 * standard input ends it prints the address again, and what the page holds by then
 * in hexadecimal. Root's: nobody else is shown physical addresses (proc(5),
 * "pagemap").
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096
/* An entry of pagemap: the page is present, and its number. */
#define PRESENT (1ULL << 63)
#define NUMBER ((1ULL << 55) - 1)

/* The physical address of a page, 0 if there is none to be had. */
static uint64_t physical(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);
	ssize_t got;

	if (fd < 0)
		return 0;
	got = pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)page / PAGE * sizeof(entry)));
	close(fd);
	return got == sizeof(entry) && entry & PRESENT ? (entry & NUMBER) * PAGE : 0;
}

int main(void)
{
	/* The device writes it behind the compiler's back. */
	volatile uint8_t *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				      MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE,
				      -1, 0);
	uint64_t address;
	size_t i;
	int c;

	if (page == MAP_FAILED)
		return 1;
	for (i = 0; i < PAGE; i++) {
		c = getchar();
		if (c == EOF)
			return 2;
		page[i] = (uint8_t)c;
	}
	address = physical((const void *)page);
	if (!address)
		return 3;
	printf("0x%" PRIx64 "\n", address);
	fflush(stdout);
	while (getchar() != EOF)
		;
	printf("0x%" PRIx64 "\n", physical((const void *)page));
	for (i = 0; i < PAGE; i++)
		printf("%02x", page[i]);
	printf("\n");
	return 0;
}
