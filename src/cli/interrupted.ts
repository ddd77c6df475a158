/** Ctrl-C, for commands that run long. */

/** How long a command may take to end after Ctrl-C before it is cut short, milliseconds. */
const EXIT_MS = 2500;

/** Aborts on Ctrl-C and on being asked to end. */
export function untilInterrupted(): AbortController {
  const controller = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    Deno.addSignalListener(signal, () => {
      controller.abort();
      // Whatever hangs on the way out must not keep the user.
      Deno.unrefTimer(setTimeout(() => Deno.exit(130), EXIT_MS));
    });
  }
  return controller;
}
