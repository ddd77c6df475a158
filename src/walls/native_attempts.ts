/**
 * What native code tries in place of Deno, with a grant and sealed as a host is: the attempts of
 * `src/walls/native/`, and the walls that they meet.
 */
import type { Attempt, Stop, WallName } from "./attempt.ts";

/** What of the machine an attempt is about. */
export interface Setting {
  /** A process of root's: its number, an address of its memory, a port and a key of its own. */
  victim: { pid: number; port: number; key: number; secret: string };
  /** A process of the same user: another of the same driver. */
  mate: number;
  /** PCI address of somebody else's device, and its interface. */
  other: { address: string; interface: string };
  /** Address on a network of this machine. */
  host: string;
}

/** An attempt of native code. */
export interface NativeAttempt extends Attempt {
  /** Arguments of the program. */
  run: (setting: Setting) => (string | number)[];
  /** The grant has a network port. */
  port?: boolean;
  /** Nothing in memory may become code. */
  jit?: false;
  /** Another attempt on the same thing: what stops that is behind the walls of this one. */
  as?: string;
  /** The quota of DMA memory is no bound: from the second wall on. */
  quotaLifted?: boolean;
}

/** A file that only root reads. */
export const SECRET_FILE = "/etc/shadow";
/** A file that everybody reads. */
export const OPEN_FILE = "/etc/passwd";
/** A file that is not there, in a folder in which everybody may make one. */
export const NEW_FILE = "/tmp/ring3-was-here";
/** A file that it is given to read, and that everybody may write. */
export const SHARED_FILE = "/run/ring3-shared";
/** What attempts may take of the machine. */
export const LIMITS = { memory: 64 * 2 ** 20, threads: 16, cpu: 0.5 } as const;

const stop = (wall: WallName, evidence: RegExp): Stop => ({ wall, evidence });
/** A call that ends the process. */
const FORBIDDEN = stop("seccomp", /^SIGSYS/);
/** A call that a running Deno makes too, and that is answered. */
const DENIED = stop("seccomp", /^EPERM/);
const NOT_THERE = stop("namespaces", /^ENOENT/);
const READ_ONLY = stop("namespaces", /^EROFS/);
const NO_PROCESS = stop("namespaces", /^ESRCH/);
const UNNAMED = stop("landlock", /^EACCES/);
const NOT_ALLOWED = stop("user", /^E(ACCES|PERM)/);
const NOT_ROOT = stop("user", /^EPERM/);

/** From Linux 6.7 on Landlock refuses it as well, and first. */
const NO_NETWORK = stop("namespaces", /^E(NETUNREACH|ACCES)/);

/** What root's files are safe by: permissions are looked at before Landlock is asked. */
const ROOTS_FILE = [DENIED, NOT_THERE, NOT_ALLOWED];
/** And files that everybody may read. */
const FILE = [DENIED, NOT_THERE, UNNAMED];
const FILE_BY_OTHER_CALL = [FORBIDDEN, NOT_THERE, UNNAMED];
/** What a process of root's is safe by. */
const PROCESS = [FORBIDDEN, NO_PROCESS, NOT_ROOT];
/** What only root may. */
const ROOTS = [FORBIDDEN, NOT_ROOT];
const module = (evidence: RegExp) => [stop("module", evidence)];
/** Mapping anything but fresh memory is over after the seal. */
const MAPPING = [FORBIDDEN, stop("module", /^EINVAL/)];
const REVOKED = module(/^EKEYREVOKED/);
const PROTOCOL = (text: string) => module(RegExp(`^EKEYREVOKED.*; grant ended: protocol: .*${text}`));

type Options = Partial<Pick<NativeAttempt, "port" | "jit" | "quotaLifted" | "as">>;

function attempt(
  name: string,
  what: string,
  parts: Options & { run: NativeAttempt["run"]; stops: readonly Stop[] },
): NativeAttempt {
  return { name, what, ...parts };
}

/** One without arguments. */
function plain(
  verb: string,
  parts: { name: string; what: string; stops: readonly Stop[] } & Options,
): NativeAttempt {
  return { ...parts, run: () => [verb] };
}

/** Reads a file of root's. */
function reads(
  name: string,
  { path, what }: { path: string | ((setting: Setting) => string); what: string },
) {
  const run = (setting: Setting) => ["read", typeof path === "string" ? path : path(setting)];
  return attempt(name, what, { run, stops: ROOTS_FILE });
}

