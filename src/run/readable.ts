/** Whether a user without any privileges can reach a file. */
import { dirname } from "node:path";
import { UserError } from "../error.ts";

const SEARCH = 0o001;
const READ = 0o004;

/**
 * Sees to it that the user a driver becomes can read these files: it owns nothing and is in no group.
 * @throws {UserError} that names the first file or folder that is closed to it.
 */
export async function needReadable(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const closed = await closedPart(await Deno.realPath(file));
    if (closed) {
      throw new UserError(
        `The driver's user, which owns nothing, cannot read ${file}: ${closed} is closed to others; ` +
          `move the checkout to a folder that all may enter, like /opt`,
      );
    }
  }
}

/** The file itself or the folder above it that others may not read or enter. */
async function closedPart(file: string): Promise<string | undefined> {
  if (((await Deno.stat(file)).mode! & READ) === 0) return file;
  for (let folder = dirname(file);; folder = dirname(folder)) {
    if (((await Deno.stat(folder)).mode! & SEARCH) === 0) return folder;
    if (folder === "/") return undefined;
  }
}
