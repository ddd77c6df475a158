/** Driver processes in their sandbox, as far as they come without the module: until they wait for a grant. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { buildFfi } from "../../src/build.ts";
import { UserError } from "../../src/error.ts";
import { openLibrary } from "../../src/kernel/mod.ts";
import { pause } from "../../src/pause.ts";
import { compile, sharedLibraries } from "../../src/supervisor/compile.ts";
import { DriverProcess, type SpawnOptions } from "../../src/supervisor/driver_process.ts";
import { VersionStore } from "../../src/supervisor/versions.ts";
import { confinesDeno, DENO } from "../fakes/confines.ts";

const ROOT = new URL("../../", import.meta.url).pathname.slice(0, -1);
const DRIVER = { file: `${ROOT}/drivers/e1000/driver.ts`, folder: `${ROOT}/drivers/e1000` };

const MANIFEST: SpawnOptions["manifest"] = {
  grant: {},
  limits: { start: 30_000, stall: 1000, heap: 64 * 2 ** 20, memory: 256 * 2 ** 20, threads: 64, cpu: 2 },
  // Whether this machine has a cgroup to give is not this test's concern.
  walls: { namespaces: "required", landlock: "required", seccomp: "required", cgroup: "off" },
  jit: true,
  recordRegisters: false,
};

const ignore = !confinesDeno;

/** Copies a folder of files. */
async function copy(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name } of Deno.readDir(from)) await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
}

/** All that is in a folder, by its path in it; itself is "". */
async function contents(folder: string, path = ""): Promise<Map<string, Deno.FileInfo>> {
  const found = new Map([[path, await Deno.lstat(`${folder}/${path}`)]]);
  if (!found.get(path)!.isDirectory) return found;
  for await (const { name } of Deno.readDir(`${folder}/${path}`)) {
    for (const [below, info] of await contents(folder, path ? `${path}/${name}` : name)) {
      found.set(below, info);
    }
  }
  return found;
}

Deno.test("a driver process waits behind its walls, and ends with its launcher", { ignore }, async (t) => {
  const ffi = await buildFfi();
  const directory = await Deno.makeTempDir({ prefix: "ring3-process-" });
  await Deno.chmod(directory, 0o755);
  try {
    const library = openLibrary(`${ffi}/libring3.so`);
    const host = {
      deno: DENO,
      launcher: `${ffi}/ring3-launch`,
      library: `${ffi}/libring3.so`,
      main: `${ROOT}/src/host/main.ts`,
    };
    const files = { ...host, libraries: await sharedLibraries(host) };
    const store = new VersionStore(`${directory}/versions`);
    const version = await store.take(DRIVER);
    await compile(files, version);
    const spawn = (manifest: Partial<SpawnOptions["manifest"]>, of = version) =>
      DriverProcess.spawn(library, {
        files,
        version: of,
        uid: 0x6ffffffd,
        manifest: { ...MANIFEST, ...manifest },
      });

    for (const jit of [true, false]) {
      await t.step(jit ? "compiling" : "interpreting", async () => {
        const process = spawn({ jit });
        await process.launched;
        const said = process.ended.then(({ stderr }) => stderr);
        assert(await process.waiting, (await Promise.race([said, []])).join("\n"));
        assertEquals(process.walls, {
          namespaces: "stands",
          landlock: "stands",
          seccomp: "stands",
          cgroup: "off",
        });
        const status = await Deno.readTextFile(`/proc/${process.pid}/status`);
        assertStringIncludes(status, "Name:\tdeno\n");
        assertStringIncludes(status, "NStgid:\t" + process.pid + "\t1\n");
        // The driver's modules have run behind both filters that come before the grant.
        const filters = (text: string) => Number(/^Seccomp_filters:\t(\d+)$/m.exec(text)?.[1]);
        assertEquals(filters(status) - filters(await Deno.readTextFile("/proc/self/status")), 2);
        process.kill();
        assertEquals((await process.ended).signal, "SIGKILL");
      });
    }

    await t.step("another version begins with what the first was compiled to, and runs", async () => {
      await Deno.symlink(`${ROOT}/deno.json`, `${version.cache}/link`);
      const folder = `${directory}/other/e1000`;
      await copy(DRIVER.folder, folder);
      await Deno.writeTextFile(`${folder}/driver.ts`, "\n// other\n", { append: true });
      const other = await store.take(DRIVER, { path: `${folder}/driver.ts` });
      await compile(files, other, { like: version });

      const [before, after] = [await contents(version.cache), await contents(other.cache)];
      // SQLite takes a database's log away when the last is done with it.
      const kept = [...before.keys()].filter((path) => !/-(wal|shm)$/.test(path));
      assertEquals(kept.filter((path) => !after.has(path)), []);
      assert(after.get("link")!.isSymlink, "no link is followed");
      after.delete("link");
      const owners = new Set(
        [...after.values()].map(({ uid, mode }) => `${uid} may write, ${mode! & 0o022}`),
      );
      assertEquals([...owners], [`${before.get("")!.uid} may write, 0`]);
      const [shared, own] = [true, false].map((isShared) =>
        [...after].filter(([path, { isFile }]) =>
          isFile && /^gen\//.test(path) && before.has(path) === isShared
        )
          .map(([, { mtime }]) => mtime!.getTime())
      );
      const sources = [...Deno.readDirSync(folder)].filter(({ name }) => name.endsWith(".ts"));
      assertEquals(own.length, sources.length);
      assert(
        shared.length > 20 && Math.max(...shared) <= Math.min(...own),
        "nothing shared is compiled again",
      );

      const process = spawn({}, other);
      assert(await process.waiting);
      process.kill();
      await process.ended;
    });

    await t.step("a compiler that is no longer wanted is ended", async () => {
      const launcher = `${directory}/launcher`;
      await Deno.writeTextFile(launcher, `#!/bin/sh\ntouch "$0.runs"\nexec sleep 600\n`);
      await Deno.chmod(launcher, 0o755);
      const over = new AbortController();
      const options = { like: version, signal: over.signal };
      const third = { ...version, cache: `${directory}/third.cache` };
      const compiling = compile({ ...files, launcher }, third, options);
      while (!await Deno.stat(`${launcher}.runs`).then(() => true, () => false)) await pause(5);
      over.abort(new UserError("not wanted"));
      await assertRejects(() => compiling, UserError, "Cannot copy what");
      await assertRejects(() => compile(files, third, options), UserError, "not wanted");
    });

    await t.step("one that cannot be started says why", async () => {
      const process = spawn({ walls: { ...MANIFEST.walls, cgroup: "required" } });
      assertEquals(await process.waiting, false);
      const { code, stderr } = await process.ended;
      assertEquals([code, process.walls], [125, undefined]);
      assertStringIncludes(stderr.join("\n"), "this system has no cgroup for drivers");
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
