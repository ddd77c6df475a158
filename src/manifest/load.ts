/** Reads manifests from files, and checks what the schema alone cannot. */
import { basename, dirname, join, resolve as absolute } from "node:path";
import { folderOf } from "./folder.ts";
import { JsonError, parseJson, type Place } from "./json.ts";
import { type Finding, findings, ManifestError, type Problem, problems } from "./problem.ts";
import { rawMemory } from "../net/raw.ts";
import { formatSize } from "../size.ts";
import { type Demand, type InterruptType, type ManifestFile, manifestSchema, type Wall } from "./schema.ts";

/** What happens when a driver ends; times in milliseconds. */
export interface RestartPolicy {
  on: "never" | "crash" | "always";
  /** Restarts within `window`; Infinity without a limit. */
  budget: number;
  window: number;
  /** Time without an end after which everything is forgotten. */
  quiet: number;
  /** Waits before the second restart and all after it. */
  backoff: { from: number; to: number };
  fallback: "none" | "kernel";
}

/** The other side of a device, in the kernel unless it is raw; times in milliseconds. */
export type PortManifest =
  | { kind: "net"; queues: number; ring: number; name: string }
  | {
    kind: "block";
    queues: number;
    ring: number;
    name: string;
    /** What becomes of requests in flight when a driver ends. */
    onDeath: "reissue" | "fail";
    /** How long requests wait for a driver. */
    hold: number;
    /** How long a driver may keep a request. */
    request: number;
  }
  | {
    kind: "raw";
    ring: number; /** The program's file: absolute, without symbolic links. */
    program: string;
  };

/** A checked manifest with its defaults filled in. */
export interface Manifest {
  /** The manifest's own file, as it was named. */
  file: string;
  name: string;
  description: string;
  /** The driver's file: absolute, without symbolic links. */
  driver: string;
  /** The folder below `drivers` that holds it: all that the host may read of it. */
  driverFolder: string;
  /** npm packages that the driver may import, as in `npm:zod@4.6.7`. */
  packages: string[];
  match: { vendor: number; device: number }[];
  grant: {
    /** Windows, in bytes. */
    bars: { bar: number; offset: number; length: number }[];
    /** Vectors; without a type, the best the device has. */
    interrupts: { count: number; type?: InterruptType };
    /** Bytes of memory shared with the device. */
    dma: number;
    /** Bits of an address that the device drives. */
    addressBits: number;
    port?: PortManifest;
  };
  iommu: "required" | "preferred";
  /** Keep a second process waiting. */
  spare: boolean;
  restart: RestartPolicy;
  limits: {
    /** From grant to ready, milliseconds. */
    start: number;
    /** Longest time without progress while work is pending, milliseconds; 0 for ever. */
    stall: number;
    /** Bytes of JavaScript objects. */
    heap: number;
    /** Bytes in all. */
    memory: number;
    threads: number;
    /** Processors. */
    cpu: number;
  };
  /** What to do without parts of the sandbox. */
  walls: Record<Wall, Demand>;
  /** Let V8 compile. */
  jit: boolean;
  /** Keep the last register accesses for the report of its death. */
  recordRegisters: boolean;
  options: Record<string, unknown>;
}

/** Entries of a raw port's rings unless its manifest says otherwise. */
const RAW_RING = 256;

/** Memory that a driver has unless its manifest says otherwise, bytes: for objects, and for all else. */
const DEFAULT_HEAP = 64 * 2 ** 20;
const BESIDE_HEAP = 192 * 2 ** 20;

/**
 * Reads one manifest.
 * @throws {ManifestError} with every problem, not only the first.
 */
