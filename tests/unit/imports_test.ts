/** What a driver may import, decided in the graph that Deno makes of it. */
import { assertEquals, assertThrows } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { moduleFlags } from "../../src/supervisor/compile.ts";
import { checkImports, type ModuleGraph } from "../../src/supervisor/imports.ts";
import { driverVersion } from "../fakes/host_run.ts";

/** Checks a driver's files and its program's; what it is refused for, without the folder, or undefined. */
async function refusal(files: Record<string, string>, program?: string): Promise<string | undefined> {
  await using taken = await driverVersion(files, program);
  const { version, main } = taken;
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", ...moduleFlags(version), main],
    env: { NO_COLOR: "1" },
  }).output();
  const { modules } = JSON.parse(new TextDecoder().decode(stdout)) as ModuleGraph;
  try {
    checkImports(modules, version);
    return undefined;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message.replace(/^Cannot load \S*\//, "").replace(/; a driver imports .*/, "");
  }
}

Deno.test("a driver imports its API and the files of its own folder", async () => {
  assertEquals(
    await refusal({
      "driver.ts":
        `import { bit } from "RING3"; import type { Device } from "RING3"; import "./parts/a.ts"; import "./b.js";
         import data from "./data.json" with { type: "json" }; export type { Device }; export { bit, data };`,
      "parts/a.ts": `import "../c.mts"; export {};`,
      "b.js": "",
      "c.mts": "",
      "data.json": "{}",
    }),
    undefined,
  );
});

const HOST = new URL("../../src/host/main.ts", import.meta.url).pathname;
const REFUSED: Record<string, [source: string, says: string]> = {
  "a part of Deno": [`\n\nimport "node:fs";`, "line 3 imports node:fs"],
  "a part of Deno, re-exported": [`export * from "node:child_process";`, "line 1 imports node:child_process"],
  "a part of Deno by its bare name": [`import "fs";`, "line 1 imports fs"],
  "the host": [`import "${HOST}";`, `line 1 imports ${HOST}`],
  "another file of the API's folder": [
    `import { useClock } from "${HOST.replace("host/main", "driver/clock")}";`,
    `line 1 imports ${HOST.replace("host/main", "driver/clock")}`,
  ],
  "the types of another file": [
    `import type { Grant } from "${HOST.replace("host/main", "kernel/grant")}"; export type { Grant };`,
    `line 1 imports ${HOST.replace("host/main", "kernel/grant")}`,
  ],
  "a file beside its folder": [`import "../y/driver.ts";`, "line 1 imports ../y/driver.ts"],
  "a file behind a hidden slash": [
    `import "./%2e%2e%2f%2e%2e%2fy.ts";`,
    "line 1 imports ./%2e%2e%2f%2e%2e%2fy.ts",
  ],
  "a data: URL": [`import "data:text/javascript,1";`, "line 1 imports data:text/javascript,1"],
  "a blob: URL": [`import "blob:null/1";`, "line 1 imports blob:null/1"],
  "the network": [`import "https://127.0.0.1/a.ts";`, "line 1 imports https://127.0.0.1/a.ts"],
  "jsr": [`import "jsr:@std/assert";`, "line 1 imports jsr:@std/assert"],
  "a package that is not named": [`import "npm:zod@4.6.7";`, "line 1 imports npm:zod@4.6.7"],
  "types of a reference": [`/// <reference types="node:fs" />\nexport {};`, "line 1 imports node:fs"],
  "at run time": [
    `await import("./b.ts");`,
    "line 1 imports ./b.ts with import(), which comes too late: write an import statement",
  ],
};

for (const [name, [source, says]] of Object.entries(REFUSED)) {
  Deno.test(`a driver does not import ${name}`, async () => {
    assertEquals(
      await refusal({ "driver.ts": `import "./a.ts";`, "a.ts": source, "b.ts": "" }),
      `a.ts: ${says}`,
    );
  });
}

for (const name of ["a.cjs", "a.cts", "a.wasm", "a.txt", "a.tsx"]) {
  Deno.test(`a driver has no use for ${name}`, async () => {
    const attributes = name === "a.txt" ? ` with { type: "text" }` : "";
    assertEquals(
      await refusal({
        "driver.ts": `import "./${name}"${attributes};`,
        [name]: name === "a.wasm" ? "\0asm\x01\0\0\0" : "",
      }),
      `${name}: a driver's files are TypeScript, JavaScript modules or JSON`,
    );
  });
}

Deno.test("the refusal is one line with what is allowed", () => {
  const folder = "/run/ring3/copy/drivers/x";
  const [url, to] = [`file://${folder}/driver.ts`, "node:fs"];
  const code = { specifier: to, span: { start: { line: 6 } } };
  const modules = [{
    specifier: url,
    kind: "esm",
    mediaType: "TypeScript",
    dependencies: [{ specifier: to, code }],
  }];
  const error = assertThrows(
    () =>
      checkImports(modules, {
        folder,
        root: "/run/ring3/copy",
        packages: { imports: {}, scopes: {} },
        source: "/home/me/drivers/x",
      }),
    UserError,
  );
  assertEquals(
    error.message,
    "Cannot load /home/me/drivers/x/driver.ts: line 7 imports node:fs; a driver imports files of its own folder, " +
      `${HOST.replace("host/main", "driver/mod")} and packages that its manifest names`,
  );
});

Deno.test("a program imports its API, and nothing that a driver may not", async () => {
  const driver = { "driver.ts": "export default {};" };
  assertEquals(
    await refusal(driver, `import { defineProgram } from "RING3"; export default defineProgram;`),
    undefined,
  );
  assertEquals(await refusal(driver, `\nimport "node:fs";`), "program.ts: line 2 imports node:fs");
  assertEquals(await refusal(driver, `import "./other.ts";`), "program.ts: line 1 imports ./other.ts");
  assertEquals(
    await refusal(driver, `await import("data:text/javascript,1");`),
    "program.ts: line 1 imports data:text/javascript,1 with import(), which comes too late: write an import statement",
  );
});
