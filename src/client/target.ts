/** The supervisors that commands talk to: those of this machine, and those of running labs. */
import { readToken } from "../api/token.ts";
import { UserError } from "../error.ts";
import { type RunningLab, runningLabs } from "../lab/running.ts";
import { inLab } from "../run/files.ts";
import { RUNTIME_DIRECTORY } from "../run/runtime.ts";
import {
  type RunningSupervisor,
  runningSupervisors,
  SUPERVISOR_FILE,
  SUPERVISORS,
} from "../supervisor/run_folder.ts";
import type { Driver } from "../supervisor/schema.ts";
import { ApiClient, UnreachableError } from "./api_client.ts";
import { LabConnection } from "./lab_connection.ts";
import { type Staged, stageHere, stageInLab } from "./stage.ts";

/** One supervisor that can be talked to. */
export interface Target {
  /** For people: `here`, or which lab. */
  where: string;
  client: ApiClient;
  drivers: Driver[];
  /** The lab that it runs in, if it does. */
  lab?: RunningLab;
  /** Puts a driver's folder where the supervisor can read it. */
  stage(folder: string): Promise<Staged>;
}

/** All that were found, to be disposed of when they have been talked to. */
export interface Targets extends AsyncDisposable {
  readonly all: readonly Target[];
}

/** How to start a supervisor, for those who find none. */
const HOW_TO_START = "start one with: ring3 run e1000";

/** Finds every supervisor with an API on this machine, and in labs: those given, or else all of this user's. */
export async function findTargets({ labs }: { labs?: readonly RunningLab[] } = {}): Promise<Targets> {
  const undo = new AsyncDisposableStack();
  const all: Target[] = [];
  const add = async (target: Omit<Target, "drivers">) => {
    try {
      const { drivers } = await target.client.get<{ drivers: Driver[] }>("drivers");
      all.push({ ...target, drivers });
    } catch (error) {
      // It has ended since it said that it runs.
      if (!(error instanceof UnreachableError)) throw error;
    }
  };
  try {
    for (const { url, state } of await runningSupervisors()) {
      if (url === null) continue;
      const client = new ApiClient({ url, token: () => ownToken(state) });
      await add({ where: "here", client, stage: (folder) => stageHere(folder, state) });
    }
    for (const lab of labs ?? (inLab() ? [] : await runningLabs())) {
      for (const { url, state } of await supervisorsIn(lab)) {
        if (url === null) continue;
        const client = undo.use(await LabConnection.open(lab, url)).client(state);
        await add({
          where: `lab ${lab.directory}`,
          client,
          lab,
          stage: (folder) => stageInLab(lab, folder, state),
        });
      }
    }
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
  return { all, [Symbol.asyncDispose]: () => undo.disposeAsync() };
}

/**
 * The one that supervises a driver.
 * @throws {UserError} if there is none, or more than one.
 */
export function targetOf(targets: Targets, name: string): Target {
  if (targets.all.length === 0) throw new UserError(`No supervisor runs; ${HOW_TO_START}`);
  const having = targets.all.filter(({ drivers }) => drivers.some((driver) => driver.name === name));
  if (having.length === 1) return having[0];
  if (having.length > 1) {
    throw new UserError(
      `${name} runs in more than one place: ${having.map(({ where }) => where).join(", ")}; end all but one`,
    );
  }
  const names = targets.all.flatMap(({ drivers }) => drivers.map((driver) => driver.name));
  throw new UserError(`No driver ${name} is supervised; there is ${names.join(", ") || "none"}`);
}

/** The only one. @throws {UserError} if there is none, or more than one. */
export function onlyTarget(targets: Targets): Target {
  if (targets.all.length === 1) return targets.all[0];
  if (targets.all.length === 0) throw new UserError(`No supervisor runs; ${HOW_TO_START}`);
  const places = targets.all.map(({ where, client }) => `${client.url} (${where})`).join(", ");
  throw new UserError(`More than one supervisor runs: ${places}; name a driver`);
}

async function ownToken(state: string): Promise<string> {
  try {
    return await readToken(state);
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError("This takes the supervisor's token, which only root can read: use sudo", {
        cause: error,
      });
    }
    if (error instanceof Deno.errors.NotFound) throw new UserError(`There is no token in ${state}`);
    throw error;
  }
}

/** What the supervisors in a lab say of themselves, where their processes are still there. */
async function supervisorsIn(lab: RunningLab): Promise<RunningSupervisor[]> {
  const script = `for folder in ${RUNTIME_DIRECTORY}/${SUPERVISORS}/*; do
    [ -d "/proc/\${folder##*/}" ] && cat "$folder/${SUPERVISOR_FILE}"
  done 2> /dev/null; true`;
  const { stdout } = await lab.exec(["sh", "-c", script]);
  return stdout.split("\n").filter((line) => line !== "").map((line) =>
    JSON.parse(line) as RunningSupervisor
  );
}
