/** One process that runs a driver: started without privileges, handed its grant, watched until it ends. */
import { sendSignal } from "../child.ts";
import type { ControlMessage, HostMessage, RecordMessage, StartMessage } from "../host/messages.ts";
import { ControlSocket, type Library } from "../kernel/mod.ts";
import { lines } from "../lines.ts";
import { Recording } from "./recording.ts";
import type { RegisterAccess } from "./schema.ts";
import { parseHostMessage } from "./host_message.ts";
import { LastLines } from "./last_lines.ts";
import { paced } from "./paced.ts";
import {
  CONTROL_FD,
  FILTER_FD,
  launchArguments,
  type Launched,
  parseLaunched,
  type Standings,
} from "./sandbox.ts";
import type { Manifest } from "../manifest/mod.ts";
import { moduleEnvironment, runFlags } from "./compile.ts";
import type { Version } from "./versions.ts";

/** Files that every driver process is started from. */
export interface HostFiles {
  /** The Deno that runs it. */
  deno: string;
  /** `ring3-launch`. */
  launcher: string;
  /** `libring3.so`. */
  library: string;
  /** `src/host/main.ts`. */
  main: string;
}

/** All that a driver process is started from. */
export interface HostProgram extends HostFiles {
  /** Shared libraries of Deno. */
  libraries: readonly string[];
}

/** How a process ended. */
export interface ProcessEnd {
  code: number;
  signal: string | null;
  /** Its last words, if it said why. */
  failed?: { error: string; message: string; stack: string };
  /** The last lines on its standard error: V8's and the launcher's. */
  stderr: string[];
}

/** How to start a process. */
export interface SpawnOptions {
  files: HostProgram;
  version: Version;
  /** User that it becomes: one that owns nothing else. */
  uid: number;
  /** What of its manifest concerns the process. */
  manifest: Pick<Manifest, "limits" | "walls" | "jit" | "recordRegisters"> & {
    grant: Pick<Manifest["grant"], "port">;
  };
}

/** Lines of standard error that are kept. */
const KEPT_LINES = 20;

/** Most lines a second that are read of what a process says. */
const LINES_PER_SECOND = 200;

/** Open files that a Deno process needs, and some. */
const OPEN_FILES = 64;

/** How long what a process wrote is still read after its end: somebody else may hold its streams. Milliseconds. */
const DRAIN = 500;

/** A driver process that waits for its grant, or runs with it. */
export class DriverProcess {
  /** Resolves when the process has ended and what it said has been read. */
  readonly ended: Promise<ProcessEnd>;
  /** Resolves to true when it waits for its grant, with its driver's modules run; false if it ended before. */
  readonly waiting: Promise<boolean>;
  /** Resolves when its process is there to be told of; also if it ended before. */
  readonly launched: Promise<void>;
  readonly version: Version;
  /** Called with all that it says, by whoever gives it the device. */
  onMessage: (message: HostMessage) => void = () => {};
  readonly #control: ControlSocket;
  readonly #recording: Recording | undefined;
  readonly #child: Deno.ChildProcess;
  readonly #launches = Promise.withResolvers<void>();
  readonly #waits = Promise.withResolvers<boolean>();
  #launched?: Launched;
  #isWaiting = false;
  #failed?: ProcessEnd["failed"];