/** Reads a file that everybody may read, in another way than by opening it. */
function readsBy(verb: string, name: string, stops: readonly Stop[] = FILE_BY_OTHER_CALL): NativeAttempt {
  return attempt(name, "the machine's files", { run: () => [verb, OPEN_FILE], stops });
}

/** Does something to a process. */
function reaches(verb: string, { name, what }: { name: string; what: string }): NativeAttempt {
  const run = ({ victim }: Setting) => [verb, victim.pid, victim.secret];
  return attempt(name, what, { run, stops: PROCESS });
}

const FILES: readonly NativeAttempt[] = [
  reads("read /etc/shadow", { path: SECRET_FILE, what: "passwords" }),
  attempt("read /etc/passwd", "the machine's files", { run: () => ["read", OPEN_FILE], stops: FILE }),
  readsBy("read-openat2", "read it with openat2()"),
  readsBy("read-int80", "read it with a 32-bit call"),
  readsBy("read-x32", "read it with an x32 call", [FORBIDDEN, stop("user", /^ENOSYS/)]),
  readsBy("read-io-uring", "read it with io_uring"),
  readsBy("read-in-userns", "read it as root of a user namespace"),
  readsBy("read-by-memfd", "read it as another program, from memory"),
  readsBy("read-by-handle", "read files by their numbers", ROOTS),
  reads("open /proc/PID/mem", { path: ({ victim }) => `/proc/${victim.pid}/mem`, what: "others' memory" }),
  attempt("open /proc/PID/environ of its spare", "what its spare knows", {
    run: ({ mate }) => ["read", `/proc/${mate}/environ`],
    stops: FILE,
  }),
  reads("open /dev/mem", { path: "/dev/mem", what: "all memory" }),
  reads("open /dev/kmsg", { path: "/dev/kmsg", what: "the kernel's log" }),
  reads("open another device's registers", {
    path: ({ other }) => `/sys/bus/pci/devices/${other.address}/resource0`,
    what: "another device",
  }),
  attempt("write another device's configuration", "another device", {
    run: ({ other }) => ["write", `/sys/bus/pci/devices/${other.address}/config`],
    stops: ROOTS_FILE,
  }),
  attempt("claim another device", "another device", {
    run: ({ other }) => ["claim", other.address],
    stops: ROOTS_FILE,
  }),
  attempt("claim its own device again", "a grant of everything", {
    run: () => ["claim", "0000:01:00.0"],
    stops: ROOTS_FILE,
  }),
  attempt("write a file where everybody may", "something that outlives it", {
    run: () => ["create", NEW_FILE],
    stops: FILE,
  }),
  attempt("write a file that it may read", "to change what others run", {
    run: () => ["write", SHARED_FILE],
    stops: [DENIED, READ_ONLY, UNNAMED],
  }),
  attempt("make a node of /dev/mem", "all memory", {
    run: () => ["make-node", "0x101"],
    stops: [FORBIDDEN, READ_ONLY, NOT_ALLOWED],
  }),
  attempt("run /bin/sh", "other programs", {
    run: () => ["execute", "/bin/sh"],
    stops: [FORBIDDEN, NOT_THERE, UNNAMED],
  }),
];