export async function loadManifest(file: string): Promise<Manifest> {
  let text: string;
  try {
    text = await Deno.readTextFile(file);
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound
      ? "there is no such file"
      : `cannot be read: ${error instanceof Error ? error.message : error}`;
    throw new ManifestError([{ file, path: "", reason }]);
  }
  const { value, places } = located(text, file);
  // reportInput: problems show what was found.
  const parsed = manifestSchema.safeParse(value, { reportInput: true });
  const found = parsed.success ? crossFindings(parsed.data) : findings(parsed.error.issues, manifestSchema);
  const written = value as { driver?: unknown; grant?: { port?: { program?: unknown } } } | null;
  const driver = await findSource(file, written?.driver, {
    path: ["driver"],
    like: "../drivers/name/driver.ts",
  });
  const program = await findSource(file, written?.grant?.port?.program, {
    path: ["grant", "port", "program"],
    like: "program.ts",
  });
  const folder = folderOf(driver.source);
  found.push(...driver.findings, ...program.findings);
  if (driver.source !== "" && !folder) {
    found.push({
      path: ["driver"],
      reason: `${driver.source} is not in a folder of its own below "drivers"`,
    });
  }
  if (!parsed.success || found.length > 0) throw new ManifestError(problems(found, { file, places }));
  const { name, description, match, grant, iommu, options, restart, limits, walls } = parsed.data;
  const heap = limits?.heap ?? DEFAULT_HEAP;
  return {
    file,
    name,
    description,
    driver: driver.source,
    driverFolder: folder ?? "",
    packages: parsed.data.packages ?? [],
    match,
    grant: {
      bars: (grant.bars ?? []).map(({ bar, offset, length }) => ({ bar, offset: offset ?? 0, length })),
      interrupts: grant.interrupts ?? { count: 0 },
      dma: grant.dma ?? 0,
      addressBits: grant.addressBits ?? 64,
      port: grant.port && portOf(grant.port, program.source),
    },
    iommu: iommu ?? "required",
    spare: parsed.data.spare ?? false,
    restart: {
      on: restart?.on ?? "crash",
      budget: restart?.budget === "unlimited" ? Infinity : restart?.budget ?? 5,
      window: restart?.window ?? 1_800_000,
      quiet: restart?.quiet ?? 600_000,
      backoff: restart?.backoff ?? { from: 100, to: 30_000 },
      fallback: restart?.fallback ?? "none",
    },
    limits: {
      start: limits?.start ?? 30_000,
      stall: limits?.stall ?? 1000,
      heap,
      memory: limits?.memory ?? heap + BESIDE_HEAP,
      threads: limits?.threads ?? 64,
      cpu: limits?.cpu ?? 2,
    },
    walls: {
      namespaces: walls?.namespaces ?? "required",
      landlock: walls?.landlock ?? "required",
      seccomp: walls?.seccomp ?? "required",
      cgroup: walls?.cgroup ?? "required",
    },
    jit: parsed.data.jit ?? true,
    recordRegisters: parsed.data.recordRegisters ?? false,
    options: options ?? {},
  };
}

/**
 * Reads every manifest in a folder, by name. One that cannot be used does not hide the others.
 * @throws {ManifestError} if the folder cannot be read.
 */
export async function findManifests(
  folder: string,
): Promise<{ manifests: Manifest[]; errors: ManifestError[] }> {
  let files: string[];
  try {
    const entries = await Array.fromAsync(Deno.readDir(folder), (entry) => entry.name);
    files = entries.filter((name) => name.endsWith(".json") && name !== "schema.json").sort();
  } catch (error) {
    const reason = error instanceof Deno.errors.NotFound ? "there is no such folder" : String(error);
    throw new ManifestError([{ file: folder, path: "", reason }]);
  }
  const manifests: Manifest[] = [];
  const errors: ManifestError[] = [];
  for (const name of files) {
    const file = join(folder, name);
    try {
      const manifest = await loadManifest(file);
      const other = manifests.find((one) => one.name === manifest.name);
      if (other) {
        const reason = `"${manifest.name}" is the name of ${basename(other.file)} too`;
        throw new ManifestError([{ file, path: "name", reason }]);
      }
      manifests.push(manifest);
    } catch (error) {
      if (!(error instanceof ManifestError)) throw error;
      errors.push(error);
    }
  }
  return { manifests, errors };
}