  private constructor(library: Library, options: SpawnOptions, { child, control }: {
    child: Deno.ChildProcess;
    control: ControlSocket;
  }) {
    this.#child = child;
    this.#control = control;
    this.#recording = options.manifest.recordRegisters ? new Recording(library) : undefined;
    this.version = options.version;
    this.launched = this.#launches.promise;
    this.waiting = this.#waits.promise;
    const stderr = new LastLines(KEPT_LINES);
    const read = Promise.all([
      this.#read(child.stdout),
      (async () => {
        for await (const line of paced(lines(child.stderr), { perSecond: LINES_PER_SECOND })) {
          stderr.add(line);
        }
      })(),
    ]);
    this.ended = child.status.then(async ({ code, signal }) => {
      let timer;
      await Promise.race([read, new Promise((resolve) => timer = setTimeout(resolve, DRAIN))]);
      clearTimeout(timer);
      control[Symbol.dispose]();
      this.#isWaiting = false;
      this.#launches.resolve();
      this.#waits.resolve(false);
      return { code, signal, failed: this.#failed, stderr: stderr.lines };
    });
  }

  /** Starts a process for a version of a driver. It has no device until it gets its grant. */
  static spawn(library: Library, options: SpawnOptions): DriverProcess {
    const { files, version, uid, manifest: { grant, limits, walls, jit } } = options;
    const source = files.main.replace(/\/host\/[^/]*$/, "");
    const readable = [files.deno, ...files.libraries, files.library, source, version.root, version.cache];
    const sandbox = {
      uid,
      openFiles: OPEN_FILES,
      limits,
      readable,
      jit,
      ioFlusher: grant.port?.kind === "block",
      walls,
    };
    const { ours, theirs } = ControlSocket.pair(library);
    try {
      const child = new Deno.Command(files.launcher, {
        // deno-fmt-ignore
        args: [
          ...launchArguments(sandbox, theirs),
          files.deno, "run", ...runFlags(version, { heap: limits.heap, jit }),
          `--allow-ffi=${files.library}`,
          files.main, files.library, `${CONTROL_FD}`, `${FILTER_FD}`, ...version.modules,
        ],
        clearEnv: true,
        env: moduleEnvironment(version),
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      const process = new DriverProcess(library, options, { child, control: ours });
      const recording = process.#recording;
      if (recording) ours.send({ type: "record" } satisfies RecordMessage, { fd: recording.fd });
      return process;
    } catch (error) {
      ours[Symbol.dispose]();
      throw error;
    } finally {
      library.r3_close(theirs);
    }
  }

  /** Its number; the launcher's, if it could not be started. */
  get pid(): number {
    return this.#launched?.pid ?? this.#child.pid;
  }

  /** Which parts of its sandbox stand; undefined if it could not be started. */
  get walls(): Standings | undefined {
    return this.#launched?.walls;
  }

  /** True while it waits for its grant. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  /** True once it has said why it ends. */
  get hasFailed(): boolean {
    return this.#failed !== undefined;
  }

  /** Hands over the grant; the caller still has to close its own descriptor of it. */
  give(grant: number, message: StartMessage): void {
    this.#isWaiting = false;
    this.#control.send(message, { fd: grant });
  }

  /** Says something to the process, which reads it when its WAIT ends. False if it cannot be told any more. */
  say(message: ControlMessage): boolean {
    try {
      this.#control.send(message);
      return true;
    } catch {
      return false;
    }
  }

  /** Its last register accesses, once it has ended; to be asked for once. */
  accesses(): RegisterAccess[] {
    const accesses = this.#recording?.accesses() ?? [];
    this.#recording?.[Symbol.dispose]();
    return accesses;
  }

  /** Ends the process at once, if it has not ended. */
  kill(): void {
    // Its launcher kills it, waits for it, and clears up after it.
    sendSignal(this.#child, "SIGTERM");
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    // A driver that floods its log is slowed by it, and not its supervisor.
    let isFirst = true;
    for await (const line of paced(lines(stream), { perSecond: LINES_PER_SECOND })) {
      if (isFirst) {
        isFirst = false;
        // The launcher's word, before there was a process that could have said it.
        this.#launched = parseLaunched(line);
        this.#launches.resolve();
        if (this.#launched) continue;
      }
      const message = parseHostMessage(line);
      if (message?.type === "failed") this.#failed = message;
      if (message?.type === "waiting") {
        this.#isWaiting = true;
        this.#waits.resolve(true);
      }
      this.onMessage(message ?? { type: "log", text: line.slice(0, 200) });
    }
  }
}