const PROCESSES: readonly NativeAttempt[] = [
  reaches("trace", { name: "ptrace another process", what: "all that it may do" }),
  reaches("peek", { name: "read another process's memory", what: "its secrets" }),
  reaches("poke", { name: "write another process's memory", what: "all that it may do" }),
  reaches("kill", { name: "kill another process", what: "its end" }),
  reaches("kill-thread", { name: "kill a thread of another process", what: "its end" }),
  reaches("kill-by-pidfd", { name: "kill another process by pidfd", what: "its end" }),
  reaches("steal-descriptor", { name: "take a descriptor of another process", what: "all that it may do" }),
  attempt("have a descriptor signal another process", "its end", {
    run: ({ victim }) => ["signal-by-owner", victim.pid],
    stops: [FORBIDDEN, NO_PROCESS],
  }),
  attempt("kill its own spare", "the end of who is to take over", {
    run: ({ mate }) => ["kill", mate],
    stops: [FORBIDDEN, NO_PROCESS],
  }),
  plain("kill-all", {
    name: "kill all processes that it may",
    what: "the end of who is to take over",
    stops: [FORBIDDEN, NO_PROCESS],
  }),
  plain("outlive", {
    name: "fork, and keep the grant after its death",
    what: "the device, unseen",
    stops: [FORBIDDEN, stop("namespaces", /^done: a child/), stop("cgroup", /^done: a child/)],
  }),
  plain("fork-bomb", {
    name: "fork bomb",
    what: "all process numbers",
    stops: [
      FORBIDDEN,
      stop("cgroup", /^EAGAIN: after 1[0-5] /),
      stop("user", /^EAGAIN: after (5\d|6[0-3]) /),
    ],
  }),
  plain("thread-bomb", {
    name: "thread bomb",
    what: "all process numbers",
    stops: [stop("cgroup", /^EAGAIN: after 1[0-5] /), stop("user", /^EAGAIN: after (5\d|6[0-3]) /)],
  }),
  plain("clone3", {
    name: "fork by clone3()",
    what: "a process",
    stops: [stop("seccomp", /^ENOSYS/)],
  }),
  plain("burn", {
    name: "burn all processors",
    what: "time of others",
    stops: [stop("cgroup", /^used 0\.[1-5]\d* processors/)],
  }),
  plain("priority", {
    name: "raise its priority",
    what: "time of others",
    stops: [FORBIDDEN, NOT_ALLOWED],
  }),
  plain("real-time", { name: "become a real-time process", what: "time of others", stops: ROOTS }),
];

/** What only root may: verb, name, gain. */
const PRIVILEGES: readonly NativeAttempt[] = ([
  ["root", "become root", "everything"],
  ["capabilities", "take capabilities", "everything"],
  ["securebits", "keep capabilities over a change of user", "everything"],
  ["enter-namespace", "enter another mount namespace", "all files"],
  ["new-namespace", "make a mount namespace", "mounts of its own"],
  ["mount", "mount a file system", "files of its own making"],
  ["fsopen", "mount in the new way", "files of its own making"],
  ["unmount", "unmount /proc", "what is below it"],
  ["chroot", "change its root", "a way out of it"],
  ["host-name", "rename the machine", "others' confusion"],
  ["clock", "set the clock", "others' certificates"],
  ["reboot", "restart the machine", "its end"],
  ["kexec", "load another kernel", "everything"],
  ["load-module", "load a kernel module", "everything"],
  ["bpf", "load a BPF program", "code in the kernel"],
  ["userfaultfd", "hold up the kernel's copies", "a race of its choice"],
  ["ioperm", "ask for I/O ports", "every device"],
  ["iopl", "ask for all I/O ports", "every device"],
  ["raise-limit", "raise its limits", "more descriptors"],
  ["fanotify", "watch all files", "what others do"],
  ["acct", "switch accounting", "root's records"],
  ["kernel-log", "read the kernel's log", "addresses of the kernel"],
  ["raw-socket", "open a raw socket", "frames of its choice"],
  ["sniff", "open a packet socket", "all frames"],
  ["lock-memory", "lock its memory", "memory that nobody can take"],
] as const).map(([verb, name, what]) => ({
  name,
  what,
  run: () => verb === "enter-namespace" ? [verb, "/proc/self/ns/mnt"] : [verb],
  stops: verb === "lock-memory" ? [FORBIDDEN, stop("user", /^E(PERM|NOMEM)/)] : ROOTS,
}));

