/** Processes that were started from here. */

/** Sends a process a signal, if it has not ended. */
export function sendSignal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch {
    // It has ended already.
  }
}
