/** What a version of a driver imports, checked in Deno's own module graph before anything of it runs. */
import { fileURLToPath, pathToFileURL } from "node:url";
import { UserError } from "../error.ts";
import type { NpmPackage } from "./packages.ts";
import type { Version } from "./versions.ts";

/** Where a specifier leads, and where it stands. Lines are counted from 0. */
interface Resolution {
  /** URL; missing if it leads nowhere, and then there is an `error`. */
  specifier?: string;
  span: { start: { line: number } };
}

/** A module, as `deno info --json` tells of it. */
export interface Module {
  specifier: string;
  /** `esm`, `asserted` (JSON and the like), `node`, `npm`, …; missing if it could not be loaded. */
  kind?: string;
  mediaType?: string;
  dependencies?: {
    /** As written. */
    specifier: string;
    code?: Resolution;
    type?: Resolution;
    /** `import()`, and nowhere an import statement. */
    isDynamic?: boolean;
  }[];
}

/** What `deno info --json` prints. */
export interface ModuleGraph {
  modules: Module[];
  npmPackages: Record<string, NpmPackage>;
}

/** The only file outside its folder that a driver imports. */
const API = new URL("../driver/mod.ts", import.meta.url).href;

/** What a driver's files may be: modules and data. A CommonJS module has `require`, and WebAssembly no use. */
const MEDIA: ReadonlySet<string> = new Set(["TypeScript", "Mts", "Dts", "Dmts", "JavaScript", "Mjs", "Json"]);

/**
 * Checks every import of every file of a driver, of its program, and of the packages that it has.
 * @param modules Of the whole graph. @param version What is checked.
 * @throws {UserError} for the first that leads elsewhere than a driver may: one line with file and line.
 */
export function checkImports(
  modules: readonly Module[],
  version: Pick<Version, "folder" | "root" | "source" | "packages" | "program">,
): void {
  const folders = [pathToFileURL(`${version.folder}/`).href, ...Object.keys(version.packages.scopes)];
  const program = version.program === undefined ? undefined : pathToFileURL(version.program).href;
  const isOwn = (url: string) => url === program || folders.some((folder) => url.startsWith(folder));
  const place = (url: string) =>
    fileURLToPath(url).replace(version.folder, version.source).replace(version.root, "");
  for (const { specifier: url, kind, mediaType, dependencies = [] } of modules) {
    if (!isOwn(url)) continue;
    if (kind !== undefined && !MEDIA.has(mediaType ?? "")) {
      throw new UserError(
        `Cannot load ${place(url)}: a driver's files are TypeScript, JavaScript modules or JSON`,
      );
    }
    for (const { specifier, code, type, isDynamic } of dependencies) {
      const found = (code ?? type)!;
      const says = (what: string) =>
        new UserError(`Cannot load ${place(url)}: line ${found.span.start.line + 1} ${what}`);
      if (isDynamic) {
        throw says(`imports ${specifier} with import(), which comes too late: write an import statement`);
      }
      for (const to of [code, type]) {
        if (!to || to.specifier === API || isOwn(to.specifier ?? "")) continue;
        throw says(
          `imports ${specifier}; a driver imports files of its own folder, ${new URL(API).pathname} ` +
            "and packages that its manifest names",
        );
      }
    }
  }
}

/** Those of a graph whose stacks need a source map. */
export function modulesWithMaps(modules: readonly Module[]): string[] {
  return modules.filter(({ kind, mediaType }) =>
    kind === "esm" && /^M?ts$|^TypeScript$/.test(mediaType ?? "")
  )
    .map(({ specifier }) => specifier);
}
