/**
 * Versions of a driver. What runs is a copy of its folder, so that a restart is of what ran before and not of
 * what an editor has half written since, and so that there is a way back from an upgrade.
 */
import { dirname } from "node:path";
import { UserError } from "../error.ts";
import type { PackageMap } from "./packages.ts";

/** Most files in a driver's folder, and bytes in all. */
const MOST_FILES = 1000;
const MOST_BYTES = 16 * 2 ** 20;

/** Hexadecimal digits of the hash that name a version. */
const ID_LENGTH = 12;

/** The fault that a version was made to have. */
export interface InjectedFault {
  /** Which, as whoever injects it calls it. */
  label: string;
  /** How long it stays once its process is ready, milliseconds; without it, until the process ends. */
  ms?: number;
}

/** One version of a driver, ready to be run. */
export interface Version {
  /** Names the content. */
  id: string;
  /** The driver's file that it was taken from. */
  path: string;
  /** The same file in the copy. */
  file: string;
  /** The file in the copy of the program that its raw port has, if it has one. */
  program?: string;
  /** The folder of the copy. */
  folder: string;
  /** What holds the copy, and nothing else. */
  root: string;
  /** The folder that it was taken from. */
  source: string;
  /** Folder of what it has been compiled to. */
  cache: string;
  /** The npm packages that it has, once it has been compiled. */
  packages: PackageMap;
  /** URLs of all modules that a process of it loads, once it has been compiled. */
  modules: string[];
  /** Import map that runs it: all but the driver's own folder is where it was. */
  imports: Record<string, string>;
  /** When it was taken. */
  since: Date;
  /** It is a fault that is injected: it runs for the life of one process. */
  fault?: InjectedFault;
}

interface SourceFile {
  /** Relative to the folder, or that of a program. */
  path: string;
  content: Uint8Array<ArrayBuffer>;
}

async function* walk(folder: string, below = ""): AsyncGenerator<string> {
  const entries = (await Array.fromAsync(Deno.readDir(`${folder}/${below}`))).sort((a, b) =>
    a.name < b.name ? -1 : 1
  );
  for (const { name, isDirectory, isFile } of entries) {
    const path = below ? `${below}/${name}` : name;
    if (isDirectory) yield* walk(folder, path);
    // With one, Deno could take files beside it for CommonJS, whose require() no import map binds.
    else if (name === "package.json") {
      throw new UserError(`Cannot take a version of ${folder}: ${path} has no place in a driver's folder`);
    } else if (isFile) yield path;
    else throw new UserError(`Cannot take a version of ${folder}: ${path} is neither a file nor a folder`);
  }
}

async function readFolder(folder: string): Promise<SourceFile[]> {
  const files: SourceFile[] = [];
  let bytes = 0;
  for await (const path of walk(folder)) {
    const content = await Deno.readFile(`${folder}/${path}`);
    bytes += content.length;
    files.push({ path, content });
    if (files.length > MOST_FILES || bytes > MOST_BYTES) {
      throw new UserError(
        `Cannot take a version of ${folder}: it holds more than ${MOST_FILES} files or ${
          MOST_BYTES >> 20
        } MiB; ` +
          "a driver's folder is for its sources",
      );
    }
  }
  return files;
}

/** A program is one file, and has the whole path that it was found at. */
async function readProgram(path: string): Promise<SourceFile> {
  try {
    return { path, content: await Deno.readFile(path) };
  } catch (error) {
    throw new UserError(`Cannot read ${path}: ${error instanceof Error ? error.message : error}`);
  }
}

async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content)).toHex();
}

async function hash(files: SourceFile[]): Promise<string> {
  const lines = await Promise.all(
    files.map(async ({ path, content }) => `${await sha256(content)} ${path}\n`),
  );
  return (await sha256(new TextEncoder().encode(lines.join("")))).slice(0, ID_LENGTH);
}

/** Copies of drivers' folders, in a folder of root's that every user can read. */
export class VersionStore {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /**
   * Takes a version.
   * @param driver The manifest's driver file and folder, and its program: where the version is to believe that
   * they lie.
   * @param path A driver file of which to take the content instead; its folder is the one it lies in.
   * @param source The file that `path` is a copy of, if it is.
   * @throws {UserError} if the folder cannot be read, or is too large.
   */
  async take(
    driver: { file: string; folder: string; program?: string },
    { path: from = driver.file, source = from }: { path?: string; source?: string } = {},
  ): Promise<Version> {
    const relative = driver.file.slice(driver.folder.length + 1);
    const folder = from.slice(0, -relative.length - 1);
    if (`${folder}/${relative}` !== from || !source.endsWith(`/${relative}`)) {
      throw new UserError(
        `Cannot take ${source}: expected a path that ends in ${relative}, as the manifest's does`,
      );
    }
    const files = await readFolder(folder).catch((error) => {
      if (error instanceof UserError) throw error;
      throw new UserError(`Cannot read ${folder}: ${error instanceof Error ? error.message : error}`);
    });
    const program = driver.program === undefined ? undefined : await readProgram(driver.program);
    const id = await hash([...files, ...(program ? [program] : [])]);
    const root = `${this.#directory}/${id}`;
    const copy = `${root}${driver.folder}`;
    await Deno.mkdir(copy, { recursive: true, mode: 0o755 });
    for (const { path, content } of files) {
      await Deno.mkdir(`${copy}/${path}`.replace(/\/[^/]*$/, ""), { recursive: true, mode: 0o755 });
      await Deno.writeFile(`${copy}/${path}`, content, { mode: 0o644 });
    }
    if (program) {
      await Deno.mkdir(dirname(`${root}${program.path}`), { recursive: true, mode: 0o755 });
      await Deno.writeFile(`${root}${program.path}`, program.content, { mode: 0o644 });
    }
    const url = (path: string) => new URL(`file://${path}`).href;
    return {
      id,
      path: source,
      file: `${copy}/${relative}`,
      folder: copy,
      root,
      source: source.slice(0, -relative.length - 1),
      cache: `${this.#directory}/${id}.cache`,
      ...(program ? { program: `${root}${program.path}` } : {}),
      imports: {
        [url(`${root}/`)]: "file:///",
        [url(`${copy}/`)]: url(`${copy}/`),
        ...(program ? { [url(`${root}${program.path}`)]: url(`${root}${program.path}`) } : {}),
      },
      packages: { imports: {}, scopes: {} },
      modules: [],
      since: new Date(),
    };
  }

  /** Removes all copies but these. */
  async keepOnly(ids: ReadonlySet<string>): Promise<void> {
    const names = await Array.fromAsync(Deno.readDir(this.#directory), ({ name }) => name).catch(() => []);
    for (const name of names) {
      if (!ids.has(name.replace(/\.cache$/, ""))) {
        await Deno.remove(`${this.#directory}/${name}`, { recursive: true });
      }
    }
  }
}
