/**
 * The folder of a running supervisor: it says that it runs and where its API is, and holds the copies of
 * drivers that it runs. Those of supervisors that were killed are known by their process and cleaned away.
 */
import { basename } from "node:path";
import { PROC } from "../machine.ts";
import { RUNTIME_DIRECTORY } from "../run/runtime.ts";

/** What a supervisor says of itself, in `supervisor.json`. */
export interface RunningSupervisor {
  pid: number;
  /** When its process started, clock ticks since boot: another process of the same number differs in it. */
  started: number;
  /** Its API, as in `http://127.0.0.1:7333/`; null if it has none. */
  url: string | null;
  /** Its state directory: the token is in it. */
  state: string;
}

/** Places; replaced in tests. */
export interface RunFolderOptions {
  /** Where runtime files are kept. */
  runtime?: string;
  /** Mount point of procfs. */
  proc?: string;
}

/** Below the runtime directory, a folder for each supervisor, named by its process. */
export const SUPERVISORS = "supervisors";

/** The file in such a folder. */
export const SUPERVISOR_FILE = "supervisor.json";

/**
 * When a process started, clock ticks since boot; undefined if there is none.
 * @see proc(5), field 22 of `/proc/PID/stat`. The second field, in brackets, may itself hold any character.
 */
export async function startTime(pid: number, { proc = PROC }: RunFolderOptions = {}): Promise<
  number | undefined
> {
  const stat = await Deno.readTextFile(`${proc}/${pid}/stat`).catch(() => undefined);
  return stat === undefined ? undefined : Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);
}

/** This supervisor's folder, until it is disposed. */
export class RunFolder implements AsyncDisposable {
  /** Its path. */
  readonly path: string;
  readonly #started: number;

  private constructor(path: string, started: number) {
    this.path = path;
    this.#started = started;
  }

  /** Makes the folder, empty, and removes those of supervisors that are no more. */
  static async make(options: RunFolderOptions = {}): Promise<RunFolder> {
    const { runtime = RUNTIME_DIRECTORY } = options;
    const all = `${runtime}/${SUPERVISORS}`;
    await Deno.mkdir(all, { recursive: true, mode: 0o755 });
    for await (const { name } of Deno.readDir(all)) {
      const folder = `${all}/${name}`;
      // One of our number is not ours: it has been left.
      if (name !== `${Deno.pid}` && await isAlive(folder, options)) continue;
      // Others that begin now clear away the same.
      await Deno.remove(folder, { recursive: true }).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
    const path = `${all}/${Deno.pid}`;
    await Deno.mkdir(path, { mode: 0o755 });
    return new RunFolder(path, (await startTime(Deno.pid, options))!);
  }

  /** Says that this supervisor runs, and where its API is. */
  async tell(api: { url: string | null; state: string }): Promise<void> {
    const said: RunningSupervisor = { pid: Deno.pid, started: this.#started, ...api };
    const draft = `${this.path}/.${SUPERVISOR_FILE}`;
    await Deno.writeTextFile(draft, `${JSON.stringify(said)}\n`, { mode: 0o644 });
    await Deno.rename(draft, `${this.path}/${SUPERVISOR_FILE}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.path, { recursive: true });
  }
}

/** The supervisors that run on this machine, by process. What killed ones have left is passed over. */
export async function runningSupervisors(options: RunFolderOptions = {}): Promise<RunningSupervisor[]> {
  const all = `${options.runtime ?? RUNTIME_DIRECTORY}/${SUPERVISORS}`;
  const found: RunningSupervisor[] = [];
  try {
    for await (const { name } of Deno.readDir(all)) {
      const one = await readSupervisor(`${all}/${name}`);
      if (one && await startTime(one.pid, options) === one.started) found.push(one);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return found.sort((a, b) => a.pid - b.pid);
}

/** What the supervisor of a folder has said; undefined if nothing yet. */
async function readSupervisor(folder: string): Promise<RunningSupervisor | undefined> {
  const text = await Deno.readTextFile(`${folder}/${SUPERVISOR_FILE}`).catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text) as RunningSupervisor;
}

/** Whether the supervisor of a folder runs, or has only just begun: what it has said is asked for once, and first. */
async function isAlive(folder: string, options: RunFolderOptions): Promise<boolean> {
  const said = await readSupervisor(folder);
  const started = await startTime(Number(basename(folder)), options);
  return started !== undefined && (said === undefined || said.started === started);
}
