/** Stacks of drivers, as their authors know the files. */
import { pathToFileURL } from "node:url";
import type { Version } from "./versions.ts";

/** `file:` and a path, up to the line and column of a frame. */
const LOCATION = /file:\/\/(\/\S*?)(?=:\d+:\d+)/g;

/**
 * A stack with paths in place of URLs, and with the driver's files where they were before they were taken to
 * the folder that it ran from. Frames of the host stay. Lines and columns are those of the TypeScript source
 * already: Deno maps them.
 */
export function cleanStack(stack: string, version: Pick<Version, "folder" | "root" | "source">): string {
  const { folder, root, source } = version;
  // What is not of its folder, a program, was taken from where the copy has it.
  const taken = stack.replaceAll(folderUrl(folder), folderUrl(source)).replaceAll(
    folderUrl(root),
    "file:///",
  );
  return taken.replace(LOCATION, (url, path: string) => {
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
