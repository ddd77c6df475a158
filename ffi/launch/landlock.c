// SPDX-License-Identifier: MIT
/*
 * Landlock: files that the process may open, whatever its file system holds.
 * Documentation/userspace-api/landlock.rst
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

/* What later versions than the system's header know of. */
#define ACCESS_FS_REFER		(1ull << 13)	/* version 2 */
#define ACCESS_FS_TRUNCATE	(1ull << 14)	/* version 3 */
#define ACCESS_FS_IOCTL_DEV	(1ull << 15)	/* version 5 */
#define ACCESS_NET		3ull		/* version 4: to bind and to connect TCP */
#define SCOPES			3ull		/* version 6: abstract sockets and signals */

#define ACCESS_FS_VERSION_1	((1ull << 13) - 1)

struct ruleset {
	uint64_t handled_access_fs;
	uint64_t handled_access_net;	/* version 4 */
	uint64_t scoped;		/* version 6 */
};

/* 0 if this kernel has none. */
int landlock_version(void)
{
	const long version = syscall(SYS_landlock_create_ruleset, NULL, 0,
				     LANDLOCK_CREATE_RULESET_VERSION);

	return version < 0 ? 0 : (int)version;
}

static void allow(int ruleset, const char *path, uint64_t access)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access };
	struct stat stat;

	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0 || fstat(rule.parent_fd, &stat))
		fail(path);
	if (!S_ISDIR(stat.st_mode))
		rule.allowed_access &= ~(uint64_t)LANDLOCK_ACCESS_FS_READ_DIR;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0))
		fail("adding a rule to Landlock");
	close(rule.parent_fd);
}

void landlock_enter(int version, const char *const *readable, size_t count)
{
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	struct ruleset all = { .handled_access_fs = ACCESS_FS_VERSION_1 };
	size_t size = sizeof(all.handled_access_fs);
	int ruleset;

	if (version >= 2)
		all.handled_access_fs |= ACCESS_FS_REFER;
	if (version >= 3)
		all.handled_access_fs |= ACCESS_FS_TRUNCATE;
	if (version >= 4) {
		all.handled_access_net = ACCESS_NET;
		size += sizeof(all.handled_access_net);
	}
	if (version >= 5)
		all.handled_access_fs |= ACCESS_FS_IOCTL_DEV;
	if (version >= 6) {
		all.scoped = SCOPES;
		size += sizeof(all.scoped);
	}
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, size, 0);
	if (ruleset < 0)
		fail("making Landlock's rules");
	for (size_t at = 0; at < count; at++)
		allow(ruleset, readable[at], read | LANDLOCK_ACCESS_FS_EXECUTE);
	allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE);
	allow(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE);
	/* Of itself: a process asks there where its stack is. */
	allow(ruleset, "/proc/self", read);
	if (syscall(SYS_landlock_restrict_self, ruleset, 0))
		fail("entering Landlock");
	close(ruleset);
}
