// SPDX-License-Identifier: MIT
/* Attempts at what only root may do to a machine, and to become root. */
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/perf_event.h>
#include <linux/reboot.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>

#include "attempt.h"

/* keyctl(2): linux/keyctl.h */
#define KEYCTL_READ 11

static int become_root(char **unused)
{
	(void)unused;
	/* The call itself: the library's has a signal for every thread. */
	return failed(syscall(SYS_setresuid, 0, 0, 0));
}

static int take_capabilities(char **unused)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct all[2] = {
		{ .effective = ~0u, .permitted = ~0u }, { .effective = ~0u, .permitted = ~0u },
	};

	(void)unused;
	return failed(syscall(SYS_capset, &head, all));
}

static int new_privileges(char **unused)
{
	(void)unused;
	return failed(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static int keep_capabilities(char **unused)
{
	(void)unused;
	return failed(prctl(PR_SET_SECUREBITS, 1, 0, 0, 0));
}

static int enter_namespace(char **path)
{
	const int fd = open(path[0], O_RDONLY);

	/* Without one, that of descriptor 0 is no worse. */
	return failed(syscall(SYS_setns, fd < 0 ? 0 : fd, 0));
}

static int new_namespace(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_unshare, CLONE_NEWNS));
}

static int mount_fs(char **unused)
{
	(void)unused;
	return failed(mount("none", "/proc", "tmpfs", 0, NULL));
}

static int mount_new(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_fsopen, "tmpfs", 0));
}

static int unmount(char **unused)
{
	(void)unused;
	return failed(umount2("/proc", MNT_DETACH));
}

static int change_root(char **unused)
{
	(void)unused;
	return failed(chroot("/proc"));
}

static int host_name(char **unused)
{
	(void)unused;
	return failed(sethostname("taken", 5));
}

static int clock_set(char **unused)
{
	const struct timespec then = { .tv_sec = 1 };

	(void)unused;
	return failed(syscall(SYS_clock_settime, CLOCK_REALTIME, &then));
}

static int restart_machine(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
			      LINUX_REBOOT_CMD_RESTART, NULL));
}

static int new_kernel(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_kexec_load, 0, 0, NULL, 0));
}

static int load_module(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_init_module, "", 0, ""));
}

static int load_bpf(char **unused)
{
	union bpf_attr attr;
	static const struct bpf_insn program[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K }, { .code = BPF_JMP | BPF_EXIT },
	};

	(void)unused;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	attr.insns = (uintptr_t)program;
	attr.insn_cnt = 2;
	attr.license = (uintptr_t)"GPL";
	return failed(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)));
}

/* What the kernel does, instruction by instruction. */
static int watch_kernel(char **unused)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = 1000, .sample_type = PERF_SAMPLE_IP,
	};

	(void)unused;
	return failed(syscall(SYS_perf_event_open, &attr, -1, 0, -1, 0));
}

/* Holds the kernel up in the middle of a copy. */
static int hold_faults(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_userfaultfd, 0));
}

static int read_key(char **serial)
{
	char bytes[64];

	return failed(syscall(SYS_keyctl, KEYCTL_READ, atoi(serial[0]), bytes, sizeof(bytes)));
}

static int port_access(char **unused)
{
	(void)unused;
	return failed(ioperm(0x70, 2, 1));
}

static int port_level(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_iopl, 3));
}

/* Without being allowed to. */
static int port_read(char **unused)
{
	(void)unused;
	note("port 0x71 reads %u", inb(0x71));
	return 0;
}

static int raise_limit(char **unused)
{
	const struct rlimit most = { .rlim_cur = 1 << 20, .rlim_max = 1 << 20 };

	(void)unused;
	return failed(syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &most, NULL));
}

/* A key pressed at the terminal of whoever started the supervisor. */
static int type_at_terminal(char **unused)
{
	(void)unused;
	return failed(ioctl(STDERR_FILENO, TIOCSTI, "\n"));
}

static int watch_files(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_fanotify_init, 0, 0));
}

static int account(char **unused)
{
	(void)unused;
	return failed(syscall(SYS_acct, NULL));
}

static int kernel_log(char **unused)
{
	char text[64];

	(void)unused;
	return failed(syscall(SYS_syslog, 3, text, sizeof(text)));
}

const struct attempt privilege_attempts[] = {
	{ .name = "root", .make = become_root },
	{ .name = "capabilities", .make = take_capabilities },
	{ .name = "new-privileges", .make = new_privileges },
	{ .name = "securebits", .make = keep_capabilities },
	{ .name = "enter-namespace", .make = enter_namespace },
	{ .name = "new-namespace", .make = new_namespace },
	{ .name = "mount", .make = mount_fs },
	{ .name = "fsopen", .make = mount_new },
	{ .name = "unmount", .make = unmount },
	{ .name = "chroot", .make = change_root },
	{ .name = "host-name", .make = host_name },
	{ .name = "clock", .make = clock_set },
	{ .name = "reboot", .make = restart_machine },
	{ .name = "kexec", .make = new_kernel },
	{ .name = "load-module", .make = load_module },
	{ .name = "bpf", .make = load_bpf },
	{ .name = "perf", .make = watch_kernel },
	{ .name = "userfaultfd", .make = hold_faults },
	{ .name = "read-key", .make = read_key },
	{ .name = "ioperm", .make = port_access },
	{ .name = "iopl", .make = port_level },
	{ .name = "port-read", .make = port_read },
	{ .name = "raise-limit", .make = raise_limit },
	{ .name = "terminal", .make = type_at_terminal },
	{ .name = "fanotify", .make = watch_files },
	{ .name = "acct", .make = account },
	{ .name = "kernel-log", .make = kernel_log },
	{ 0 },
};
