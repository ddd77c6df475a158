/** A driver's folder, read to make another one of it. */
import { join, posix } from "node:path";
import { UserError } from "../error.ts";
import { methodsOf } from "./edit.ts";
import type { Need } from "./models/model.ts";
import type { DriverFault } from "./schema.ts";

/** Code, and not tests of it. */
const CODE = /^(?!.*(_test|\.d)\.ts$).*\.ts$/;

/** Files of a folder by relative path, in the order of their names. */
export type Files = Map<string, Uint8Array<ArrayBuffer>>;

async function readFiles(folder: string, below = ""): Promise<Files> {
  const files: Files = new Map();
  const entries = await Array.fromAsync(Deno.readDir(join(folder, below)));
  for (const { name, isDirectory } of entries.sort((a, b) => a.name < b.name ? -1 : 1)) {
    const path = posix.join(below, name);
    if (!isDirectory) files.set(path, await Deno.readFile(join(folder, path)));
    else for (const [inner, content] of await readFiles(folder, path)) files.set(inner, content);
  }
  return files;
}

/** A driver's folder in memory. */
export interface Source {
  folder: string;
  /** The driver's file, relative. */
  entry: string;
  files: Files;
}

/** Reads it. @throws {UserError} if it cannot be read, or has no such driver. */
export async function readSource(folder: string, entry: string): Promise<Source> {
  const files = await readFiles(folder).catch((error) => {
    throw new UserError(`Cannot read ${folder}: ${error instanceof Error ? error.message : error}`);
  });
  if (!files.has(entry)) throw new UserError(`Cannot make a faulty version of ${folder}: it has no ${entry}`);
  return { folder, entry, files };
}

/** What a file says. */
export const text = (content: Uint8Array) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(content);
/** What a file is to hold. */
export const bytes = (content: string) => new TextEncoder().encode(content);

/** Files of code, as text. */
export function codeOf({ files }: Source): [path: string, text: string][] {
  return [...files].filter(([path]) => CODE.test(path)).map(([path, content]) => [path, text(content)]);
}

/** What calls of its device a driver makes. */
export function callsOf(source: Source): ReadonlySet<string> {
  return new Set(codeOf(source).flatMap(([path, code]) => [...methodsOf(path, code)]));
}

/** Whether a driver calls none of what a model needs. */
export function lacks(needs: readonly Need[], calls: ReadonlySet<string>): boolean {
  return needs.length > 0 && !needs.some((need) => calls.has(need));
}

/** What a folder is to hold, and what was done. */
export interface Made {
  files: Files;
  /** Each fault, all said, and a line of it for people. */
  done: { fault: DriverFault; says: string }[];
}
