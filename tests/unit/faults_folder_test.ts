/** Faulty versions of drivers as folders: what is in them, that it is a driver, and that the seed decides it. */
import {
  assert,
  assertEquals,
  assertMatch,
  assertNotEquals,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import { UserError } from "../../src/error.ts";
import {
  type DriverFault,
  faulty,
  MODELS,
  modelsFor,
  mutationSites,
  parseCampaign,
  parseFault,
} from "../../src/faults/mod.ts";
import { ACTS } from "../../src/faults/acts.ts";
import { moduleFlags } from "../../src/supervisor/compile.ts";
import { checkImports, type ModuleGraph } from "../../src/supervisor/imports.ts";
import { type Version, VersionStore } from "../../src/supervisor/versions.ts";
import { DRIVERS, folderOf, newFolder } from "../fakes/faulty_rig.ts";

const ROOT = new URL("../../", import.meta.url).pathname;
/** What models must be told that has no default. */
const SHAPES: Record<string, object> = {
  "interrupts.storm": { offset: 0xc8, value: 0x80 },
  "dma.length": { words: 4, word: 2 },
  "dma.address": { words: 4, word: 0 },
};
const SEEDS = [1, 2, 3];

const faultOf = (model: string) => ({ model, ...SHAPES[model] }) as DriverFault;

/** Everything in a folder, by path. */
async function contentOf(folder: string, below = ""): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(`${folder}/${below}`)) {
    const path = `${below}${name}`;
    if (isDirectory) {
      for (const [inner, text] of await contentOf(folder, `${path}/`)) found.set(inner, text);
    } else found.set(path, await Deno.readTextFile(`${folder}/${path}`));
  }
  return found;
}

/** Makes a faulty version and reads it. */
async function make(driver: typeof DRIVERS[number], fault: DriverFault | DriverFault[], seed: number) {
  await using to = newFolder();
  const made = await faulty(folderOf(driver), fault, { seed, to: to.path });
  return { made, content: await contentOf(to.path) };
}

