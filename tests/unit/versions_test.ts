import { assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { UserError } from "../../src/error.ts";
import { VersionStore } from "../../src/supervisor/versions.ts";

/** A driver's folder with a part of its own and something it shares, and a place for versions. */
async function setting() {
  const root = await Deno.makeTempDir({ prefix: "ring3-versions-" });
  const folder = `${root}/drivers/x`;
  await Deno.mkdir(`${folder}/parts`, { recursive: true });
  await Deno.mkdir(`${root}/src`);
  await Deno.writeTextFile(`${root}/src/shared.ts`, `export const state = { name: "" };`);
  await Deno.writeTextFile(`${folder}/parts/part.ts`, `export const part = "old";`);
  await Deno.writeTextFile(
    `${folder}/driver.ts`,
    `import { part } from "./parts/part.ts"; import { state } from "../../src/shared.ts"; state.name = part; export { state };`,
  );
  return {
    root,
    driver: { file: `${folder}/driver.ts`, folder },
    store: new VersionStore(`${root}/versions`),
    [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }),
  };
}

/** Runs a program that imports a version as a host does, and shares a module with it. */
async function run({ file, imports }: { file: string; imports: Record<string, string> }, root: string) {
  const map = JSON.stringify({ imports: { ...imports, "the-driver": `file://${file}` } });
  const program = `${root}/program.ts`;
  await Deno.writeTextFile(
    program,
    `import { state } from "./src/shared.ts"; await import("the-driver"); console.log(state.name);`,
  );
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-config", `--import-map=data:application/json,${encodeURIComponent(map)}`, program],
    env: { NO_COLOR: "1" },
  }).output();
  return new TextDecoder().decode(stdout).trim() || new TextDecoder().decode(stderr);
}

Deno.test("a version runs as it was taken, beside the rest of the tree, whatever becomes of its files", async () => {
  await using at = await setting();
  const version = await at.store.take(at.driver);
  assertEquals(version.path, at.driver.file);
  await Deno.writeTextFile(`${at.driver.folder}/parts/part.ts`, "half a wor");
  assertEquals(await run(version, at.root), "old");
});

Deno.test("a version is named by its content, names of files included", async () => {
  await using at = await setting();
  const first = await at.store.take(at.driver);
  assertEquals((await at.store.take(at.driver)).id, first.id);
  await Deno.writeTextFile(`${at.driver.folder}/more.ts`, "");
  const second = await at.store.take(at.driver);
  assertNotEquals(second.id, first.id);
  await Deno.rename(`${at.driver.folder}/more.ts`, `${at.driver.folder}/else.ts`);
  assertNotEquals((await at.store.take(at.driver)).id, second.id);
});

Deno.test("another folder's content runs in the place of the manifest's", async () => {
  await using at = await setting();
  const other = `${at.root}/elsewhere/x`;
  await Deno.mkdir(`${other}/parts`, { recursive: true });
  await Deno.copyFile(at.driver.file, `${other}/driver.ts`);
  await Deno.writeTextFile(`${other}/parts/part.ts`, `export const part = "new";`);
  const version = await at.store.take(at.driver, { path: `${other}/driver.ts` });
  assertEquals(version.path, `${other}/driver.ts`);
  assertEquals(await run(version, at.root), "new");
});

Deno.test("a program is taken with the driver, whole path and all, and names the version too", async () => {
  await using at = await setting();
  const program = `${at.root}/programs/swap.ts`;
  await Deno.mkdir(`${at.root}/programs`);
  await Deno.writeTextFile(program, `import { state } from "../src/shared.ts"; state.name = "swap";`);
  const plain = await at.store.take(at.driver);
  const version = await at.store.take({ ...at.driver, program });
  assertNotEquals(version.id, plain.id);
  assertEquals([plain.program, version.program], [undefined, `${version.root}${program}`]);
  await Deno.writeTextFile(program, "half a wor");
  assertNotEquals((await at.store.take({ ...at.driver, program })).id, version.id);
  assertEquals(await run({ ...version, file: version.program! }, at.root), "swap");
  await Deno.remove(program);
  await assertRejects(() => at.store.take({ ...at.driver, program }), UserError, `Cannot read ${program}: `);
});

Deno.test("what is not a driver's folder is refused, and says why", async () => {
  await using at = await setting();
  await assertRejects(
    () => at.store.take(at.driver, { path: `${at.root}/src/shared.ts` }),
    UserError,
    "expected a path that ends in driver.ts",
  );
  await assertRejects(
    () => at.store.take(at.driver, { path: `${at.root}/none/driver.ts` }),
    UserError,
    "Cannot read",
  );
  await Deno.symlink("/etc/passwd", `${at.driver.folder}/link.ts`);
  await assertRejects(() => at.store.take(at.driver), UserError, "link.ts is neither a file nor a folder");
  await Deno.remove(`${at.driver.folder}/link.ts`);
  await Deno.writeTextFile(`${at.driver.folder}/parts/package.json`, `{ "type": "commonjs" }`);
  await assertRejects(
    () => at.store.take(at.driver),
    UserError,
    "parts/package.json has no place in a driver's folder",
  );
  await Deno.remove(`${at.driver.folder}/parts/package.json`);
  await Deno.writeFile(`${at.driver.folder}/large.bin`, new Uint8Array(17 * 2 ** 20));
  await assertRejects(() => at.store.take(at.driver), UserError, "more than 1000 files or 16 MiB");
});

Deno.test("versions that are not kept are removed", async () => {
  await using at = await setting();
  await at.store.keepOnly(new Set());
  const first = await at.store.take(at.driver);
  await Deno.writeTextFile(`${at.driver.folder}/more.ts`, "");
  const second = await at.store.take(at.driver);
  await at.store.keepOnly(new Set([second.id]));
  assertEquals((await Array.fromAsync(Deno.readDir(`${at.root}/versions`))).map(({ name }) => name), [
    second.id,
  ]);
  assertEquals(await Deno.stat(first.file).then(() => true, () => false), false);
});
