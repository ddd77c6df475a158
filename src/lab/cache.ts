// What takes long to make is kept: one directory per thing, named by a hash of what went into it.

import { asRoot, run } from "./command.ts";

/** `${XDG_CACHE_HOME:-~/.cache}/ring3`. */
export function cacheRoot(): string {
  const base = Deno.env.get("XDG_CACHE_HOME") || `${Deno.env.get("HOME") || "/root"}/.cache`;
  return `${base}/ring3`;
}

/** A short hash of everything in `parts`, whatever the order of their names. */
export async function cacheKey(parts: Record<string, unknown>): Promise<string> {
  const text = JSON.stringify(
    Object.keys(parts).sort().map((name) => [name, parts[name]]),
  );
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex().slice(0, 20);
}

/** Where a thing is kept. */
export interface Cached {
  /** Sort of thing: "kernel", "image" … */
  kind: string;
  key: string;
  /** How many of this kind to keep, the least recently used go first. */
  keep: number;
  /** Told when another process makes one of this kind now, before it is waited for. */
  waiting?(): void;
}

/**
 * The directory of a kept thing. If there is none, `make` fills an empty one, which becomes the thing only
 * when it is whole. Processes that need the same kind at the same time wait for each other.
 */
export async function cached(thing: Cached, make: (directory: string) => Promise<void>): Promise<string> {
  const shelf = `${cacheRoot()}/${thing.kind}`;
  const final = `${shelf}/${thing.key}`;
  if (await used(final)) return final;
  await Deno.mkdir(shelf, { recursive: true });
  using _lock = await lock(`${shelf}.lock`, { waiting: thing.waiting });
  if (await used(final)) return final;
  await prune(shelf, thing.keep - 1);
  const partial = `${shelf}/.partial-${thing.key}`;
  await Deno.mkdir(partial);
  await make(partial);
  await Deno.rename(partial, final);
  return final;
}

/**
 * Takes the lock of a file, made if need be. It is given up on disposal and when this process ends. `waiting`
 * is called if another holds it.
 */
export async function lock(path: string, options: { waiting?(): void } = {}): Promise<Disposable> {
  const file = await Deno.open(path, { create: true, write: true });
  if (!await file.tryLock(true)) {
    options.waiting?.();
    await file.lock(true);
  }
  return file;
}

/** Whether a thing is there; its time becomes that of the last use. */
async function used(path: string): Promise<boolean> {
  try {
    await Deno.utime(path, new Date(), new Date());
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Removes what an interrupted build left, and all but the `keep` things used last. Needs the shelf's lock. */
async function prune(shelf: string, keep: number): Promise<void> {
  const things: { path: string; time: number }[] = [];
  for await (const { name } of Deno.readDir(shelf)) {
    const path = `${shelf}/${name}`;
    if (name.startsWith(".partial-")) await removeTree(path);
    else things.push({ path, time: (await Deno.stat(path)).mtime?.getTime() ?? 0 });
  }
  things.sort((a, b) => b.time - a.time);
  for (const { path } of things.slice(keep)) await removeTree(path);
}

/** An interrupted build without root leaves files of users that exist only in its namespace. */
async function removeTree(path: string): Promise<void> {
  await run(asRoot(["rm", "-rf", path]), { what: `remove ${path}` });
}