async function deno(args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  assert(success, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

Deno.test("every model makes a version of every driver that passes what a version must, and compiles", async () => {
  const root = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(root, { recursive: true }));
  const store = new VersionStore(`${root}/versions`);
  const versions: Version[] = [];
  for (const driver of DRIVERS) {
    const folder = folderOf(driver);
    const original = await store.take({ file: `${folder}/driver.ts`, folder });
    for (const { name, kind } of await modelsFor(folder)) {
      for (const seed of kind === "source" ? SEEDS : [1]) {
        const to = `${root}/${driver}-${name}-${seed}`;
        const { file, says } = await faulty(folder, faultOf(name), { seed, to });
        assertMatch(says, /^[ -~]{1,200}$/);
        // What a supervisor does when it is given another folder's content for the manifest's driver.
        const version = await store.take({ file: `${folder}/driver.ts`, folder }, { path: file });
        assertNotEquals(version.id, original.id);
        versions.push(version);
      }
    }
  }
  assert(versions.length > 100, `${versions.length}`);
  // One program of all of them: each copy has its own folder, and the rest of the tree as it is.
  const all = `${root}/all.ts`;
  await Deno.writeTextFile(all, versions.map(({ file }) => `import "file://${file}";\n`).join(""));
  const imports = Object.assign({}, ...versions.map(({ imports }) => imports));
  const flags = moduleFlags({ ...versions[0], imports });
  const { modules } = JSON.parse(await deno(["info", "--json", ...flags, all])) as ModuleGraph;
  for (const version of versions) {
    const own = modules.filter(({ specifier }) => specifier.startsWith(`file://${version.folder}/`));
    assert(own.length >= 5, version.folder);
    assertEquals(own.filter(({ kind }) => kind !== "esm"), []);
    checkImports(modules, version);
  }
  await deno(["cache", "--no-check", ...flags, all]);
});

Deno.test("what stands around a driver passes the type check", async () => {
  await using cleanup = new AsyncDisposableStack();
  const files: string[] = [];
  for (const driver of DRIVERS) {
    const models = (await modelsFor(folderOf(driver))).filter(({ kind }) => kind === "wrapped");
    for (const { name } of driver === "e1000" ? models : models.slice(0, 1)) {
      const to = newFolder();
      cleanup.use(to);
      files.push((await faulty(folderOf(driver), faultOf(name), { seed: 1, to: to.path })).file);
    }
  }
  const root = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  cleanup.defer(() => Deno.remove(root, { recursive: true }));
  await Deno.writeTextFile(`${root}/all.ts`, files.map((file) => `import "file://${file}";\n`).join(""));
  await deno(["check", `--config=${ROOT}deno.json`, `${root}/all.ts`]);
});

Deno.test("the same seed makes the same folder, byte for byte, and its record makes it too", async () => {
  for (const { name } of MODELS) {
    const first = await make("e1000", faultOf(name), 7);
    assertEquals((await make("e1000", faultOf(name), 7)).content, first.content, name);
    // With everything said nothing is left to be drawn.
    const replayed = await make("e1000", first.made.faults, 8);
    assertEquals(replayed.made.faults, first.made.faults);
    const record = JSON.parse(first.content.get("fault.json")!);
    assertEquals(record, { faults: first.made.faults, seed: 7, says: first.made.says });
    first.content.delete("fault.json");
    replayed.content.delete("fault.json");
    assertEquals(replayed.content, first.content, name);
  }
});

Deno.test("two faults at once are in one folder, and each can be replayed from its record", async () => {
  const both: DriverFault[] = [{ model: "dma.never" }, { model: "code.inverted" }, {
    model: "registers.gone",
  }];
  const first = await make("nvme", both, 3);
  assertEquals(first.made.faults.map(({ model }) => model), ["code.inverted", "dma.never", "registers.gone"]);
  const replayed = await make("nvme", first.made.faults, 4);
  first.content.delete("fault.json");
  replayed.content.delete("fault.json");
  assertEquals(replayed.content, first.content);
  assertMatch(first.content.get("driver.ts")!, /driver_with_1\.ts.*\n.*\n.*registers_gone\.ts/);
  assertMatch(first.content.get("driver_with_1.ts")!, /driver_without_fault\.ts.*\n.*\n.*dma_never\.ts/);
  assert(first.made.says.split("; ").length === 3, first.made.says);
});

Deno.test("seeds choose places all over a driver", async () => {
  const says = new Set<string>();
  const files = new Set<string>();
  for (let seed = 0; seed < 40; seed++) {
    const { made } = await make("nvme", { model: "code.removed" }, seed);
    says.add(made.says);
    files.add(made.says.split(":")[0]);
  }
  assert(says.size > 25, `${says.size} different ones of 40`);
  assertEquals([...files].sort(), ["driver.ts", "queue.ts", "requests.ts"]);
});

Deno.test("a change of source is one edit at one place of one file, which the line names", async () => {
  const original = await contentOf(folderOf("e1000"));
  for (const { name, kind } of MODELS) {
    if (kind !== "source") continue;
    for (const seed of SEEDS) {
      const { made, content } = await make("e1000", { model: name } as DriverFault, seed);
      content.delete("fault.json");
      assertEquals([...content.keys()].sort(), [...original.keys()].sort());
      const changed = [...content].filter(([path, text]) => text !== original.get(path));
      assertStrictEquals(changed.length, 1);
      const [[path, text]] = changed;
      const [, file, line, before, after] = /^(\S+):(\d+): `(.*)` (?:became `(.*)`|was removed)$/.exec(
        made.says,
      )!;
      assertStrictEquals(file, path);
      const was = original.get(path)!;
      const start = [...text].findIndex((_, at) => text[at] !== was[at]);
      assertStrictEquals(was.slice(0, start).split("\n").length >= Number(line), true);
      assert(was.split("\n")[Number(line) - 1].includes(before.slice(0, 10)), made.says);
      if (after !== undefined && !after.endsWith("...")) {
        assert(text.replace(/\s+/g, " ").includes(after), made.says);
      }
    }
  }
});

/** A driver's folder with one file, in which places are looked for. */
async function places(model: string, source: string): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  try {
    await Deno.writeTextFile(`${folder}/driver.ts`, source);
    await Deno.writeTextFile(`${folder}/driver_test.ts`, source);
    return (await mutationSites(folder, model)).map(({ line, says }) => `${line}: ${says}`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what is long or not ASCII is quoted in part", async () => {
  const [long] = await places("code.removed", `call("${"x".repeat(80)}");`);
  assertMatch(long, /^1: `call\("x+\.\.\.` was removed$/);
  assertEquals(await places("code.removed", `call(\n  "§");`), ['1: `call( "?");` was removed']);
});

Deno.test("places are found where code is, and nowhere else", async () => {
  assertEquals(await places("code.swapped", "f(a, 1 - b << 2);\ng(x + y);\n"), [
    "1: `a, 1 - b << 2` became `1 - b << 2, a`",
    "1: `1 - b << 2` became `2 << (1 - b)`",
    "1: `1 - b` became `b - 1`",
  ]);
  assertEquals(
    await places("code.constant", `/** 5 */ type A = 1 | true; const x: 2 = y, z = { 3: false }; // 4\n`),
    ["1: `false` became `true`"],
  );
  assertEquals(await places("code.constant", "const a = 0x10;"), [
    "1: `0x10` became `0x11`",
    "1: `0x10` became `0xf`",
    "1: `0x10` became `0x0`",
    "1: `0x10` became `0x20`",
  ]);
  assertEquals(
    await places(
      "code.removed",
      "class A extends B { constructor() { super(); this.a = 1; } }\nfor (;;) { if (x) break; throw y; }\n",
    ),
    ["1: `this.a = 1;` was removed", "2: `break;` was removed", "2: `throw y;` was removed"],
  );
  assertEquals(await places("code.inverted", "if (a) b();\nwhile (c);\nd ? e : f;\nfor (;;);"), [
    "1: `a` became `!(a)`",
    "2: `c` became `!(c)`",
    "3: `d` became `!(d)`",
  ]);
  assertEquals(await places("code.offByOne", "for (let i = 0; i < n && m >= i; i++) if (a < b) c();"), [
    "1: `0` became `1`",
    "1: `<` became `<=`",
    "1: `>=` became `>`",
  ]);
  assertEquals(await places("code.await", "const a = await b();"), ["1: `await b()` became `b()`"]);
  assertEquals(await places("code.constant", `import a from "b" with { x: "1" };\nexport * from "c";\n`), []);
});

Deno.test("what would change nothing is passed over, and refused when it is asked for", async () => {
  const folder = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(folder, { recursive: true }));
  const make = (fault: DriverFault, to: string) =>
    faulty(`${folder}/x`, fault, { seed: 5, to: `${folder}/${to}` });
  await Deno.mkdir(`${folder}/x`);
  await Deno.writeTextFile(`${folder}/x/driver.ts`, "f(a, a);\ng(b - c);\n");
  assertMatch((await make({ model: "code.swapped" }, "1")).says, /^driver\.ts:2: /);
  const refused = async (fault: DriverFault, to = "2") =>
    (await assertRejects(() => make(fault, to), UserError)).message.replaceAll(folder, "");
  assertStrictEquals(
    await refused({ model: "code.swapped", site: 0 }),
    "Cannot make code.swapped in /x: place 0 would change nothing",
  );
  assertStrictEquals(
    await refused({ model: "code.swapped", site: 9 }),
    "Cannot make code.swapped in /x: there is no place 9",
  );
  assertStrictEquals(
    await refused({ model: "code.await" }),
    "Cannot make code.await in /x: there is no place for it",
  );
  assertStrictEquals(
    await refused({ model: "registers.gone" }),
    "Cannot make registers.gone in /x: no file of it calls device.bar() or device.ports()",
  );
  assertMatch(await refused({ model: "code.throw" }), /: driver\.ts does not import src\/driver\/mod\.ts/);
  assertStrictEquals(
    await refused({ model: "code.swapped" }, "1"),
    "Cannot write a faulty version to /1: it is not empty",
  );
  const twice = faulty(`${folder}/1`, { model: "code.swapped" }, { seed: 1, to: `${folder}/3` });
  assertMatch(
    (await assertRejects(() => twice, UserError)).message,
    /it has fault\.json, so it is faulty already/,
  );
});