function located(text: string, file: string): { value: unknown; places: ReadonlyMap<string, Place> } {
  try {
    return parseJson(text);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const problem: Problem = { file, place: error.place, path: "", reason: `not JSON: ${error.message}` };
    throw new ManifestError([problem]);
  }
}

function portOf(port: NonNullable<ManifestFile["grant"]["port"]>, program: string): PortManifest {
  if (port.kind === "raw") return { kind: "raw", ring: port.ring ?? RAW_RING, program };
  const queues = port.queues ?? 1;
  if (port.kind === "net") {
    return { kind: "net", queues, ring: port.ring ?? 256, name: port.name ?? "r3n%d" };
  }
  return {
    kind: "block",
    queues,
    ring: port.ring ?? 1024,
    name: port.name ?? "r3b%d",
    onDeath: port.onDeath ?? "reissue",
    hold: port.hold ?? 60_000,
    request: port.request ?? 30_000,
  };
}

/** What is wrong between the parts of a manifest. */
function crossFindings({ grant, limits }: ManifestFile): Finding[] {
  const found: Finding[] = [];
  const windows = grant.bars ?? [];
  for (const [index, one] of windows.entries()) {
    const start = one.offset ?? 0;
    const other = windows.findIndex((two, at) =>
      at < index && two.bar === one.bar && (two.offset ?? 0) < start + one.length &&
      start < (two.offset ?? 0) + two.length
    );
    if (other >= 0) {
      found.push({ path: ["grant", "bars", index], reason: `overlaps grant.bars[${other}]` });
    }
  }
  const { count = 0, type } = grant.interrupts ?? {};
  if (type === "intx" && count > 1) {
    found.push({ path: ["grant", "interrupts", "count"], reason: `intx has one vector, not ${count}` });
  }
  if (type === "ide" && count > 2) {
    found.push({ path: ["grant", "interrupts", "count"], reason: `ide has two vectors, not ${count}` });
  }
  if (grant.port?.kind === "raw") {
    const { ring = RAW_RING } = grant.port;
    const needed = rawMemory(ring);
    if ((grant.dma ?? 0) < needed) {
      found.push({
        path: ["grant", "dma"],
        reason:
          `a raw port with rings of ${ring} takes ${
            formatSize(needed)
          } for its buffers, and the driver's own ` +
          `comes on top; found ${grant.dma === undefined ? "none" : formatSize(grant.dma)}`,
      });
    }
  }
  const { heap = DEFAULT_HEAP, memory = Infinity } = limits ?? {};
  if (memory <= heap) {
    found.push({
      path: ["limits", "memory"],
      reason: `${formatSize(memory)} is not more than the heap, ${formatSize(heap)}`,
    });
  }
  return found;
}

/** A source that a manifest names, which must exist: its file, empty if it has none or there is a finding. */
async function findSource(
  file: string,
  written: unknown,
  { path, like }: { path: string[]; like: string },
): Promise<{ findings: Finding[]; source: string }> {
  // What is no text is the schema's to tell.
  if (typeof written !== "string" || written === "") return { findings: [], source: "" };
  const wrong = (reason: string) => ({ findings: [{ path, reason }], source: "" });
  if (written.startsWith("/") || !/\.[jt]s$/.test(written)) {
    return wrong(`expected a .ts or .js file relative to this one, like "${like}", found "${written}"`);
  }
  const meant = absolute(dirname(file), written);
  try {
    // Symbolic links are followed first: what counts is where the file lies.
    const source = await Deno.realPath(meant);
    return (await Deno.stat(source)).isFile ? { findings: [], source } : wrong(`${meant} is not a file`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return wrong(`there is no file ${meant}`);
    return wrong(`${meant} cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}
