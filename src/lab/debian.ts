// Debian packages without touching this system's own lists: a private apt directory in the cache, fed from
// the mirrors that the system's apt is configured with.
import { UserError } from "../error.ts";
import { cacheRoot, lock } from "./cache.ts";
import { output, run } from "./command.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** A set of suites that packages are looked up in together. */
export type Archive = "bookworm" | "bookworm-backports";

/** The mirrors apt is configured with. */
export interface Mirrors {
  /** Base address of the main archive. */
  main: string;
  /** Base address of the security archive, if one is configured. */
  security?: string;
}

/**
 * Reads the mirrors out of `apt-get indextargets`, whose lines give label and base address, of archives whose
 * lists apt has. Third parties carry other labels. A new machine may have no list of the security archive yet:
 * that is then the one with such a suite in `apt-get update --print-uris`.
 * @throws {UserError} if there is no Debian archive among them.
 */
export function parseMirrors(indexTargets: string, updateUris: string): Mirrors {
  const find = (label: string) =>
    indexTargets.split("\n").map((line) => line.split("|")).find(([found]) => found === label)?.[1];
  const main = find("Debian");
  if (!main) {
    throw new UserError("Cannot find Debian's mirror: apt knows no Debian archive; run: apt-get update");
  }
  const security = updateUris.match(/^'(\S+\/)dists\/[a-z]+-security\/InRelease'/m)?.[1];
  return { main, security: find("Debian-Security") ?? security };
}

/** The `sources.list` lines of an archive. */
export async function sources(archive: Archive): Promise<string[]> {
  const ask = (argv: string[]) => output(["apt-get", ...argv], { what: "read apt's configuration" });
  const mirrors = parseMirrors(
    await ask(["indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"]),
    await ask(["update", "--print-uris"]),
  );
  const options = await exists(KEYRING) ? `[signed-by=${KEYRING}] ` : "";
  const lines = [`deb ${options}${mirrors.main} ${archive} main`];
  if (archive === "bookworm" && mirrors.security) {
    lines.push(`deb ${options}${mirrors.security} bookworm-security main`);
  }
  return lines;
}

/** One version of a package and what it depends on, by name. */
export interface Package {
  name: string;
  version: string;
  depends: string[];
}

/** Packages of one archive, through an apt directory of our own. */
export class PrivateApt {
  readonly #options: string[];

  private constructor(options: string[]) {
    this.#options = options;
  }

  /** Opens the archive with fresh lists. */
  static async open(archive: Archive): Promise<PrivateApt> {
    const root = `${cacheRoot()}/apt/${archive}`;
    for (const directory of ["state", "lists/partial", "archives/partial", "parts"]) {
      await Deno.mkdir(`${root}/${directory}`, { recursive: true });
    }
    using _lock = await lock(`${root}/ring3.lock`);
    await Deno.writeTextFile(`${root}/status`, "");
    await Deno.writeTextFile(`${root}/sources.list`, (await sources(archive)).join("\n") + "\n");
    const settings = {
      "Dir::State": `${root}/state`,
      "Dir::State::status": `${root}/status`,
      "Dir::State::lists": `${root}/lists`,
      "Dir::Cache": root,
      "Dir::Etc::sourcelist": `${root}/sources.list`,
      "Dir::Etc::sourceparts": `${root}/parts`,
      "Dir::Etc::preferences": "/dev/null",
      "Dir::Etc::preferencesparts": `${root}/parts`,
      // The unprivileged user that apt would fetch as cannot write to a cache in somebody's home.
      "APT::Sandbox::User": "root",
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
    await run(["apt-get", ...options, "update"], { what: `read Debian's package lists (${archive})` });
    return new PrivateApt(options);
  }

  /** The newest version of a package. */
  async show(name: string): Promise<Package> {
    const text = await output(["apt-cache", ...this.#options, "show", "--no-all-versions", name], {
      what: `find the Debian package ${name}`,
    });
    return parsePackage(text);
  }

  /** Downloads packages and unpacks them, without installing, over one directory. */
  async unpack(packages: readonly Package[], directory: string): Promise<void> {
    const downloads = `${directory}/.packages`;
    await Deno.mkdir(downloads, { recursive: true });
    const names = packages.map(({ name, version }) => `${name}=${version}`);
    await run(["apt-get", ...this.#options, "download", ...names], {
      what: `download ${packages.map(({ name }) => name).join(", ")}`,
      cwd: downloads,
    });
    for await (const { name } of Deno.readDir(downloads)) {
      await run(["dpkg-deb", "-x", `${downloads}/${name}`, directory], { what: `unpack ${name}` });
    }
    await Deno.remove(downloads, { recursive: true });
  }
}

/** One stanza of `apt-cache show`. Of alternatives the first is taken. */
export function parsePackage(stanza: string): Package {
  const field = (name: string) => stanza.match(new RegExp(`^${name}: (.*)$`, "m"))?.[1] ?? "";
  return {
    name: field("Package"),
    version: field("Version"),
    depends: field("Depends").split(",").map((text) => text.trim().split(/[\s|:]/)[0]).filter((name) => name),
  };
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
