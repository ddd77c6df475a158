/** Source maps of all modules, read while files can be: Deno reads a module's when its first stack is written. */

/** What is used of Deno's own core, which no types tell of. */
interface Core {
  /** Runs a script under a name, and gives what it returned and what it threw. */
  evalContext(source: string, name: string): [unknown, { thrown: unknown } | null];
}

/** Has Deno read them. @param modules URLs; one that is not loaded, or has no map, does no harm. */
export function loadSourceMaps(modules: readonly string[]): void {
  // The public way, node:vm, would start all of Node's compatibility: half of what Deno's own start takes.
  const { internal } = Deno as unknown as { internal: symbol };
  const { core } = (Deno as unknown as Record<symbol, { core: Core }>)[internal];
  for (const name of modules) {
    // A script of that name, so that the stack has a frame in it.
    const [, error] = core.evalContext("throw new Error()", name);
    void (error?.thrown as Error).stack;
  }
}
