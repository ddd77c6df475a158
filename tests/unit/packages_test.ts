/** npm packages of a driver, from a registry on this machine to a running process. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { REGISTRY_VARIABLE } from "../../src/registry.ts";
import { compile } from "../../src/supervisor/compile.ts";
import type { Version } from "../../src/supervisor/versions.ts";
import { confinesDeno, DENO } from "../fakes/confines.ts";
import { driverVersion, runHost } from "../fakes/host_run.ts";
import { type FakePackage, serveRegistry } from "../fakes/npm_registry.ts";

/** Compiling is done as another user. */
const ignore = !confinesDeno;

const OUTER: FakePackage = {
  json: {
    name: "outer",
    version: "1.2.3",
    type: "module",
    dependencies: { "@scope/inner": "^2.0.0" },
    exports: {
      ".": { types: "./outer.d.ts", require: "./outer.cjs", import: { default: "./outer.js" } },
      "./part": "./lib/part.js",
      "./lib/*": "./lib/*",
      "./hidden": null,
    },
  },
  files: {
    "outer.js": `import { inner } from "@scope/inner"; export const outer = inner + 1;`,
    "lib/part.js": `export const part = 7;`,
  },
};
const INNER: FakePackage = {
  json: { name: "@scope/inner", version: "2.1.0", type: "module", main: "./main.js" },
  files: { "main.js": `export const inner = 41;` },
};

/** Takes a version's packages from a registry, as its compiler does, with no sandbox around it. */
async function prepare(
  version: Version,
  options: { main: string; url: string; packages: string[]; like?: Version },
) {
  const launcher = `${version.cache}.launcher`;
  await Deno.writeTextFile(launcher, `#!/bin/sh\nwhile [ "$1" != -- ]; do shift; done; shift; exec "$@"\n`);
  await Deno.chmod(launcher, 0o755);
  Deno.env.set(REGISTRY_VARIABLE, options.url);
  try {
    const files = { deno: DENO, launcher, library: "", main: options.main };
    await compile(files, version, options);
  } finally {
    Deno.env.delete(REGISTRY_VARIABLE);
  }
}

/** Compiles a driver with packages, then runs it without a registry; what it logs. */
async function run(
  source: string,
  options: { served: FakePackage[]; packages: string[] },
): Promise<string[]> {
  const { messages } = await runHost({
    "driver.ts": `${source}
      import { defineDriver } from "RING3";
      const mac = new Uint8Array(6);
      export default defineDriver<any>({ class: "net",
        bringUp(_, port) {
          port.attach({ mac, maxMtu: 1500, features: {}, maxSegments: 1 });
          return Promise.resolve(port);
        },
        configure() {}, interrupt() {},
        poll({ tx, rx }) { tx.available(); rx.available(); return false; },
      });`,
  }, {
    async prepare(version, main) {
      await using registry = await serveRegistry(options.served);
      await prepare(version, { main, url: registry.url, packages: options.packages });
      assertMatch(await Deno.readTextFile(`${version.cache}/packages.lock`), /"integrity": "sha512-/);
    },
  });
  return messages.map((message) => message.type === "log" ? message.text : message.type);
}

Deno.test({
  name: "a driver runs with the packages that its manifest names, and with what those need, offline",
  ignore,
  async fn() {
    const source = `import { outer } from "outer"; import { part } from "npm:outer@1.2.3/part";
      import * as same from "outer/lib/part.js"; console.log(outer, part, same.part);`;
    assertEquals(await run(source, { served: [OUTER, INNER], packages: ["npm:outer@1.2.3"] }), [
      "42 7 7",
      "waiting",
      "ready",
    ]);
  },
});

Deno.test({
  name: "a later version has the packages of the first without a registry, as files of its own",
  ignore,
  async fn() {
    const packages = ["npm:outer@1.2.3"];
    const source = `import { outer } from "outer"; export default outer;`;
    await using first = await driverVersion({ "driver.ts": source });
    await using later = await driverVersion({ "driver.ts": `${source} // later` });
    let url: string;
    {
      await using registry = await serveRegistry([OUTER, INNER]);
      url = registry.url;
      await prepare(first.version, { main: first.main, url, packages });
    }
    await prepare(later.version, { main: later.main, url, packages, like: first.version });
    const place = (text: string) => text.replaceAll(first.version.cache, later.version.cache);
    assertEquals(later.version.packages, JSON.parse(place(JSON.stringify(first.version.packages))));
    assertEquals(later.version.modules.some((url) => url.includes(first.version.cache)), false);
  },
});

const WRONG: Record<string, { source: string; served: FakePackage[]; says: RegExp }> = {
  "what only a package needs": {
    source: `import "@scope/inner";`,
    served: [OUTER, INNER],
    says: /driver.ts: line 1 imports @scope\/inner; a driver imports files of its own folder/,
  },
  "what a package does not export": {
    source: `import "outer/hidden";`,
    served: [OUTER, INNER],
    says: /driver.ts: line 1 imports outer\/hidden;/,
  },
  "a package that imports a part of Deno": {
    source: `import "outer";`,
    served: [{ ...OUTER, files: { "outer.js": `\nimport "node:fs";` } }, INNER],
    says: /outer\.js: line 2 imports node:fs;/,
  },
  "CommonJS": {
    source: `import "outer";`,
    served: [OUTER, {
      json: { ...INNER.json, type: undefined },
      files: { "main.js": `require("f" + "s");` },
    }],
    says: /main\.js: it is CommonJS/,
  },
  "CommonJS in a folder of its own": {
    source: `import "outer/part";`,
    served: [{ ...OUTER, files: { ...OUTER.files, "lib/package.json": "{}" } }, INNER],
    says: /part\.js: it is CommonJS/,
  },
  "an archive of another hash": {
    source: `import "outer";`,
    served: [{ ...OUTER, tampered: true }, INNER],
    says: /^Cannot fetch npm:outer@1\.2\.3 for \/.*driver\.ts: .*(checksum|integrity)/i,
  },
  "a package that there is not": {
    source: `import "outer";`,
    served: [],
    says: /^Cannot fetch npm:outer@1\.2\.3 for \/.*driver\.ts: npm package 'outer' does not exist/,
  },
};

for (const [name, { source, served, says }] of Object.entries(WRONG)) {
  Deno.test({
    name: `refused when it is compiled: ${name}`,
    ignore,
    async fn() {
      const error = await assertRejects(
        () => run(source, { served, packages: ["npm:outer@1.2.3"] }),
        UserError,
      );
      assertMatch(error.message, says);
      assertEquals(error.message.split("\n").length, 1);
    },
  });
}

Deno.test({
  name: "without a registry, one line says so",
  ignore,
  async fn() {
    const { url } = await serveRegistry([]).then(async (registry) => {
      await registry[Symbol.asyncDispose]();
      return registry;
    });
    const compiled = runHost({ "driver.ts": "" }, {
      prepare: (version, main) => prepare(version, { main, url, packages: ["npm:outer@1.2.3"] }),
    });
    const { message } = await assertRejects(() => compiled, UserError);
    assertMatch(message, /^Cannot fetch npm:outer@1\.2\.3 for .*: .*127\.0\.0\.1.*$/);
  },
});
