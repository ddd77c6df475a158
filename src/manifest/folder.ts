/** Where drivers lie. */

/** The folder of its own, below one named `drivers`, that a driver's file is in; undefined if it is in none. */
export function folderOf(file: string): string | undefined {
  return /^.*\/drivers\/[^/]+(?=\/)/.exec(file)?.[0];
}
