/** What a driver's process is started with, and how its sources are made ready for that once per version. */
import { builtinModules } from "node:module";
import { UserError } from "../error.ts";
import { registryEnvironment } from "../registry.ts";
import type { HostFiles } from "./driver_process.ts";
import { checkImports, type ModuleGraph, modulesWithMaps } from "./imports.ts";
import { checkPackages, packageMap, packagesEntry } from "./packages.ts";
import { launchArguments, parseLibraries } from "./sandbox.ts";
import { cleanStack } from "./stack.ts";
import type { Version } from "./versions.ts";

/** User that compiles: neither root's nor any driver's, so that no driver can change what another runs. */
const COMPILER_UID = 0x6fffffff;

/** What loads dynamically linked programs: the x86-64 psABI, "Program Interpreter". */
const LOADER = "/lib64/ld-linux-x86-64.so.2";

/** Copies the compiler's files, as the compiler. */
const COPY = "/bin/cp";

/** How the compiler, and whatever else is run before there is a driver, is started. */
const COMPILER = launchArguments({ uid: COMPILER_UID, openFiles: 256 });

/** Modules that are part of Deno, `node:…`: an import map that has them lead nowhere. */
const BUILTINS: Readonly<Record<string, null>> = Object.fromEntries(
  builtinModules.map((name) => [name.startsWith("node:") ? name : `node:${name}`, null]),
);

/** Stands in a program's place. */
const NO_PROGRAM = new URL("../host/no_program.ts", import.meta.url).href;

/** Flags with which the files of a host are found, the same wherever they are read: compiled files are kept by them. */
export function moduleFlags({ file, program, imports, packages }: Version): string[] {
  const url = (path: string) => new URL(`file://${path}`).href;
  const map = {
    imports: {
      ...packages.imports,
      ...imports,
      "ring3-driver": url(file),
      "ring3-program": program === undefined ? NO_PROGRAM : url(program),
      ...BUILTINS,
    },
    scopes: packages.scopes,
  };
  return [
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--quiet",
    `--import-map=data:application/json,${encodeURIComponent(JSON.stringify(map))}`,
  ];
}

/** How V8 runs a driver. */
export interface V8Limits {
  /** Most memory for JavaScript objects, bytes. */
  heap: number;
  /** Whether it may compile. */
  jit: boolean;
}

/** V8's flags for a driver. */
export function v8Flags({ heap, jit }: V8Limits): string[] {
  return [
    `--max-old-space-size=${Math.floor(heap / 2 ** 20)}`,
    "--disallow-code-generation-from-strings",
    // A process is compiled to bytecode while it waits, and stays so: what it runs first it runs in a recovery.
    "--no-lazy",
    "--no-flush-bytecode",
    ...(jit ? [] : ["--jitless"]),
  ];
}

/** Flags of `deno run` for a driver's process. V8's own compiled code is not kept: only the compiler could. */
export function runFlags(version: Version, limits: V8Limits): string[] {
  return ["--no-prompt", "--no-code-cache", ...moduleFlags(version), `--v8-flags=${v8Flags(limits).join()}`];
}

/** Environment of a process that reads them. */
export function moduleEnvironment({ cache }: Version): Record<string, string> {
  return { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_DIR: cache };
}

/** How to compile a version. */
export interface CompileOptions {
  /** npm packages that it may import, as its manifest names them. */
  packages?: readonly string[];
  /** A version of the same driver that has been compiled: what they share is not compiled again. */
  like?: Version;
  /** It runs but once: a process of it compiles for itself what the other does not share. */
  once?: boolean;
  /** Ends it. */
  signal?: AbortSignal;
}

/** How to run the compiler. */
interface CompilerRun {
  version: Version;
  /** Program and arguments. */
  argv: string[];
  stdout: "null" | "piped";
  env?: Record<string, string>;
  signal?: AbortSignal;
}

