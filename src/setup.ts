// What this machine needs beside Deno, found by the files it provides, and installed where that is allowed.
import { UserError } from "./error.ts";
import type { Progress } from "./progress.ts";

/**
 * What it is needed for: to boot the lab, to build the module and libring3, to build a kernel, to run natively,
 * to check the sources, to be at the other end of benchmarks.
 */
export type Purpose = "lab" | "build" | "kernel" | "native" | "check" | "bench";

/** An executable on the PATH, or an absolute path, and the Debian package it comes from. */
interface Requirement {
  file: string;
  package: string;
  /** Only when this is not run by root. */
  unprivileged?: boolean;
}

const REQUIREMENTS: Record<Purpose, Requirement[]> = {
  lab: [
    { file: "qemu-system-x86_64", package: "qemu-system-x86" },
    { file: "mmdebstrap", package: "mmdebstrap" },
    { file: "mke2fs", package: "e2fsprogs" },
    { file: "depmod", package: "kmod" },
    { file: "xz", package: "xz-utils" },
    { file: "ssh", package: "openssh-client" },
    { file: "ssh-keygen", package: "openssh-client" },
    { file: "newuidmap", package: "uidmap", unprivileged: true },
  ],
  build: [
    { file: "gcc", package: "gcc" },
    { file: "make", package: "make" },
    { file: "/usr/include/stdio.h", package: "libc6-dev" },
    { file: "/usr/include/seccomp.h", package: "libseccomp-dev" },
    // Debian's kernel headers name their compiler, and their object tool links to libelf.
    { file: "gcc-12", package: "gcc-12" },
    { file: "/usr/lib/x86_64-linux-gnu/libelf.so.1", package: "libelf1" },
  ],
  kernel: [
    { file: "bc", package: "bc" },
    { file: "flex", package: "flex" },
    { file: "bison", package: "bison" },
    { file: "lz4", package: "lz4" },
    { file: "xz", package: "xz-utils" },
    { file: "depmod", package: "kmod" },
    { file: "/usr/include/libelf.h", package: "libelf-dev" },
  ],
  native: [
    { file: "insmod", package: "kmod" },
    { file: "ip", package: "iproute2" },
    { file: "busybox", package: "busybox" },
  ],
  check: [
    { file: "sparse", package: "sparse" },
    { file: "ping", package: "iputils-ping" },
    { file: "spin", package: "spin" },
    { file: "chromium", package: "chromium" },
  ],
  bench: [{ file: "iperf3", package: "iperf3" }],
};

/** Where Debian keeps programs; the last two are not on every user's PATH. */
const SYSTEM_PATH = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"];

/** Options of {@link need}. */
export interface NeedOptions {
  progress: Progress;
  /** Use sudo without asking. */
  yes?: boolean;
}

/** Adds the directories of system programs to this process's PATH, so that every user finds them. */
export function completePath(): void {
  const path = (Deno.env.get("PATH") ?? "").split(":").filter((directory) => directory);
  const missing = SYSTEM_PATH.filter((directory) => !path.includes(directory));
  if (missing.length > 0) Deno.env.set("PATH", [...path, ...missing].join(":"));
}

/**
 * Sees to it that this machine has what the purposes need. As root it installs what is missing; otherwise
 * it asks on the terminal (or has been told `yes`) and uses sudo.
 * @throws {UserError} with the one command to run, if it may not install.
 */
export async function need(purposes: readonly Purpose[], options: NeedOptions): Promise<void> {
  completePath();
  const missing = await missingPackages(purposes);
  if (missing.length === 0) return;
  const install = ["apt-get", "install", "--yes", "--no-install-recommends", ...missing];
  const root = Deno.uid() === 0;
  const advice = `run: ${root ? "" : "sudo "}${install.join(" ")}`;
  if (!await find("apt-get")) {
    throw new UserError(`Cannot install ${missing.join(", ")}: this is not a Debian system (no apt-get)`);
  }
  if (!root && !(await find("sudo") && (options.yes || agreed(missing)))) {
    throw new UserError(`Cannot continue without ${missing.join(", ")}: ${advice}`);
  }
  const prefix = root ? [] : ["sudo"];
  options.progress(`installing ${missing.join(", ")}`);
  if (!await candidatesKnown(missing)) await apt([...prefix, "apt-get", "update"], advice);
  try {
    await apt([...prefix, ...install], advice);
  } catch {
    // Lists that have gone stale name versions that the mirror no longer has.
    await apt([...prefix, "apt-get", "update"], advice);
    await apt([...prefix, ...install], advice);
  }
  const still = await missingPackages(purposes);
  if (still.length > 0) throw new UserError(`Cannot find what ${still.join(", ")} should have installed`);
}

async function missingPackages(purposes: readonly Purpose[]): Promise<string[]> {
  const missing = new Set<string>();
  for (const requirement of purposes.flatMap((purpose) => REQUIREMENTS[purpose])) {
    if (requirement.unprivileged && Deno.uid() === 0) continue;
    if (!await find(requirement.file)) missing.add(requirement.package);
  }
  return [...missing];
}

async function find(file: string): Promise<boolean> {
  const places = file.startsWith("/")
    ? [file]
    : (Deno.env.get("PATH") ?? "").split(":").map((directory) => `${directory}/${file}`);
  for (const place of places) {
    if (await Deno.stat(place).then((info) => info.isFile, () => false)) return true;
  }
  return false;
}

function agreed(missing: string[]): boolean {
  if (!Deno.stdin.isTerminal()) return false;
  Deno.stderr.writeSync(new TextEncoder().encode(`Install ${missing.join(", ")} with sudo? [y/N] `));
  const answer = new Uint8Array(16);
  const length = Deno.stdin.readSync(answer) ?? 0;
  return /^y(es)?\s*$/i.test(new TextDecoder().decode(answer.subarray(0, length)));
}

async function candidatesKnown(packages: string[]): Promise<boolean> {
  const { stdout } = await new Deno.Command("apt-cache", { args: ["policy", ...packages], stdin: "null" })
    .output();
  const candidates = new TextDecoder().decode(stdout).match(/^ {2}Candidate: (?!\(none\)).*$/gm) ?? [];
  return candidates.length === packages.length;
}

async function apt(argv: string[], advice: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(argv[0], {
    args: argv.slice(1),
    env: { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    // sudo may ask for a password there.
    stdin: "inherit",
    stdout: "null",
    stderr: "piped",
  }).output();
  if (success) return;
  const errors = new TextDecoder().decode(stderr).split("\n").filter((line) => line.startsWith("E:"));
  throw new UserError(`Cannot install packages: ${errors.at(-1) ?? `${argv.join(" ")} failed`}; ${advice}`);
}