const OTHERS: readonly NativeAttempt[] = [
  plain("new-privileges", {
    name: "undo no_new_privs",
    what: "programs that are setuid",
    stops: [FORBIDDEN, stop("user", /^EINVAL/)],
  }),
  plain("perf", { name: "sample the kernel", what: "its addresses", stops: [FORBIDDEN, NOT_ALLOWED] }),
  plain("port-read", {
    name: "read an I/O port all the same",
    what: "every device",
    stops: [stop("user", /^SIGSEGV/)],
  }),
  plain("poison-page", { name: "poison a page of memory", what: "memory of others", stops: [NOT_ROOT] }),
  plain("terminal", {
    name: "type at root's terminal",
    what: "commands of root's",
    stops: [FORBIDDEN, stop("user", /^ENOTTY/)],
  }),
  attempt("read a key of another process", "its secret", {
    run: ({ victim }) => ["read-key", victim.key],
    stops: [FORBIDDEN, NOT_ALLOWED],
  }),
  attempt("connect to a port of the machine", "the network", {
    run: ({ victim }) => ["connect-tcp", victim.port],
    stops: [FORBIDDEN, NO_NETWORK],
  }),
  attempt("send a datagram", "the network", {
    run: ({ host }) => ["send-udp", host],
    stops: [FORBIDDEN, NO_NETWORK],
  }),
  plain("connect-abstract", {
    name: "connect to an abstract socket",
    what: "another process",
    stops: [FORBIDDEN, stop("namespaces", /^ECONNREFUSED/)],
  }),
  plain("connect-path", {
    name: "connect to a socket of root's",
    what: "another process",
    stops: [FORBIDDEN, NOT_THERE, stop("user", /^EACCES/)],
  }),
  attempt("take another driver's interface down", "its end", {
    run: ({ other }) => ["interface-down", other.interface],
    stops: ROOTS,
  }),
  attempt("see another driver's interface", "its traffic", {
    run: ({ other }) => ["find-interface", other.interface],
    stops: [FORBIDDEN, stop("namespaces", /^ENODEV/)],
  }),
  plain("hear-devices", {
    name: "listen to the audit log",
    what: "what others do",
    stops: ROOTS,
  }),
  plain("read-shm", {
    name: "read shared memory of others",
    what: "their secret",
    stops: [FORBIDDEN, NOT_THERE, NOT_ALLOWED],
  }),
  plain("read-mq", {
    name: "read a message queue of others",
    what: "their messages",
    stops: [FORBIDDEN, NOT_THERE, NOT_ALLOWED],
  }),
];

const MEMORY: readonly NativeAttempt[] = [
  plain("memory-bomb", {
    name: "memory bomb",
    what: "all memory",
    stops: [stop("cgroup", /^SIGKILL: out of memory/), stop("user", /^ENOMEM/)],
  }),
  plain("shared-bomb", {
    name: "bomb of shared memory",
    what: "all memory",
    stops: [FORBIDDEN, stop("cgroup", /^SIGKILL: out of memory/)],
  }),
  plain("huge-pages", { name: "take huge pages", what: "memory set aside for others", stops: [FORBIDDEN] }),
  plain("file-bomb", {
    name: "bomb of files in memory",
    what: "all memory",
    stops: [FORBIDDEN, stop("cgroup", /^SIGKILL: out of memory/)],
  }),
  plain("map-code", {
    name: "make code, where jit is off",
    what: "code that nobody checked",
    jit: false,
    stops: [FORBIDDEN],
  }),
  plain("protect-code", {
    name: "make data code, where jit is off",
    what: "code that nobody checked",
    jit: false,
    stops: [FORBIDDEN],
  }),
  plain("readable-is-code", {
    name: "have all data be code, where jit is off",
    what: "code that nobody checked",
    jit: false,
    stops: [FORBIDDEN],
  }),
  plain("run-data", {
    name: "run data",
    what: "code that nobody checked",
    stops: [stop("user", /^SIGSEGV/)],
  }),
];

