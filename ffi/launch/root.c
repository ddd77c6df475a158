// SPDX-License-Identifier: MIT
/*
 * A file system of its own: what is named, read-only, and the process's own part
 * of /proc. In new mount and process namespaces. mount_setattr(2), pivot_root(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "launch.h"

/* Where the new root is put together, in this mount namespace only: a folder every system has. */
#define ASSEMBLED "/tmp"

static const char *const devices[] = { "/dev/null", "/dev/urandom" };

/* A copy of what is mounted at a path, with nothing mounted below. */
static int take(const char *path, unsigned long long attributes)
{
	struct mount_attr change = { .attr_set = attributes };
	const int tree = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &change, sizeof(change)))
		fail(path);
	return tree;
}

/* Makes the folders that lead to an absolute path, below root. */
static void lead(int root, const char *path)
{
	char part[4096];

	for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		snprintf(part, sizeof(part), "%.*s", (int)(at - path - 1), path + 1);
		if (mkdirat(root, part, 0755) && errno != EEXIST)
			fail(path);
	}
}

static void put(int root, const char *path, int tree)
{
	struct stat stat;
	int file;

	if (fstat(tree, &stat))
		fail(path);
	lead(root, path);
	if (S_ISDIR(stat.st_mode)) {
		if (mkdirat(root, path + 1, 0755) && errno != EEXIST)
			fail(path);
	} else {
		file = openat(root, path + 1, O_CREAT | O_WRONLY | O_CLOEXEC, 0444);
		if (file < 0)
			fail(path);
		close(file);
	}
	if (move_mount(tree, "", root, path + 1, MOVE_MOUNT_F_EMPTY_PATH))
		fail(path);
	close(tree);
}

static int make_fs(const char *type, const char *const *settings, unsigned int attributes)
{
	const int fs = fsopen(type, FSOPEN_CLOEXEC);
	int mount;

	for (; fs >= 0 && *settings; settings += 2) {
		if (fsconfig(fs, FSCONFIG_SET_STRING, settings[0], settings[1], 0))
			fail(type);
	}
	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		fail(type);
	mount = fsmount(fs, FSMOUNT_CLOEXEC,
			attributes | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	if (mount < 0)
		fail(type);
	close(fs);
	return mount;
}

void root_enter(const char *const *readable, size_t count)
{
	static const char *const of_root[] = { "mode", "755", "size", "1m", NULL };
	static const char *const of_proc[] = { "subset", "pid", "hidepid", "invisible", NULL };
	struct mount_attr sealed = { .attr_set = MOUNT_ATTR_RDONLY };
	int trees[MAX_READABLE], nodes[2], root;

	/* What happens here stays here. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		fail("making the mounts private");
	/* All is taken before the first of it may be covered. */
	for (size_t at = 0; at < count; at++)
		trees[at] = take(readable[at],
				 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
	for (size_t at = 0; at < 2; at++)
		nodes[at] = take(devices[at], MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

	root = make_fs("tmpfs", of_root, 0);
	if (move_mount(root, "", AT_FDCWD, ASSEMBLED, MOVE_MOUNT_F_EMPTY_PATH))
		fail("mounting a new root");
	for (size_t at = 0; at < 2; at++)
		put(root, devices[at], nodes[at]);
	put(root, "/proc", make_fs("proc", of_proc, MOUNT_ATTR_RDONLY));
	for (size_t at = 0; at < count; at++)
		put(root, readable[at], trees[at]);

	if (fchdir(root) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) ||
	    chdir("/"))
		fail("changing to the new root");
	/* The folders that lead to what was put there; what was put there is already. */
	if (mount_setattr(root, "", AT_EMPTY_PATH, &sealed, sizeof(sealed)))
		fail("making the new root read-only");
	close(root);
}
