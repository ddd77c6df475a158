/** Source maps of all modules, read while files can be: Deno reads a module's when its first stack is written. */
import { runInThisContext } from "node:vm";

/** Has Deno read them. @param modules URLs; one that is not loaded, or has no map, does no harm. */
export function loadSourceMaps(modules: readonly string[]): void {
  for (const filename of modules) {
    try {
      // A script of that name, so that the stack has a frame in it.
      runInThisContext("throw new Error()", { filename });
    } catch (error) {
      void (error as Error).stack;
    }
  }
}
