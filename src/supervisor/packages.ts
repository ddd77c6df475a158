/**
 * npm packages of a driver. They are fetched when a version is compiled and are from then on files like the
 * driver's own: an import map leads to them, the same checks go over them, and nothing of npm runs.
 */
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../error.ts";
import type { Module } from "./imports.ts";

/** Where the packages of a version are, for its import map. */
export interface PackageMap {
  /** URLs by what the driver writes: `name`, `name/part`, and both with `npm:` and the version. */
  imports: Record<string, string>;
  /** The same for what each package writes, by the URL of its folder. */
  scopes: Record<string, Record<string, string>>;
}

/** What `deno info --json` tells of a package. */
export interface NpmPackage {
  name: string;
  version: string;
  /** Keys of others. */
  dependencies: string[];
  /** Its folder. */
  localPath: string;
}

/** What is read of a `package.json`. */
interface PackageJson {
  type?: string;
  main?: string;
  exports?: Exports;
}

type Exports = string | null | Exports[] | { [key: string]: Exports };

/** Conditions of `exports` that hold for a driver. */
const CONDITIONS: ReadonlySet<string> = new Set(["import", "default"]);

/** A module that imports them all, so that one call is about all of them. */
export function packagesEntry(packages: readonly string[]): string {
  const imports = packages.map((name) => `import ${JSON.stringify(name)};`).join("");
  return `data:text/javascript,${encodeURIComponent(imports)}`;
}

/** The first target whose conditions hold. */
function target(exports: Exports): string | undefined {
  if (typeof exports === "string") return exports;
  if (exports === null) return undefined;
  const rest = Array.isArray(exports)
    ? exports
    : Object.entries(exports).filter(([key]) => CONDITIONS.has(key)).map(([, value]) => value);
  for (const one of rest) {
    const found = target(one);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What can be imported of a package: URLs by subpath, "" for itself. One that ends in / stands for all below. */
function entries({ main = "index.js", exports = main }: PackageJson, folder: string): Record<string, string> {
  const isSubpaths = typeof exports === "object" && exports !== null && "." in exports;
  const found: Record<string, string> = {};
  for (const [key, value] of Object.entries(isSubpaths ? exports : { ".": exports })) {
    const to = target(value);
    if (to === undefined) continue;
    const path = key.replace(/^\./, "");
    if (!path.includes("*")) found[path] = new URL(to, folder).href;
    else if (path.endsWith("/*") && to.endsWith("/*")) {
      found[path.slice(0, -1)] = new URL(to.slice(0, -1), folder).href;
    }
  }
  return found;
}

async function readJson(path: string): Promise<PackageJson | undefined> {
  const text = await Deno.readTextFile(path).catch((error) => {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  });
  return text === undefined ? undefined : JSON.parse(text);
}

/** The import map of packages that have been fetched. @param named As the manifest names them. */
export async function packageMap(
  fetched: Record<string, NpmPackage>,
  named: readonly string[],
): Promise<PackageMap> {
  const folders = new Map<
    string,
    { name: string; version: string; folder: string; entries: Record<string, string> }
  >();
  for (const [key, { name, version, localPath }] of Object.entries(fetched)) {
    const folder = pathToFileURL(`${localPath}/`).href;
    const json = await readJson(`${localPath}/package.json`) ?? {};
    folders.set(key, { name, version, folder, entries: entries(json, folder) });
  }
  const map: PackageMap = { imports: {}, scopes: {} };
  for (const { name, version, entries } of folders.values()) {
    if (!named.includes(`npm:${name}@${version}`)) continue;
    for (const [path, url] of Object.entries(entries)) {
      map.imports[`${name}${path}`] = map.imports[`npm:${name}@${version}${path}`] = url;
    }
  }
  for (const [key, { dependencies }] of Object.entries(fetched)) {
    const scope: Record<string, string> = map.scopes[folders.get(key)!.folder] = {};
    for (const dependency of dependencies) {
      const { name, entries } = folders.get(dependency)!;
      for (const [path, url] of Object.entries(entries)) scope[`${name}${path}`] = url;
    }
  }
  return map;
}

/**
 * Refuses CommonJS: what it imports is in no graph, and it would have `require`.
 * @param modules Of the whole graph; those of packages are looked at.
 * @throws {UserError} naming the first file that is no JavaScript module.
 */
export async function checkPackages(modules: readonly Module[], { scopes }: PackageMap): Promise<void> {
  for (const { specifier: url } of modules) {
    const folder = Object.keys(scopes).find((folder) => url.startsWith(folder));
    if (folder === undefined || !/\.[jt]s$/.test(url)) continue;
    let json: PackageJson | undefined;
    for (
      let at = new URL(".", url).href;
      json === undefined && at.startsWith(folder);
      at = new URL("..", at).href
    ) {
      json = await readJson(fileURLToPath(new URL("package.json", at)));
    }
    if (json?.type !== "module") {
      throw new UserError(
        `Cannot load ${
          fileURLToPath(url)
        }: it is CommonJS; a driver's packages are made of JavaScript modules`,
      );
    }
  }
}
