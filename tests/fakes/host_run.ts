/**
 * Real driver processes without ring3.ko: the host's own code over `kernel_calls.c`, in the sandbox that drivers
 * get, where this machine lets it.
 */
import { buildFfi } from "../../src/build.ts";
import type { HostMessage } from "../../src/host/messages.ts";
import { confinesDeno, DENO } from "./confines.ts";
import { ControlSocket, openLibrary, SharedMemory } from "../../src/kernel/mod.ts";
import { rawMemory } from "../../src/net/raw.ts";
import { denoDir } from "../../src/run/places.ts";
import { moduleEnvironment, runFlags, sharedLibraries } from "../../src/supervisor/compile.ts";
import { CONTROL_FD, FILTER_FD, launchArguments, parseLaunched } from "../../src/supervisor/sandbox.ts";
import { type Version, VersionStore } from "../../src/supervisor/versions.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
const MAIN = `${ROOT}src/host/main.ts`;
const LIBRARY = `${ROOT}build/tests/kernel_calls.so`;

/** How a host ended, and all that it said. */
export interface HostEnd {
  code: number;
  messages: HostMessage[];
  stderr: string;
}

/** How to run a host. */
export interface HostRunOptions {
  /** A program, whose file names its API as `RING3`, to run on a raw port with rings of 64. */
  program?: string;
  /** Called before the process is started, as to compile the version. */
  prepare?: (version: Version, main: string) => Promise<void>;
  /** Called with the copy of the driver's folder before its process is given a grant. */
  whenWaiting?: (folder: string) => void | Promise<void>;
  /** Called once it is ready; when it is done, the supervisor's end of the socket is closed. */
  whenReady?: (control: ControlSocket) => void | Promise<void>;
}

/** Builds the library with the kernel's part made up. */
async function build(): Promise<void> {
  await Deno.mkdir(`${ROOT}build/tests`, { recursive: true });
  const { success, stderr } = await new Deno.Command("gcc", {
    // deno-fmt-ignore
    args: [
      "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", `-I${ROOT}kernel-module/uapi`,
      "-fPIC", "-shared", "-fvisibility=hidden", "-o", `${LIBRARY}.${Deno.pid}`, `${ROOT}tests/fakes/kernel_calls.c`,
    ],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  await Deno.rename(`${LIBRARY}.${Deno.pid}`, LIBRARY);
}

let built: Promise<void> | undefined;

/** A driver's folder with these files in a tree of its own, beside it its program's file, and a version of both. */
export async function driverVersion(
  files: Record<string, string>,
  program?: string,
): Promise<{ version: Version; main: string } & AsyncDisposable> {
  const root = await Deno.makeTempDir({ prefix: "ring3-host-" });
  const folder = `${root}/drivers/x`;
  const write = async (path: string, text: string) => {
    await Deno.mkdir(path.replace(/\/[^/]*$/, ""), { recursive: true });
    await Deno.writeTextFile(path, text.replaceAll("RING3", `file://${ROOT}src/driver/mod.ts`));
  };
  for (const [path, text] of Object.entries(files)) await write(`${folder}/${path}`, text);
  const programFile = program === undefined ? undefined : `${root}/program.ts`;
  if (program !== undefined) await write(`${root}/program.ts`, program);
  const store = new VersionStore(`${root}/versions`);
  const version = await store.take({ file: `${folder}/driver.ts`, folder, program: programFile });
  return {
    version,
    main: MAIN,
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

/** Those of the host: their source maps are read before files no longer can be, as the compiler's list has it. */
function modules(): string[] {
  return ["host", "driver", "kernel", "net"].flatMap((folder) =>
    [...Deno.readDirSync(`${ROOT}src/${folder}`)].map(({ name }) => `file://${ROOT}src/${folder}/${name}`)
  );
}

/** What Deno is run with, and the descriptors that it then finds. */
async function confined(
  { root, cache }: Version,
  socket: number,
): Promise<{ command: string[]; control: number; filter: number }> {
  const deno = DENO;
  // Its standard input is empty: no filter.
  if (!confinesDeno) return { command: [deno], control: socket, filter: 0 };
  await Deno.mkdir(cache, { recursive: true });
  const launcher = `${await buildFfi()}/ring3-launch`;
  const libraries = await sharedLibraries({ deno, launcher, library: LIBRARY, main: MAIN });
  const sandbox = {
    uid: 0x6ffffffc,
    openFiles: 64,
    limits: { memory: 256 * 2 ** 20, threads: 64, cpu: 2 },
    readable: [deno, ...libraries, LIBRARY, `${ROOT}src`, root, cache, denoDir()],
    walls: { namespaces: "required", landlock: "required", seccomp: "required" },
  } as const;
  return {
    command: [launcher, ...launchArguments(sandbox, socket), deno],
    control: CONTROL_FD,
    filter: FILTER_FD,
  };
}

/** Runs a driver, whose files name its API as `RING3`, until its process ends. */
export async function runHost(files: Record<string, string>, options: HostRunOptions = {}): Promise<HostEnd> {
  await (built ??= build());
  const library = openLibrary(LIBRARY);
  const { program } = options;
  await using taken = await driverVersion(files, program);
  await options.prepare?.(taken.version, taken.main);
  const { ours, theirs } = ControlSocket.pair(library);
  const { command, control, filter } = await confined(taken.version, theirs);
  const child = new Deno.Command(command[0], {
    args: [
      ...command.slice(1),
      "run",
      ...runFlags(taken.version, { heap: 64 * 2 ** 20, jit: true }),
      `--allow-ffi=${LIBRARY}`,
      taken.main,
      LIBRARY,
      `${control}`,
      `${filter}`,
      ...modules(),
      `file://${taken.version.file}`,
      ...(program === undefined ? [] : [`file://${taken.version.program}`]),
    ],
    env: { ...moduleEnvironment(taken.version), DENO_DIR: denoDir() },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  library.r3_close(theirs);
  const messages: HostMessage[] = [];
  const stderr = new Response(child.stderr).text();
  let text = "";
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop()!;
    for (const line of lines) {
      if (parseLaunched(line)) continue;
      const message = JSON.parse(line) as HostMessage;
      messages.push(message);
      if (message.type === "waiting") {
        await options.whenWaiting?.(taken.version.folder);
        using grant = new SharedMemory(library, 4096);
        const raw = program === undefined ? { dma: 8192 } : { dma: rawMemory(64), rawRing: 64 };
        ours.send({ type: "start", options: {}, ...raw }, { fd: grant.fd });
      }
      if (message.type === "ready") {
        await options.whenReady?.(ours);
        ours[Symbol.dispose]();
      }
    }
  }
  ours[Symbol.dispose]();
  return { code: (await child.status).code, messages, stderr: await stderr };
}
