// Building what is written in C: the kernel module for a kernel, and libring3 with its launcher.
import { UserError } from "./error.ts";
import { cacheKey, lock } from "./lab/cache.ts";
import { checkout } from "./lab/checkout.ts";
import { run } from "./lab/command.ts";

/** What a module is built for. */
export interface ModuleTarget {
  /** What `uname -r` says there. */
  release: string;
  /** Its headers or build tree: what `make -C` takes. */
  headers: string;
}

/** How the module is built. */
export interface ModuleOptions {
  /** Build with all warnings and run sparse, and fail on any complaint. */
  check?: boolean;
}

/**
 * Builds kernel-module/ into `build/module/<release>/`, if sources or headers have changed since, and
 * returns the path of `ring3.ko`. With `check` it is `build/module/<release>-checked/`.
 * @throws {UserError} if it does not build; the compiler's output is in a file the message names.
 */
export async function buildModule(target: ModuleTarget, options: ModuleOptions = {}): Promise<string> {
  const sources = `${checkout()}/kernel-module`;
  if (!await isFile(`${sources}/Kbuild`)) {
    throw new UserError(`Cannot build the module: there is no ${sources}/Kbuild`);
  }
  if (!await isFile(`${target.headers}/Makefile`)) {
    throw new UserError(
      `Cannot build the module for ${target.release}: no kernel headers in ${target.headers}; ` +
        `run: sudo apt-get install linux-headers-${target.release}`,
    );
  }
  const directory = `${checkout()}/build/module/${target.release}${options.check ? "-checked" : ""}`;
  const module = `${directory}/ring3.ko`;
  await Deno.mkdir(`${checkout()}/build/module`, { recursive: true });
  using _lock = await lock(`${directory}.lock`);

  const files = await filesOf(sources);
  const key = await cacheKey({ files, headers: target.headers, release: target.release });
  const stamp = `${directory}/.key`;
  if (await isFile(module) && await Deno.readTextFile(stamp).catch(() => "") === key) return module;

  await Deno.remove(directory, { recursive: true }).catch(ignoreMissing);
  for (const [path, text] of Object.entries(files)) {
    const copy = `${directory}/${path}`;
    await Deno.mkdir(copy.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(copy, text);
  }
  const log = `${directory}.log`;
  const checks = options.check ? ["W=1", "C=2", "CHECK=sparse -Wsparse-error", "KCFLAGS=-Werror"] : [];
  // Type information needs a vmlinux that Debian's headers do not have.
  const said = await run(
    ["sh", "-c", 'exec "$@" 2>&1', "sh", "make", "-C", target.headers, `M=${directory}`]
      .concat(`-j${navigator.hardwareConcurrency}`, "CONFIG_DEBUG_INFO_BTF_MODULES=", checks, "modules"),
    { what: `build the module for ${target.release}`, log },
  );
  await Deno.writeFile(log, said);
  const complaint = new TextDecoder().decode(said).split("\n").find((line) =>
    /\b(warning|error):/i.test(line)
  );
  if (options.check && complaint) {
    throw new UserError(`The module does not build without complaint: ${complaint}; all of it is in ${log}`);
  }
  await Deno.writeTextFile(stamp, key);
  return module;
}

/**
 * Builds a folder of C that is no part of the kernel into `build/NAME/`, what has changed, and returns that.
 * @throws {UserError} if it does not build; the compiler's output is in a file the message names.
 */
async function buildProgram(
  name: string,
  { sources, what }: { sources: string; what: string },
): Promise<string> {
  const from = `${checkout()}/${sources}`;
  if (!await isFile(`${from}/Makefile`)) {
    throw new UserError(`Cannot build ${what}: there is no ${from}/Makefile`);
  }
  const directory = `${checkout()}/build/${name}`;
  await Deno.mkdir(directory, { recursive: true });
  using _lock = await lock(`${directory}.lock`);
  await run(["make", "-C", from, `OUT=${directory}`], { what: `build ${what}`, log: `${directory}.log` });
  return directory;
}

/** Builds `libring3.so` and `ring3-launch`, and returns their directory. @throws {UserError} if they do not build. */
export async function buildFfi(): Promise<string> {
  return await buildProgram("ffi", { sources: "ffi", what: "libring3" });
}

/** Builds `ring3-fuzz`, and returns its directory. @throws {UserError} if it does not build. */
export async function buildFuzz(): Promise<string> {
  return await buildProgram("fuzz", { sources: "src/fuzz", what: "the fuzzer" });
}

/** Builds what benchmarks run in the lab, and returns its directory. @throws {UserError} if it does not build. */
export async function buildBench(): Promise<string> {
  return await buildProgram("bench", { sources: "bench/inside", what: "the benchmarks' programs" });
}

/** Builds what benchmarks run beside the lab, and returns its directory. @throws {UserError} if it does not build. */
export async function buildOutside(): Promise<string> {
  return await buildProgram("bench-outside", {
    sources: "bench/outside",
    what: "the benchmarks' programs outside the lab",
  });
}

/** Builds the e1000 driver in C and the library it is compared over, and returns their directory. @throws {UserError} if they do not build. */
export async function buildReference(): Promise<string> {
  return await buildProgram("reference", { sources: "bench/reference", what: "the reference driver" });
}

/** Builds what QEMU loads to count, and returns its directory. @throws {UserError} if it does not build. */
export async function buildPlugin(): Promise<string> {
  return await buildProgram("bench-plugin", { sources: "bench/plugin", what: "the benchmarks' plugin" });
}

/**
 * Builds what carries workloads on the network in the lab, and what faults from outside a driver take, and returns
 * their directory.
 * @throws {UserError} if it does not build.
 */
export async function buildFaults(): Promise<string> {
  await buildProgram("faults", { sources: "src/faults/campaign/inside", what: "the faults' programs" });
  return await buildProgram("faults", {
    sources: "src/faults/workloads/inside",
    what: "the workloads' programs",
  });
}

/** Builds the attempts of native code on the walls, and returns their directory. @throws {UserError} if they do not build. */
export async function buildWalls(): Promise<string> {
  return await buildProgram("walls", { sources: "src/walls/native", what: "the attempts on the walls" });
}

/** Text of the sources below a directory, by path; what a build in place has left there is not among them. */
async function filesOf(directory: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  const visit = async (below: string) => {
    for await (const { name, isDirectory, isFile } of Deno.readDir(`${directory}/${below}`)) {
      if (isDirectory) await visit(`${below}${name}/`);
      else if (isFile && /^(Kbuild|Makefile|.*(?<!\.mod)\.c|.*\.h)$/.test(name)) {
        files[`${below}${name}`] = await Deno.readTextFile(`${directory}/${below}${name}`);
      }
    }
  };
  await visit("");
  return Object.fromEntries(Object.entries(files).sort(([a], [b]) => a < b ? -1 : 1));
}

async function isFile(path: string): Promise<boolean> {
  return await Deno.stat(path).then(({ isFile }) => isFile, () => false);
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
