/** A folder that goes when it is disposed of, or with an interruption, after which nobody disposes of anything. */
export async function temporaryFolder(signal: AbortSignal): Promise<AsyncDisposable & { path: string }> {
  const path = await Deno.makeTempDir({ prefix: "ring3-" });
  signal.addEventListener("abort", () => Deno.removeSync(path, { recursive: true }));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      if (!signal.aborted) await Deno.remove(path, { recursive: true });
    },
  };
}
