/**
 * Puts a driver's folder where a supervisor can read it, who has permission to read little: in its state
 * directory, here or in a lab.
 */
import { basename } from "node:path";
import { UserError } from "../error.ts";
import { run } from "../lab/command.ts";
import type { RunningLab } from "../lab/running.ts";

/** A copy of a folder, removed when disposed: the supervisor makes its own when it takes a version. */
export interface Staged extends AsyncDisposable {
  /** The copy, as the supervisor sees it. */
  folder: string;
}

/** Below a state directory, a folder for each copy. */
const INCOMING = "incoming";

/** Removes the copies that commands have left which were killed: for a supervisor that is the only one. */
export async function clearStaged(state: string): Promise<void> {
  await Deno.remove(`${state}/${INCOMING}`, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** A new place for a copy. */
function incoming(state: string, folder: string): { parent: string; copy: string } {
  const parent = `${state}/${INCOMING}/${crypto.randomUUID()}`;
  return { parent, copy: `${parent}/drivers/${basename(folder)}` };
}

/** The folder as a tar archive. @throws {UserError} if it cannot be read. */
async function archive(folder: string): Promise<Uint8Array<ArrayBuffer>> {
  const info = await Deno.stat(folder).catch(() => undefined);
  if (!info?.isDirectory) throw new UserError(`There is no folder ${folder}`);
  return await run(["tar", "--create", "--dereference", "--directory", folder, "."], {
    what: `copy ${folder}`,
  });
}

const UNPACK = 'mkdir -p "$1" && exec tar --extract --no-same-owner --directory "$1"';

/** On this machine. */
export async function stageHere(folder: string, state: string): Promise<Staged> {
  const { parent, copy } = incoming(state, folder);
  const remove = () => Deno.remove(parent, { recursive: true });
  await run(["sh", "-c", UNPACK, "sh", copy], {
    what: `copy ${folder} to ${copy}`,
    input: await archive(folder),
  });
  return { folder: copy, [Symbol.asyncDispose]: remove };
}

/** In a lab. */
export async function stageInLab(lab: RunningLab, folder: string, state: string): Promise<Staged> {
  const { parent, copy } = incoming(state, folder);
  const { code, stderr } = await lab.exec(["sh", "-c", UNPACK, "sh", copy], { stdin: await archive(folder) });
  if (code !== 0) throw new UserError(`Cannot copy ${folder} into the lab: ${stderr.trim()}`);
  return {
    folder: copy,
    async [Symbol.asyncDispose]() {
      await lab.exec(["rm", "-rf", parent]);
    },
  };
}
