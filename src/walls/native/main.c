// SPDX-License-Identifier: MIT
/*
 * attempt NAME [ARGUMENT]...
 *
 * A hostile driver as native code, since an escape from V8 must be assumed: it is
 * started in place of Deno in the very same sandbox, receives its grant and seals
 * itself as a host does, makes one attempt, and says in one line of JSON how that
 * went, unless it dies of it: {"error":"EACCES","detail":"..."}; "error" is null
 * if it got what it wanted. A line {"ask":"..."} has its starter do something.
 *
 * attempt victim: not sandboxed; see victim.c.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"

/* What is no way for an attempt to end. */
#define EXIT_BROKEN 99

struct granted granted = { .fd = -1 };

static char detail[256];

void note(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(detail, sizeof(detail), format, list);
	va_end(list);
}

static void say(const char *line)
{
	if (write(STDOUT_FILENO, line, strlen(line)) < 0)
		_exit(EXIT_BROKEN);
}

void broken(const char *what)
{
	char line[256];
	const int size = snprintf(line, sizeof(line), "attempt: %s: %s\n", what, strerror(errno));

	if (write(STDERR_FILENO, line, (size_t)size) < 0)
		_exit(EXIT_BROKEN + 1);
	_exit(EXIT_BROKEN);
}

void ask(const char *what)
{
	char line[64], answer[512];
	int32_t passed;

	snprintf(line, sizeof(line), "{\"ask\":\"%s\"}\n", what);
	say(line);
	if (r3_receive(CONTROL_FD, answer, sizeof(answer), &passed, 0) <= 0)
		broken("waiting for an answer");
}

void report(int error)
{
	char line[512];

	if (error)
		snprintf(line, sizeof(line), "{\"error\":\"%s\",\"detail\":\"%s\"}\n",
			 strerrorname_np(error), detail);
	else
		snprintf(line, sizeof(line), "{\"error\":null,\"detail\":\"%s\"}\n", detail);
	say(line);
}

const struct attempt *find_attempt(const char *name)
{
	const struct attempt *const all[] = {
		file_attempts, process_attempts, privilege_attempts, network_attempts,
		memory_attempts, grant_attempts, ring_attempts,
	};

	for (size_t list = 0; list < sizeof(all) / sizeof(all[0]); list++) {
		for (const struct attempt *at = all[list]; at->name; at++) {
			if (!strcmp(at->name, name))
				return at;
		}
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct attempt *attempt;
	char message[4096];
	bool early;
	int32_t grant;
	int result;

	if (argc == 2 && !strcmp(argv[1], "victim"))
		return keep_victim();
	attempt = argc > 1 ? find_attempt(argv[1]) : NULL;
	if (!attempt) {
		errno = EINVAL;
		broken("no attempt of that name");
	}
	/* A process that another attempt has become: it is sealed already. */
	if (argc > 2 && !strcmp(argv[2], "sealed")) {
		report(attempt->make(argv + 3));
		return 0;
	}
	if (r3_receive(CONTROL_FD, message, sizeof(message), &grant, 0) <= 0 || grant < 0)
		broken("receiving the grant");
	granted.fd = grant;
	map_grant();
	if (attempt->prepare)
		attempt->prepare();
	/* As by a driver's modules, which run when no more than this is sealed. */
	early = argc > 2 && !strcmp(argv[2], "early");
	result = r3_seal(FILTER_FD);
	if (!result && !early)
		result = r3_seal_mapped();
	if (result) {
		errno = -result;
		broken("sealing");
	}
	report(attempt->make(argv + (early ? 3 : 2)));
	return 0;
}
