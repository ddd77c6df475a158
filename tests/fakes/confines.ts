/** What of a driver's sandbox this machine lets tests build. */
import { needReadable } from "../../src/run/readable.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** True if it lets them build the sandbox at all: that takes root, and more in some containers. */
export const confines: boolean = Deno.uid() === 0 &&
  new Deno.Command("unshare", {
    args: ["--mount", "--pid", "--net", "--fork", "mount", "--make-rprivate", "/"],
  })
    .outputSync().success;

async function isReadable(path: string): Promise<boolean> {
  return await needReadable([path]).then(() => true, () => false);
}

/** A Deno that other users can run: this one, or a copy of it if it is in a folder of root's own. */
async function findDeno(): Promise<string> {
  const own = Deno.execPath();
  if (await isReadable(own)) return own;
  const copy = `${ROOT}build/tests/${Deno.version.deno}/deno`;
  if (!await Deno.stat(copy).catch(() => undefined)) {
    await Deno.mkdir(copy.replace(/\/deno$/, ""), { recursive: true });
    await Deno.copyFile(own, `${copy}.${Deno.pid}`);
    await Deno.rename(`${copy}.${Deno.pid}`, copy);
  }
  return copy;
}

/** A Deno that a driver's user can run. */
export const DENO: string = confines ? await findDeno() : Deno.execPath();

/** True if the sandbox can be built around Deno and the checkout. */
export const confinesDeno: boolean = confines && await isReadable(DENO) &&
  await isReadable(`${ROOT}deno.json`);