/** Runs a program as the compiler on a version: a user who can write nothing but the caches of versions. */
async function runCompiler(
  { launcher }: HostFiles,
  { version, argv, stdout, env, signal }: CompilerRun,
): Promise<{ code: number; stdout: string; stderr: string }> {
  signal?.throwIfAborted();
  const output = await new Deno.Command(launcher, {
    args: [...COMPILER, ...argv],
    clearEnv: true,
    env: { ...moduleEnvironment(version), ...env },
    stdin: "null",
    stdout,
    stderr: "piped",
    signal,
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return {
    code: output.code,
    stdout: stdout === "piped" ? text(output.stdout) : "",
    stderr: text(output.stderr),
  };
}

/** Makes a version's cache, with all that another was compiled to if there is one. */
async function makeCache(
  files: HostFiles,
  version: Version,
  { like, signal }: CompileOptions,
): Promise<void> {
  const isNew = !await Deno.stat(version.cache).then(() => true, () => false);
  await Deno.mkdir(version.cache, { recursive: true, mode: 0o755 });
  await Deno.chown(version.cache, COMPILER_UID, COMPILER_UID);
  if (!isNew || !like) return;
  // Copied by whom they belong to, links as links: what the compiler may not read is not read for it.
  const argv = [COPY, "-RPT", like.cache, version.cache];
  const { code, stderr } = await runCompiler(files, { version, argv, stdout: "null", signal });
  if (code !== 0) throw new UserError(`Cannot copy what ${like.path} was compiled to: ${stderr.trim()}`);
}

/** Fetches packages into a version's cache, with a lock file that keeps their hashes, and maps them. */
async function takePackages(
  files: HostFiles,
  version: Version,
  { packages, signal }: { packages: readonly string[]; signal?: AbortSignal },
): Promise<void> {
  // A registry of one's own may have a certificate that only this machine trusts.
  const env = { DENO_TLS_CA_STORE: "mozilla,system", ...registryEnvironment() };
  const flags = ["--no-config", "--quiet", `--lock=${version.cache}/packages.lock`];
  const run = async (args: string[]) => {
    const compiler = { version, argv: [files.deno, ...args], env, signal };
    const { code, stdout, stderr } = await runCompiler(files, { ...compiler, stdout: "piped" });
    if (code === 0) return stdout;
    const why = stderr.replace(/^error: /, "").trim().split("\n").map((line) => line.trim()).slice(0, 2).join(
      " ",
    );
    throw new UserError(`Cannot fetch ${packages.join(", ")} for ${version.path}: ${why}`);
  };
  await run(["cache", ...flags, ...packages]);
  const { npmPackages } = JSON.parse(
    await run(["info", "--json", ...flags, packagesEntry(packages)]),
  ) as ModuleGraph;
  version.packages = await packageMap(npmPackages, packages);
}

/**
 * Compiles a version and the host that is to run it, so that a process starts from JavaScript, and checks what
 * the version imports. Runs none of it.
 * @throws {UserError} if a file cannot be read, is not TypeScript, or imports what a driver may not; or a
 * package cannot be fetched; or the signal has ended it.
 */
export async function compile(
  files: HostFiles,
  version: Version,
  { packages = [], like, once = false, signal }: CompileOptions = {},
): Promise<void> {
  await makeCache(files, version, { like, signal });
  if (packages.length > 0) await takePackages(files, version, { packages, signal });
  const flags = moduleFlags(version);
  const sources = version.program === undefined ? [version.file] : [version.file, version.program];
  const run = (args: string[], stdout: CompilerRun["stdout"]) =>
    runCompiler(files, { version, argv: [files.deno, ...args], stdout, signal });
  const [graph, compiled] = await Promise.all([
    run(["info", "--json", ...flags, files.main], "piped"),
    // The host imports the driver by itself, but what is imported like that may be missing or wrong.
    once && like ? undefined : run(["cache", ...flags, files.main, ...sources], "null"),
  ]);
  if (graph.code === 0) {
    const { modules } = JSON.parse(graph.stdout) as ModuleGraph;
    checkImports(modules, version);
    await checkPackages(modules, version.packages);
    version.modules = modulesWithMaps(modules);
  }
  const failed = [graph, compiled].find((ran) => ran !== undefined && ran.code !== 0);
  if (!failed) return;
  const said = cleanStack(failed.stderr, version).trim();
  throw new UserError(
    `Cannot load ${version.path}: ${said || `its compiler ended with status ${failed.code}`}`,
  );
}

/**
 * Shared libraries that Deno is loaded with.
 * @throws {UserError} if its loader does not tell.
 */
export async function sharedLibraries({ launcher, deno }: HostFiles): Promise<string[]> {
  const { success, stdout, stderr } = await new Deno.Command(launcher, {
    args: [...COMPILER, LOADER, "--list", deno],
    clearEnv: true,
    stdin: "null",
  }).output();
  if (!success) {
    const said = new TextDecoder().decode(stderr).trim();
    throw new UserError(`Cannot tell what libraries ${deno} needs: ${said || "its loader does not say why"}`);
  }
  return [...new Set([LOADER, ...parseLibraries(new TextDecoder().decode(stdout))])];
}