Deno.test("what a driver of its class never does is nothing to count", async () => {
  const refused = async (driver: typeof DRIVERS[number], of: "frames" | "requests") =>
    (await assertRejects(() => make(driver, { model: "code.throw", when: { after: 1, of } }, 1), UserError))
      .message;
  assertMatch(
    await refused("e1000", "requests"),
    /it is to come after requests, and a net driver completes none$/,
  );
  assertMatch(
    await refused("ide", "frames"),
    /it is to come after frames, and a block driver completes none$/,
  );
});

Deno.test("models are those that a driver has a use for", async () => {
  const names = async (driver: typeof DRIVERS[number]) =>
    (await modelsFor(folderOf(driver))).map(({ name }) => name);
  const all = MODELS.map(({ name }) => name as string);
  assertEquals(await names("e1000"), all);
  assertEquals(await names("nvme"), all);
  assertEquals(await names("ide"), all.filter((name) => name !== "interrupts.storm"));
});

// ---- what is wrong with a fault ----

/** What is said of a value that is no fault. */
function complaint(parse: (value: unknown) => unknown, value: unknown): string {
  try {
    parse(value);
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
  return "none";
}

Deno.test("a fault that is none is refused with what is wrong, and where", () => {
  const said = (value: unknown) => complaint(parseFault, value);
  assertMatch(
    said({ model: "code.thrown" }),
    /^Cannot use the fault: model: there is no model "code\.thrown"; there are code\.swapped, .*platform\.flood$/,
  );
  assertMatch(said({}), /expected a fault: a model by name/);
  assertMatch(said({ model: "code.throw", when: { after: 1, of: "days" } }), /when\.of: .*"accesses"\|/);
  assertMatch(said({ model: "code.throw", when: { after: -1, of: "ms" } }), /when\.after: Too small/);
  assertMatch(said({ model: "code.throw", times: 0 }), /times: Too small/);
  assertMatch(
    said({ model: "code.throw", times: "often" }),
    /times: expected how often, 1 or more, or "always"/,
  );
  assertMatch(said({ model: "registers.flipped", bit: 32 }), /bit: Too big/);
  assertMatch(said({ model: "registers.flipped", bits: 3 }), /Unrecognized key: "bits"/);
  assertMatch(said({ model: "interrupts.storm", offset: 3, value: 1 }), /offset: .*multiple of 4/);
  assertMatch(said({ model: "process.kill", when: { after: 1, of: "polls" } }), /when\.of: .*comes by time/);
  assertStrictEquals(said({ model: "platform.link", ms: 200, when: { after: 1, of: "ms" } }), "none");
});

Deno.test("what is done to a process or the machine is no driver's folder", async () => {
  await using to = newFolder();
  const making = faulty(folderOf("e1000"), { model: "process.kill" } as unknown as DriverFault, {
    seed: 1,
    to: to.path,
  });
  const { message } = await assertRejects(() => making, UserError);
  assertMatch(message, /^Cannot make process\.kill in .*: it is not done by a driver/);
});

Deno.test("a campaign says what it draws from, and the rest has a default", () => {
  const campaign = parseCampaign({
    driver: "e1000",
    workload: "udp",
    faults: [{ fault: { model: "code.throw" } }, { weight: 3, fault: { model: "process.kill" } }],
    when: { after: [0, 500], of: "ms" },
  });
  assertEquals(campaign.faults.map(({ weight }) => weight), [1, 3]);
  assertEquals([campaign.together, campaign.holds], [{ one: 1 }, [
    "machine",
    "kernel",
    "content",
    "recovered",
    "twin",
  ]]);
  const wrong = {
    driver: "e1000",
    workload: "ping",
    faults: [{ weight: 0, fault: { model: "x" } }],
    when: { after: [5, 1], of: "ms" },
  };
  const lines = complaint(parseCampaign, wrong).split("\n");
  assertEquals(lines.map((line) => line.split(": ")[1]), [
    "workload",
    "faults.0.weight",
    "faults.0.fault.model",
    "when.after",
  ]);
});

Deno.test("the page has every model and act, with what the code says of it", async () => {
  const page = await Deno.readTextFile(`${ROOT}docs/faults.md`);
  const rows = page.split("\n").filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|").slice(1, -1).map((cell) => cell.trim()));
  const has = (name: string, ...cells: (string | undefined)[]) =>
    assert(
      rows.some((row) => row[0] === `\`${name}\`` && cells.every((cell, at) => row[at + 1] === cell)),
      `${name}: ${cells.join(" | ")}`,
    );
  for (const model of MODELS) {
    const { name, about, schema } = model;
    const parameters = Object.keys(schema.shape).filter((key) => !["model", "when", "times"].includes(key));
    has(name, about, parameters.map((key) => `\`${key}\``).join(", "));
    if ("published" in model) has(name, model.published);
  }
  for (const { shape, description } of ACTS) has(shape.model.value, description);
});
