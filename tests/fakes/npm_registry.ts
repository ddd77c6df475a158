/** An npm registry on this machine, with packages made up for a test. */

/** A package: its files, of which `package.json` says name, version and dependencies. */
export interface FakePackage {
  json: { name: string; version: string; dependencies?: Record<string, string>; [key: string]: unknown };
  files: Record<string, string>;
  /** Says another hash than that of the archive. */
  tampered?: boolean;
}

async function archive({ json, files }: FakePackage): Promise<Uint8Array<ArrayBuffer>> {
  const folder = await Deno.makeTempDir({ prefix: "ring3-package-" });
  try {
    for (const [path, text] of Object.entries({ ...files, "package.json": JSON.stringify(json) })) {
      await Deno.mkdir(`${folder}/package/${path}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/package/${path}`, text);
    }
    return (await new Deno.Command("tar", { args: ["-czC", folder, "package"] }).output()).stdout;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Serves packages until it is disposed. @returns Its URL with it. */
export async function serveRegistry(packages: FakePackage[]): Promise<{ url: string } & AsyncDisposable> {
  const served = new Map<string, Uint8Array<ArrayBuffer>>();
  const about = new Map<string, object>();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, ({ url }) => {
    const path = decodeURIComponent(new URL(url).pathname.slice(1));
    const bytes = served.get(path);
    if (bytes) return new Response(bytes);
    return about.has(path) ? Response.json(about.get(path)) : new Response(null, { status: 404 });
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  for (const [index, one] of packages.entries()) {
    const { json: { name, version, dependencies = {} }, tampered } = one;
    const bytes = await archive(one);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-512", tampered ? new Uint8Array(1) : bytes));
    const dist = { tarball: `${url}/${index}.tgz`, integrity: `sha512-${hash.toBase64()}` };
    served.set(`${index}.tgz`, bytes);
    about.set(name, {
      name,
      "dist-tags": { latest: version },
      versions: { [version]: { name, version, dependencies, dist } },
    });
  }
  return { url, [Symbol.asyncDispose]: () => server.shutdown() };
}
