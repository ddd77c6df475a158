/** What a driver's process is started with, and how its sources are made ready for that once per version. */
import { UserError } from "../error.ts";
import type { HostFiles } from "./driver_process.ts";
import { launchArguments, parseLibraries } from "./sandbox.ts";
import { cleanStack } from "./stack.ts";
import type { Version } from "./versions.ts";

/** User that compiles: neither root's nor any driver's, so that no driver can change what another runs. */
const COMPILER_UID = 0x6fffffff;

/** What loads dynamically linked programs: the x86-64 psABI, "Program Interpreter". */
const LOADER = "/lib64/ld-linux-x86-64.so.2";

/** How the compiler, and whatever else is run before there is a driver, is started. */
const COMPILER = launchArguments({ uid: COMPILER_UID, openFiles: 256 });

/** Flags with which the files of a host are found, the same wherever they are read: compiled files are kept by them. */
export function moduleFlags({ file, imports }: Version): string[] {
  const map = { imports: { ...imports, "ring3-driver": new URL(`file://${file}`).href } };
  return [
    "--no-config",
    "--no-lock",
    "--no-remote",
    "--no-npm",
    "--quiet",
    `--import-map=data:application/json,${encodeURIComponent(JSON.stringify(map))}`,
  ];
}

/** Environment of a process that reads them. */
export function moduleEnvironment({ cache }: Version): Record<string, string> {
  return { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_DIR: cache };
}

/**
 * Compiles a version and the host that is to run it, so that a process starts from JavaScript. Runs none of
 * it, and as a user who can write nothing but that cache.
 * @throws {UserError} if a file cannot be read or is not TypeScript.
 */
export async function compile(files: HostFiles, version: Version): Promise<void> {
  await Deno.mkdir(version.cache, { recursive: true, mode: 0o755 });
  await Deno.chown(version.cache, COMPILER_UID, COMPILER_UID);
  const { success, code, stderr } = await new Deno.Command(files.launcher, {
    // deno-fmt-ignore
    args: [
      ...COMPILER,
      // The host imports the driver by itself, but what is imported like that may be missing or wrong.
      files.deno, "cache", ...moduleFlags(version), files.main, version.file,
    ],
    clearEnv: true,
    env: moduleEnvironment(version),
    stdin: "null",
    stdout: "null",
  }).output();
  if (success) return;
  const { folder, source } = version;
  const said = cleanStack(new TextDecoder().decode(stderr), { from: folder, to: source }).trim();
  throw new UserError(`Cannot load ${version.path}: ${said || `its compiler ended with status ${code}`}`);
}

/**
 * Shared libraries that Deno is loaded with.
 * @throws {UserError} if its loader does not tell.
 */
export async function sharedLibraries({ launcher, deno }: HostFiles): Promise<string[]> {
  const { success, stdout } = await new Deno.Command(launcher, {
    args: [...COMPILER, LOADER, "--list", deno],
    clearEnv: true,
    stdin: "null",
    stderr: "null",
  }).output();
  if (!success) throw new UserError(`Cannot tell what libraries ${deno} needs`);
  return [...new Set([LOADER, ...parseLibraries(new TextDecoder().decode(stdout))])];
}
