/** How a process is confined: what `ring3-launch` is told, and what it says of it. */
import { z } from "zod";
import { CGROUP_VARIABLE } from "../machine.ts";
import { type Demand, type Wall, WALLS } from "../manifest/mod.ts";

/** What has become of a part of the sandbox. */
export const STANDINGS = ["stands", "missing", "off"] as const;

/** Where each part of a sandbox stands. */
export type Standings = Record<Wall, (typeof STANDINGS)[number]>;

/** What confines a process. */
export interface Sandbox {
  /** User that it becomes: one that owns nothing else. */
  uid: number;
  /** Most open files. */
  openFiles: number;
  /** What it may take from the machine as a whole. */
  limits?: {
    /** Bytes. */
    memory: number;
    threads: number;
    /** Processors. */
    cpu: number;
  };
  /** Files and folders that it may read, none below another; with `walls.namespaces` it sees no other. */
  readable?: readonly string[];
  /** False: V8 interprets, and no memory becomes executable. */
  jit?: boolean;
  /** Memory is written back through it: where it needs some itself, it must not wait for that. */
  ioFlusher?: boolean;
  /** What to do without a part of it; a part that is not named is left out. */
  walls?: Partial<Record<Wall, Demand>>;
}

/** What the launcher says of a process that it has started. */
export interface Launched {
  pid: number;
  walls: Standings;
}

/** The descriptors that a process finds: the launcher puts them there. */
export const CONTROL_FD = 3;
export const FILTER_FD = 4;

let cgroups = 0;

/** A name for the cgroup of a process, which begins with that of this supervisor's; none if it has none. */
function nextCgroup(): string[] {
  const own = Deno.env.get(CGROUP_VARIABLE);
  return own ? ["--cgroup", `${own}-${++cgroups}`] : [];
}

/** Arguments of `ring3-launch` up to the program. @param control Descriptor of the process's control socket. */
export function launchArguments(sandbox: Sandbox, control?: number): string[] {
  const { uid, openFiles, limits, readable = [], jit = true, ioFlusher = false, walls = {} } = sandbox;
  // deno-fmt-ignore
  return [
    "--uid", `${uid}`,
    "--nofile", `${openFiles}`,
    ...(control === undefined ? [] : ["--fd", `${control}`]),
    ...(limits
      ? ["--memory", `${limits.memory}`, "--threads", `${limits.threads}`, "--cpu", `${Math.round(limits.cpu * 1000)}`]
      : []),
    ...(walls.cgroup && walls.cgroup !== "off" ? nextCgroup() : []),
    "--jit", jit ? "1" : "0",
    "--io-flusher", ioFlusher ? "1" : "0",
    ...WALLS.flatMap((wall) => ["--wall", `${wall}=${walls[wall] ?? "off"}`]),
    ...readable.flatMap((path) => ["--read", path]),
    "--",
  ];
}

const standing = z.enum(STANDINGS);
const launched = z.strictObject({
  type: z.literal("launched"),
  pid: z.number().int(),
  walls: z.strictObject({ namespaces: standing, landlock: standing, seccomp: standing, cgroup: standing }),
});

/** What the launcher says on the first line of a process's standard output; undefined if that is not its word. */
export function parseLaunched(line: string): Launched | undefined {
  try {
    return launched.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}

/** Shared libraries that a dynamically linked program is loaded with, as its loader names them. */
export function parseLibraries(listing: string): string[] {
  return [...listing.matchAll(/(\/\S+) \(0x[0-9a-f]+\)$/gm)].map(([, path]) => path);
}
