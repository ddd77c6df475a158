#!/bin/sh
# Runs a command in a mount namespace of its own, in which $RING3_MACHINE holds /sys, /proc and /dev/kmsg a second
# time. Deno denies all three to every process that lacks any permission; below another name it can be given parts.
set -e
# Limits of memory, threads and time take a cgroup for each driver, below one that holds no process itself. All are
# on one level: the scheduler goes through every level each time that a driver sleeps or wakes. As a service, the
# supervisor has been given the cgroup that it is in, and leaves it for one beside the drivers'.
root=/sys/fs/cgroup
if [ -w $root/cgroup.subtree_control ]; then
	if [ -n "$RING3_DELEGATED" ]; then
		root=$root$(sed -n s/^0:://p /proc/self/cgroup)
		mkdir -p "$root/supervisor"
		echo $$ > "$root/supervisor/cgroup.procs"
	fi
	export RING3_CGROUP="$root/ring3-$$"
	# Without one of them the launcher says what this machine lacks.
	for controller in cpu memory pids; do
		{ echo "+$controller" > "$root/cgroup.subtree_control"; } 2> /dev/null || :
	done
	# Those of supervisors that were killed.
	for other in "$root"/ring3-*-*/; do
		pid=${other#"$root/ring3-"}
		[ -d "/proc/${pid%%-*}" ] || rmdir "$other" 2> /dev/null || :
	done
fi
mkdir -p "$RING3_MACHINE/sys" "$RING3_MACHINE/proc"
: > "$RING3_MACHINE/kmsg"
exec unshare --mount --propagation slave sh -ec '
	mount --bind /sys "$RING3_MACHINE/sys"
	mount --bind /proc "$RING3_MACHINE/proc"
	# Without the log a supervisor runs on and says so.
	[ ! -c /dev/kmsg ] || mount --bind /dev/kmsg "$RING3_MACHINE/kmsg"
	exec "$@"
' sh "$@"
