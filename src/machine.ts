/**
 * Where this process finds the kernel's file systems. Deno keeps a process that lacks any permission away
 * from all of `/sys`, `/proc` and `/dev`, so the supervisor, which has few, sees them at another place, where
 * permissions for parts of them can be given: `src/supervisor/start.sh` mounts them there.
 */

/** Names the folder that holds `sys`, `proc` and `kmsg`; they are in the root folder if it is not set. */
export const MACHINE_VARIABLE = "RING3_MACHINE";

const machine = Deno.env.get(MACHINE_VARIABLE) ?? "";

/** What the cgroups that this supervisor has made, one for each process, begin with; not set where there can be none. */
export const CGROUP_VARIABLE = "RING3_CGROUP";

/** The mount point of sysfs. */
export const SYS = `${machine}/sys`;

/** The kernel's log. */
export const KMSG = machine === "" ? "/dev/kmsg" : `${machine}/kmsg`;

/** The mount point of procfs. */
export const PROC = `${machine}/proc`;
