/** Stacks of drivers, as their authors know the files. */
import { pathToFileURL } from "node:url";

/** `file:` and a path, up to the line and column of a frame. */
const LOCATION = /file:\/\/(\/\S*?)(?=:\d+:\d+)/g;

/**
 * A stack with paths in place of URLs, and with the driver's files where they were before they were taken to
 * the folder that it ran from. Frames of the host stay. Lines and columns are those of the TypeScript source
 * already: Deno maps them.
 * @param from The folder it ran from. @param to The folder it was taken from.
 */
export function cleanStack(stack: string, { from, to }: { from: string; to: string }): string {
  return stack.replaceAll(folderUrl(from), folderUrl(to)).replace(LOCATION, (url, path: string) => {
    try {
      return decodeURIComponent(path);
    } catch {
      // What a driver says need not be a URL.
      return url;
    }
  });
}

/** A folder's URL with a slash at its end, so that it is no prefix of its neighbours'. */
function folderUrl(path: string): string {
  return `${pathToFileURL(path.replace(/\/+$/, "")).href}/`;
}