const GRANT: readonly NativeAttempt[] = [
  plain("map-other", { name: "map a BAR that it was not given", what: "other registers", stops: MAPPING }),
  plain("map-past", { name: "map what follows its window", what: "other registers", stops: MAPPING }),
  plain("map-longer", { name: "map more than its window", what: "other registers", stops: MAPPING }),
  plain("stretch", {
    name: "stretch a mapped window",
    what: "other registers",
    stops: module(/^EFAULT/),
  }),
  plain("run-registers", {
    name: "run registers as code",
    what: "code of the device's",
    stops: module(/^EACCES/),
  }),
  plain("other-vector", {
    name: "wait for another vector",
    what: "others' interrupts",
    stops: module(/^EINVAL/),
  }),
  plain("over-quota", {
    name: "more DMA memory than its quota",
    what: "all memory",
    stops: module(/^EDQUOT/),
  }),
  plain("quota-in-parts", {
    name: "more DMA memory, in parts",
    what: "all memory",
    stops: module(/^EDQUOT: after 1024 KiB/),
  }),
  plain("pin", {
    name: "pin more memory than its quota",
    what: "memory that nobody can take",
    quotaLifted: true,
    stops: [stop("module", /^EDQUOT/), stop("user", /^ENOMEM|^EPERM/)],
  }),
  plain("speak-as-claim", {
    name: "make a grant with a grant",
    what: "everything of the device",
    stops: [FORBIDDEN, stop("module", /^ENOTTY/)],
  }),
  plain("unknown-channel", {
    name: "kick a ring that is not there",
    what: "the kernel's memory",
    stops: module(/^EINVAL/),
  }),
  plain("kernel-address", {
    name: "have an answer put into the kernel",
    what: "the kernel's memory",
    stops: module(/^EFAULT/),
  }),
  plain("call-revoked", { name: "use a revoked grant", what: "the device of the next", stops: REVOKED }),
  plain("call-replaced", {
    name: "use its grant when another has the device",
    what: "the device of the next",
    stops: REVOKED,
  }),
  plain("touch-revoked", {
    name: "use the registers of a revoked grant",
    what: "the device of the next",
    stops: module(/^SIGBUS/),
  }),
  plain("rings-revoked", {
    name: "use the rings of a revoked grant",
    what: "traffic of the next",
    port: true,
    stops: module(/^SIGBUS/),
  }),
  plain("pass-grant", {
    name: "pass its grant on",
    what: "the device, unseen",
    stops: [FORBIDDEN, stop("module", /^done: sent to .*; grant ended: (released|revoked)/)],
  }),
  plain("storm", {
    name: "interrupt storm",
    what: "time of others",
    as: "burn all processors",
    stops: module(/^EBUSY: (\d+) interrupts in \d+ WAITs/),
  }),
  plain("spin", {
    name: "spin without WAIT",
    what: "time of others",
    as: "burn all processors",
    stops: module(/^SIGBUS.*; grant ended: stalled: no WAIT for 500 ms/),
  }),
];

const RINGS: readonly NativeAttempt[] = ([
  ["never-asked", "complete what was never asked", "transmit ring"],
  ["id-past-all", "complete an id past all", "transmit ring"],
  ["other-generation", "complete with another generation", "receive ring"],
  ["twice", "complete a buffer twice", "receive ring"],
  ["too-long", "receive more than a buffer holds", "receive ring"],
  ["longest", "receive the largest length", "receive ring"],
  ["index-jumps", "have a ring's index jump", "receive ring"],
  ["index-back", "have a ring's index go back", "transmit ring"],
  ["garbage", "fill all rings with garbage", "ring"],
] as const).map(([verb, name, ring]) => ({
  name,
  what: "the kernel's memory",
  run: () => [verb],
  port: true,
  stops: PROTOCOL(ring),
}));

/** One that is made again while the process may still map what it is granted. */
function early(name: string, parts: Partial<Pick<NativeAttempt, "stops">> = {}): NativeAttempt {
  const all = [...FILES, ...PROCESSES, ...OTHERS, ...MEMORY, ...GRANT];
  const { run, ...rest } = all.find((attempt) => attempt.name === name)!;
  return {
    ...rest,
    ...parts,
    name: `${name}, before mapping is sealed`,
    run: (setting) => {
      const [verb, ...more] = run(setting);
      return [verb, "early", ...more];
    },
  };
}

/** What a driver's modules could try, which run before it has its grant. */
const EARLY: readonly NativeAttempt[] = [
  early("read /etc/passwd"),
  early("fork, and keep the grant after its death"),
  early("connect to a port of the machine"),
  early("bomb of shared memory"),
  early("make code, where jit is off"),
  // The module alone bounds what it maps.
  ...["map a BAR that it was not given", "map what follows its window", "map more than its window"]
    .map((name) => early(name, { stops: module(/^EINVAL/) })),
];

/** The walls that an attempt of that name meets. */
export function wallsOf(name: string): WallName[] {
  return NATIVE_ATTEMPTS.find((attempt) => attempt.name === name)!.stops.map(({ wall }) => wall);
}

/** All of them. */
export const NATIVE_ATTEMPTS: readonly NativeAttempt[] = [
  ...FILES,
  ...PROCESSES,
  ...PRIVILEGES,
  ...OTHERS,
  ...MEMORY,
  ...GRANT,
  ...EARLY,
  ...RINGS,
  plain("attach-twice", {
    name: "attach to its port twice",
    what: "a second set of rings",
    port: true,
    stops: module(/^EALREADY/),
  }),
];
