/** Resolves after `ms` milliseconds, or when a signal aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted || ms <= 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const done = () => resolve();
  const timer = setTimeout(done, ms);
  signal?.addEventListener("abort", done);
  await promise;
  clearTimeout(timer);
  signal?.removeEventListener("abort", done);
}
