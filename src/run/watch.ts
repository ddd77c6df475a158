/** Watches a driver's folder, and has the driver upgraded when something in it is saved. */

/** Editors write a file in several steps: how long nothing may change until it counts as saved, milliseconds. */
const SETTLED = 200;

/**
 * Calls `onSave` after each change in a folder, once it has settled, until `signal` aborts. What is saved
 * while a call lasts leads to one more when that has ended.
 */
export async function watchFolder(
  folder: string,
  { onSave, signal }: { onSave: () => Promise<void>; signal: AbortSignal },
): Promise<void> {
  if (signal.aborted) return;
  using watcher = Deno.watchFs(folder, { recursive: true });
  const stop = () => watcher.close();
  signal.addEventListener("abort", stop);
  let timer: ReturnType<typeof setTimeout> | undefined;
  let saving: Promise<void> = Promise.resolve();
  try {
    for await (const { kind } of watcher) {
      if (kind === "access" || kind === "any" || kind === "other") continue;
      clearTimeout(timer);
      timer = setTimeout(() => saving = saving.then(onSave), SETTLED);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", stop);
    await saving;
  }
}
