/** One process that runs a driver: started without privileges, handed its grant, watched until it ends. */
import type { HostMessage, StartMessage } from "../host/messages.ts";
import { ControlSocket, type Library } from "../kernel/mod.ts";
import { lines } from "../lines.ts";
import { parseHostMessage } from "./host_message.ts";

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

/** How a process ended. */
export interface ProcessEnd {
  code: number;
  signal: string | null;
  /** Its last words, if it said why. */
  failed?: { error: string; message: string; stack: string };
  /** The last lines on its standard error: V8's and the launcher's. */
  stderr: string[];
}

/** Lines of standard error that are kept. */
const KEPT_LINES = 20;

/** Descriptor number of the control socket in the process: the launcher moves it there. */
const CONTROL_FD = 3;

/** Open files that a Deno process needs, and some. */
const OPEN_FILES = 64;

/** A driver process that waits for its grant, or runs with it. */
export class DriverProcess {
  /** Resolves when the process has ended and all that it said has been read. */
  readonly ended: Promise<ProcessEnd>;
  readonly pid: number;
  readonly #control: ControlSocket;
  readonly #child: Deno.ChildProcess;
  #failed?: ProcessEnd["failed"];

  private constructor(child: Deno.ChildProcess, control: ControlSocket, onMessage: (m: HostMessage) => void) {
    this.#child = child;
    this.#control = control;
    this.pid = child.pid;
    const stderr: string[] = [];
    this.ended = Promise.all([
      child.status,
      this.#read(child.stdout, onMessage),
      (async () => {
        for await (const line of lines(child.stderr)) {
          stderr.push(line);
          if (stderr.length > KEPT_LINES) stderr.shift();
        }
      })(),
    ]).then(([{ code, signal }]) => {
      control[Symbol.dispose]();
      return { code, signal, failed: this.#failed, stderr };
    });
  }

  /**
   * Starts a process for a driver. It maps and loads nothing until it gets its grant.
   * @param driver Absolute path of `driver.ts`.
   * @param uid User that it becomes: one that owns nothing else.
   */
  static spawn(library: Library, { files, driver, uid, onMessage }: {
    files: HostFiles;
    driver: string;
    uid: number;
    onMessage: (message: HostMessage) => void;
  }): DriverProcess {
    const importMap = JSON.stringify({ imports: { "ring3-driver": new URL(`file://${driver}`).href } });
    const { ours, theirs } = ControlSocket.pair(library);
    try {
      const child = new Deno.Command(files.launcher, {
        // deno-fmt-ignore
        args: [
          "--uid", `${uid}`, "--fd", `${theirs}`, "--nofile", `${OPEN_FILES}`, "--",
          files.deno, "run", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--quiet",
          `--import-map=data:application/json,${encodeURIComponent(importMap)}`,
          `--allow-ffi=${files.library}`,
          files.main, files.library, `${CONTROL_FD}`,
        ],
        clearEnv: true,
        env: {
          NO_COLOR: "1",
          DENO_NO_UPDATE_CHECK: "1",
          // Read-only for the process: it holds the compiled sources.
          ...(Deno.env.has("DENO_DIR") ? { DENO_DIR: Deno.env.get("DENO_DIR")! } : {}),
        },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).spawn();
      return new DriverProcess(child, ours, onMessage);
    } catch (error) {
      ours[Symbol.dispose]();
      throw error;
    } finally {
      library.r3_close(theirs);
    }
  }

  /** Hands over the grant; the caller still has to close its own descriptor of it. */
  give(grant: number, message: StartMessage): void {
    this.#control.send(message, { fd: grant });
  }

  /** Ends the process at once, if it has not ended. */
  kill(): void {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended already.
    }
  }

  async #read(stream: ReadableStream<Uint8Array<ArrayBuffer>>, onMessage: (m: HostMessage) => void) {
    for await (const line of lines(stream)) {
      const message = parseHostMessage(line);
      if (message?.type === "failed") this.#failed = message;
      onMessage(message ?? { type: "log", text: line.slice(0, 200) });
    }
  }
}
