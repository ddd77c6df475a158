/** What runs here, for `ring3 status`: a file for each driver that a supervisor runs, in a folder of root's. */
import type { Status } from "../view/status.ts";

/** Where the files are. */
const FOLDER = "/run/ring3";

/** One running driver. */
export interface RunningDriver {
  /** Process of its supervisor. */
  supervisor: number;
  /** Process of the driver itself. */
  driver: number | null;
  status: Status;
}

/** The file of one driver, kept up to date until disposed. */
export class StateFile implements AsyncDisposable {
  readonly #path: string;

  constructor(name: string) {
    this.#path = `${FOLDER}/${name}.json`;
  }

  /** Writes what is true now, so that a reader finds the old or the new and nothing between. */
  async write(running: RunningDriver): Promise<void> {
    await Deno.mkdir(FOLDER, { recursive: true, mode: 0o755 });
    const draft = `${this.#path}.${Deno.pid}`;
    await Deno.writeTextFile(draft, JSON.stringify(running) + "\n");
    await Deno.rename(draft, this.#path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.#path).catch(() => {});
  }
}

/** All drivers that run on this machine. Files that a killed supervisor has left behind are passed over. */
export async function runningDrivers(): Promise<RunningDriver[]> {
  const running: RunningDriver[] = [];
  try {
    for await (const { name } of Deno.readDir(FOLDER)) {
      if (!name.endsWith(".json")) continue;
      const one = JSON.parse(await Deno.readTextFile(`${FOLDER}/${name}`)) as RunningDriver;
      if (await Deno.stat(`/proc/${one.supervisor}`).then(() => true, () => false)) running.push(one);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return running;
}
