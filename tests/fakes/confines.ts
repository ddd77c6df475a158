/** What of a driver's sandbox this machine lets tests build. */
import { needReadable } from "../../src/run/readable.ts";

/** True if it lets them build the sandbox at all: that takes root, and more in some containers. */
export const confines: boolean = Deno.uid() === 0 &&
  new Deno.Command("unshare", {
    args: ["--mount", "--pid", "--net", "--fork", "mount", "--make-rprivate", "/"],
  })
    .outputSync().success;

/** True if it also lets this Deno run as another user: neither Deno nor the checkout is in a folder of root's own. */
export const confinesDeno: boolean = confines &&
  await needReadable([Deno.execPath(), new URL("../../deno.json", import.meta.url).pathname])
    .then(() => true, () => false);
