/** Manifests: what is read, every way in which one can be wrong, and what a grant means. */
import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { dirname } from "node:path";
import {
  describeGrant,
  findManifests,
  formatProblem,
  loadManifest,
  type Manifest,
  ManifestError,
  matchManifest,
  resolve,
} from "../../src/manifest/mod.ts";
import { JsonError, parseJson } from "../../src/manifest/json.ts";
import { jsonSchema } from "../../src/manifest/schema.ts";
import { SCHEMA_FILE } from "../../src/manifest/write_schema.ts";
import { type PciDevice, readDevice } from "../../src/pci.ts";
import { foldersOf } from "../../src/run/places.ts";
import { config, E1000, type FakeDevice, FakeSysfs, IO, MEMORY } from "./fake_sysfs.ts";

const SHIPPED = new URL("../../manifests/e1000.json", import.meta.url);
const ADDRESS = "0000:00:10.0";

/** A checkout with a `manifests` folder and one driver. */
class Checkout implements AsyncDisposable {
  private constructor(readonly root: string) {}

  static async create(): Promise<Checkout> {
    // The real path: the driver's is compared with it.
    const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "ring3-manifests-" }));
    await Deno.mkdir(`${root}/manifests`);
    await Deno.mkdir(`${root}/drivers/e1000`, { recursive: true });
    await Deno.writeTextFile(`${root}/drivers/e1000/driver.ts`, "export default {};\n");
    return new Checkout(root);
  }

  /** Writes a manifest and returns its path. */
  async write(text: string, name = "one.json"): Promise<string> {
    const file = `${this.root}/manifests/${name}`;
    await Deno.writeTextFile(file, text);
    return file;
  }

  /** The problems of a manifest, without its file, one line each. */
  async problems(text: string): Promise<string[]> {
    const file = await this.write(text);
    const error: ManifestError = await assertRejects(() => loadManifest(file), ManifestError);
    assertEquals(error.message, error.problems.map(formatProblem).join("\n"));
    return error.message.split("\n").map((line) => line.replace(`${file}:`, "").trim());
  }

  /** The problems of a manifest that is right but for some of its fields. */
  async wrong(fields: Record<string, unknown>): Promise<string[]> {
    const problems = await this.problems(JSON.stringify({ ...RIGHT, ...fields }));
    return problems.map((line) => line.replace(/^1:\d+: /, ""));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.root, { recursive: true });
  }
}

/** The least that a manifest says. */
const RIGHT = {
  name: "e1000",
  description: "a card",
  driver: "../drivers/e1000/driver.ts",
  match: [{ vendor: "0x8086", device: "0x100F" }],
  grant: {},
};

/** Defaults. */
const RESTART = {
  on: "crash",
  budget: 5,
  window: 1_800_000,
  quiet: 600_000,
  backoff: { from: 100, to: 30_000 },
  fallback: "none",
} as const;
const LIMITS = { start: 30_000, stall: 1000, heap: 2 ** 26, memory: 2 ** 28, threads: 64, cpu: 2 };
const WALLS = {
  namespaces: "required",
  landlock: "required",
  seccomp: "required",
  cgroup: "required",
} as const;

Deno.test("the shipped e1000 manifest grants BAR 0, one interrupt, memory and a port", async () => {
  await using checkout = await Checkout.create();
  const file = await checkout.write(await Deno.readTextFile(SHIPPED));
  const manifest = await loadManifest(file);
  assertEquals(manifest, {
    file,
    name: "e1000",
    description: "Intel 8254x gigabit Ethernet (82540EM and 82545EM)",
    driver: `${checkout.root}/drivers/e1000/driver.ts`,
    driverFolder: `${checkout.root}/drivers/e1000`,
    packages: [],
    match: [{ vendor: 0x8086, device: 0x100e }, { vendor: 0x8086, device: 0x100f }],
    grant: {
      bars: [{ bar: 0, offset: 0, length: 131072 }],
      interrupts: { count: 1 },
      dma: 131072,
      addressBits: 64,
      port: { kind: "net", queues: 1, ring: 256, name: "r3n%d" },
    },
    iommu: "preferred",
    spare: true,
    restart: RESTART,
    limits: LIMITS,
    walls: WALLS,
    jit: true,
    recordRegisters: false,
    options: {},
  });
});

Deno.test("restarts and limits are as written, the rest by default", async () => {
  await using checkout = await Checkout.create();
  const manifest = await loadManifest(
    await checkout.write(JSON.stringify({
      ...RIGHT,
      recordRegisters: true,
      restart: { on: "always", budget: "unlimited", backoff: { from: "0ms", to: "2s" }, fallback: "kernel" },
      limits: { start: "1min", stall: "0s", heap: "128MiB", threads: 32 },
      walls: { landlock: "preferred", cgroup: "off" },
      jit: false,
    })),
  );
  assertEquals([manifest.spare, manifest.recordRegisters], [false, true]);
  assertEquals(manifest.restart, {
    ...RESTART,
    on: "always",
    budget: Infinity,
    backoff: { from: 0, to: 2000 },
    fallback: "kernel",
  });
  assertEquals(manifest.limits, {
    ...LIMITS,
    start: 60_000,
    stall: 0,
    heap: 2 ** 27,
    memory: 2 ** 27 + 192 * 2 ** 20,
    threads: 32,
  });
  assertEquals(manifest.walls, { ...WALLS, landlock: "preferred", cgroup: "off" });
  assertEquals(manifest.jit, false);
});

Deno.test("a package is named with npm: and one whole version", async () => {
  await using checkout = await Checkout.create();
  const packages = ["npm:zod@4.6.7", "npm:@scope/name@1.0.0-rc.1"];
  const load = async (packages: string[]) =>
    (await loadManifest(await checkout.write(JSON.stringify({ ...RIGHT, packages })))).packages;
  assertEquals(await load(packages), packages);
  for (
    const wrong of [
      "zod@4.6.7",
      "npm:zod",
      "npm:zod@4",
      "npm:zod@^4.6.7",
      "npm:zod@4.6.7/mini",
      "jsr:@std/x@1.0.0",
    ]
  ) {
    const says = `packages[0]: "${wrong}" is not a package with its exact version like "npm:zod@4.6.7"`;
    await assertRejects(() => load([wrong]), Error, says);
  }
});

Deno.test("a span of time is text with a unit, within bounds", async () => {
  await using checkout = await Checkout.create();
  const limits = async (limits: unknown) =>
    (await checkout.problems(JSON.stringify({ ...RIGHT, limits }))).map((problem) =>
      problem.replace(/^\S+ /, "")
    );
  assertEquals(await limits({ stall: 500 }), [
    "limits.stall: expected a text in quotes, found 500",
  ]);
  assertEquals(await limits({ stall: "1m" }), [
    'limits.stall: "1m" is not a span of time; write it as "500ms", "10s", "30min" or "2h"',
  ]);
  assertEquals(await limits({ start: "1h" }), [
    'limits.start: expected 100 ms to 10 min, found "1h"',
  ]);
});

Deno.test("a process needs more memory than its heap", async () => {
  await using checkout = await Checkout.create();
  const written = JSON.stringify({ ...RIGHT, limits: { heap: "80MiB", memory: "64MiB" } });
  assertEquals((await checkout.problems(written)).map((problem) => problem.replace(/^\S+ /, "")), [
    "limits.memory: 64 MiB is not more than the heap, 80 MiB",
  ]);
});

Deno.test("what a manifest leaves out is not granted, and an IOMMU is required", async () => {
  await using checkout = await Checkout.create();
  const manifest = await loadManifest(await checkout.write(JSON.stringify(RIGHT)));
  assertEquals(manifest.grant, {
    bars: [],
    interrupts: { count: 0 },
    dma: 0,
    addressBits: 64,
    port: undefined,
  });
  assertEquals([manifest.iommu, manifest.options], ["required", {}]);
});

Deno.test("sizes, interrupts and options in all their forms", async () => {
  await using checkout = await Checkout.create();
  const manifest = await loadManifest(
    await checkout.write(JSON.stringify({
      ...RIGHT,
      grant: {
        bars: [{ bar: 5, offset: "4KiB", length: 8192 }],
        interrupts: { count: 32, type: "msix" },
        dma: "1GiB",
        addressBits: 48,
        port: { kind: "net" },
      },
      options: { itr: 200, nested: { list: [1, null, "x"] } },
    })),
  );
  assertEquals(manifest.grant, {
    bars: [{ bar: 5, offset: 4096, length: 8192 }],
    interrupts: { count: 32, type: "msix" },
    dma: 2 ** 30,
    addressBits: 48,
    port: { kind: "net", queues: 1, ring: 256, name: "r3n%d" },
  });
  assertEquals(manifest.options, { itr: 200, nested: { list: [1, null, "x"] } });
});

Deno.test("a block port is a disk: what it leaves out has a default", async () => {
  await using checkout = await Checkout.create();
  const port = async (fields: Record<string, unknown>) => {
    const file = await checkout.write(
      JSON.stringify({ ...RIGHT, grant: { port: { kind: "block", ...fields } } }),
    );
    return (await loadManifest(file)).grant.port;
  };
  assertEquals(await port({}), {
    kind: "block",
    queues: 1,
    ring: 1024,
    name: "r3b%d",
    onDeath: "reissue",
    hold: 60_000,
    request: 30_000,
  });
  const all = {
    queues: 16,
    ring: 64,
    name: "r3disk7",
    onDeath: "fail",
    hold: "1ms",
    request: "24h",
  };
  assertEquals(await port(all), { kind: "block", ...all, hold: 1, request: 86_400_000 });
});

Deno.test("a raw port has a program, and memory for its buffers beside the driver's own", async () => {
  await using checkout = await Checkout.create();
  const { root } = checkout;
  await Deno.mkdir(`${root}/programs`);
  await Deno.writeTextFile(`${root}/programs/swap.ts`, "");
  const program = "../programs/swap.ts";
  const load = async (grant: unknown) =>
    await loadManifest(await checkout.write(JSON.stringify({ ...RIGHT, grant })));
  const manifest = await load({ dma: "1MiB", port: { kind: "raw", program } });
  assertEquals(manifest.grant.port, { kind: "raw", ring: 256, program: `${root}/programs/swap.ts` });
  assertEquals(foldersOf([manifest]), [`${root}/manifests`, `${root}/drivers/e1000`, `${root}/programs`]);
  assertEquals(
    (await load({ dma: "256KiB", port: { kind: "raw", ring: 64, program } })).grant.port,
    { kind: "raw", ring: 64, program: `${root}/programs/swap.ts` },
  );
  const wrong = (dma: unknown, port: Record<string, unknown>) =>
    checkout.wrong({ grant: { dma, port: { kind: "raw", ...port } } });
  assertEquals(await wrong("1023KiB", { program }), [
    "grant.dma: a raw port with rings of 256 takes 1 MiB for its buffers, and the driver's own comes on top; " +
    "found 1,023 KiB",
  ]);
  assertEquals(await wrong(undefined, { ring: 4096, program }), [
    "grant.dma: a raw port with rings of 4096 takes 16 MiB for its buffers, and the driver's own comes on top; " +
    "found none",
  ]);
  assertEquals(await wrong("1MiB", {}), ["grant.port.program: is missing; expected a text in quotes"]);
  assertEquals(await wrong("1MiB", { program: "../programs/none.ts" }), [
    `grant.port.program: there is no file ${root}/programs/none.ts`,
  ]);
  assertEquals(await wrong("1MiB", { program: "../programs" }), [
    'grant.port.program: expected a .ts or .js file relative to this one, like "program.ts", found "../programs"',
  ]);
  assertEquals(await wrong("1MiB", { program, name: "r3n0" }), [
    "grant.port.name: there is no such key here (keys: kind, ring, program)",
  ]);
});

Deno.test("the manifest for forwarding is right, and tells its program", async () => {
  const manifest = await loadManifest(
    new URL("../../bench/forward/e1000-macswap.json", import.meta.url).pathname,
  );
  const device = await pciDevice(E1000);
  assertEquals(resolve(manifest, device), []);
  const program = new URL("../../bench/forward/macswap.ts", import.meta.url).pathname;
  assertEquals(
    describeGrant(manifest, device).find((line) => line.includes("program") || line.includes("macswap")),
    `no port into the kernel: frames go to ${program}, 256 each way, in the driver's process`,
  );
});

Deno.test("a disk is called as no other disk and no partition is", async () => {
  await using checkout = await Checkout.create();
  for (const name of ["sda", "r3b", "r3", "r3%d", "r30", "r3B0", "r3b%d0", "r3b0p1", "r3b/0", ".."]) {
    const [problem] = await checkout.wrong({ grant: { port: { kind: "block", name } } });
    assertStringIncludes(problem, `grant.port.name: "${name}" is not a name for a disk`);
  }
});

Deno.test("problems of a port are told by its kind", async () => {
  await using checkout = await Checkout.create();
  const wrong = (port: unknown) => checkout.wrong({ grant: { port } });
  assertEquals(await wrong({ kind: "disk" }), [
    'grant.port.kind: expected "net", "block" or "raw"; found "disk"',
  ]);
  assertEquals(await wrong({}), ['grant.port.kind: expected "net", "block" or "raw"; it is missing']);
  assertEquals(await wrong(1), ["grant.port: expected an object, { … }, found 1"]);
  assertEquals(await wrong({ kind: "net", hold: "1s" }), [
    "grant.port.hold: there is no such key here (keys: kind, queues, ring, name)",
  ]);
  assertEquals(
    await wrong({ kind: "block", holds: "1s", queues: 17, onDeath: "reissues", request: "0ms", name: "a b" }),
    [
      'grant.port.holds: there is no such key here; did you mean "hold"? ' +
      "(keys: kind, queues, ring, name, onDeath, hold, request)",
      "grant.port.queues: expected at most 16, found 17",
      'grant.port.onDeath: expected "reissue" or "fail", found "reissues"; did you mean "reissue"?',
      'grant.port.request: expected 1 ms to 24 h, found "0ms"',
      'grant.port.name: "a b" is not a name for a disk; ' +
      'write r3, lower case letters, and a number, like "r3b%d" (%d becomes the next free number)',
    ],
  );
});

Deno.test("every problem is told, with its line, its path and what to do", async () => {
  await using checkout = await Checkout.create();
  assertEquals(
    await checkout.problems(`{
  "name": "E1000",
  "descripton": "a card",
  "driver": "../drivers/e1000/driver.ts",
  "match": [{ "vendor": 8086, "device": "0x100" }],
  "grant": {
    "bars": [
      { "bar": 6, "length": "128KB" },
      { "bar": 0, "length": -4, "ofset": 3 },
      { "bar": 0.5 }
    ],
    "interrupts": { "count": 33, "type": "mxi" },
    "dma": true,
    "port": { "kind": "net", "queues": 2, "ring": 100, "name": "a b" }
  },
  "iommu": "require",
  "options": []
}`),
    [
      "1:1: description: is missing; expected a text in quotes",
      '2:3: name: "E1000" is not a name: a letter, then up to 31 of a-z, 0-9 and "-"',
      '3:3: descripton: there is no such key here; did you mean "description"? ' +
      "(keys: $schema, name, description, driver, match, packages, grant, iommu, spare, restart, limits, walls, jit, recordRegisters, options)",
      "5:15: match[0].vendor: expected a text in quotes, found 8086",
      '5:31: match[0].device: "0x100" is not an id of four hexadecimal digits like "0x8086"',
      "8:9: grant.bars[0].bar: expected at most 5, found 6",
      '8:19: grant.bars[0].length: "128KB" is not a size; write "128KiB" (1 KiB is 1,024 bytes)',
      "9:19: grant.bars[1].length: expected a whole number of bytes, at least 1, found -4",
      '9:33: grant.bars[1].ofset: there is no such key here; did you mean "offset"? (keys: bar, offset, length)',
      '10:7: grant.bars[2].length: expected a size: bytes as a whole number, or a text like "128KiB"; it is missing',
      "10:9: grant.bars[2].bar: expected a whole number, found 0.5",
      "12:21: grant.interrupts.count: expected at most 32, found 33",
      '12:34: grant.interrupts.type: expected "intx" or "msi" or "msix" or "ide", found "mxi"; did you mean "msi"?',
      '13:5: grant.dma: expected a size: bytes as a whole number, or a text like "128KiB"; found true',
      "14:30: grant.port.queues: expected 1, found 2",
      "14:43: grant.port.ring: expected a power of two from 64 to 4096, found 100",
      '14:56: grant.port.name: "a b" is not a name for an interface; ' +
      'write a word like "r3n%d" (%d becomes the next free number)',
      '16:3: iommu: expected "required" or "preferred", found "require"; did you mean "required"?',
      "17:3: options: expected an object, { … }, found a list",
    ],
  );
});

Deno.test("limits of the kernel's contract hold, also beside other problems", async () => {
  await using checkout = await Checkout.create();
  const bars = Array.from({ length: 9 }, (_, index) => ({ bar: 0, offset: index * 4096, length: 4096 }));
  assertEquals(await checkout.wrong({ grant: { bars } }), ["grant.bars: at most 8 windows, found 9"]);
  assertEquals(await checkout.wrong({ grant: { bars: [...bars, { bar: -1, length: 1 }] } }), [
    "grant.bars: at most 8 windows, found 10",
    "grant.bars[9].bar: expected at least 0, found -1",
  ]);
  assertEquals(await checkout.wrong({ match: [] }), ["match: at least 1 entries, found none"]);
  assertEquals(await checkout.wrong({ grant: { interrupts: 33 } }), [
    "grant.interrupts: expected at most 32, found 33",
  ]);
  assertEquals(await checkout.wrong({ grant: { interrupts: "one" } }), [
    'grant.interrupts: expected a number or an object, { … }; found "one"',
  ]);
  for (const ring of [32, 65, 8192]) {
    assertEquals(await checkout.wrong({ grant: { port: { kind: "net", ring } } }), [
      `grant.port.ring: expected a power of two from 64 to 4096, found ${ring}`,
    ]);
  }
  assertEquals(await checkout.wrong({ grant: { port: { kind: "net", name: "sixteen-letters-" } } }), [
    'grant.port.name: "sixteen-letters-" is longer than the 15 bytes of a name',
  ]);
  for (const name of ["..", "a/b", "a:b", "%d%d", "r3n%s", "%dx"]) {
    const [problem] = await checkout.wrong({ grant: { port: { kind: "net", name } } });
    assertStringIncludes(problem, "is not a name for an interface");
  }
  assertEquals(await checkout.wrong({ grant: { dma: 0 } }), [
    "grant.dma: expected a whole number of bytes, at least 1, found 0",
  ]);
  assertEquals(await checkout.wrong({ grant: { dma: 1.5 } }), [
    "grant.dma: expected a whole number of bytes, at least 1, found 1.5",
  ]);
  assertEquals(await checkout.wrong({ grant: { addressBits: 23 } }), [
    "grant.addressBits: expected at least 24, found 23",
  ]);
  assertEquals(await checkout.wrong({ grant: { addressBits: 65 } }), [
    "grant.addressBits: expected at most 64, found 65",
  ]);
  assertEquals(await checkout.wrong({ description: "" }), ["description: expected some text, found none"]);
});

Deno.test("the parts of a grant must agree", async () => {
  await using checkout = await Checkout.create();
  const bars = [
    { bar: 0, length: 8192 },
    { bar: 1, length: 8192 },
    { bar: 0, offset: 8192, length: 4096 },
    { bar: 0, offset: 4096, length: 4096 },
  ];
  assertEquals(await checkout.wrong({ grant: { bars, interrupts: { count: 2, type: "intx" } } }), [
    "grant.bars[3]: overlaps grant.bars[0]",
    "grant.interrupts.count: intx has one vector, not 2",
  ]);
  assertEquals(await checkout.wrong({ grant: { interrupts: { count: 3, type: "ide" } } }), [
    "grant.interrupts.count: ide has two vectors, not 3",
  ]);
});

Deno.test("the driver must exist, in a folder of its own below drivers", async () => {
  await using checkout = await Checkout.create();
  const { root } = checkout;
  await Deno.writeTextFile(`${root}/drivers/loose.ts`, "");
  await Deno.writeTextFile(`${root}/elsewhere.ts`, "");
  await Deno.symlink(`${root}/elsewhere.ts`, `${root}/drivers/e1000/link.ts`);
  await Deno.mkdir(`${root}/drivers/e1000/folder.ts`);
  const cases: [string, string][] = [
    ["../drivers/e1000/drver.ts", `driver: there is no file ${root}/drivers/e1000/drver.ts`],
    ["../drivers/loose.ts", `driver: ${root}/drivers/loose.ts is not in a folder of its own below "drivers"`],
    [
      "../drivers/e1000/../../elsewhere.ts",
      `driver: ${root}/elsewhere.ts is not in a folder of its own below "drivers"`,
    ],
    [
      "../drivers/e1000/link.ts",
      `driver: ${root}/elsewhere.ts is not in a folder of its own below "drivers"`,
    ],
    ["../drivers/e1000/folder.ts", `driver: ${root}/drivers/e1000/folder.ts is not a file`],
    [
      `${root}/drivers/e1000/driver.ts`,
      `driver: expected a .ts or .js file relative to this one, like "../drivers/name/driver.ts", found "${root}/drivers/e1000/driver.ts"`,
    ],
    [
      "../drivers/e1000",
      'driver: expected a .ts or .js file relative to this one, like "../drivers/name/driver.ts", found "../drivers/e1000"',
    ],
  ];
  for (const [driver, problem] of cases) assertEquals(await checkout.wrong({ driver }), [problem]);
});

Deno.test("text that is not JSON is told with its line and column", async () => {
  await using checkout = await Checkout.create();
  const cases: [string, string][] = [
    ["", "1:1: not JSON: expected a value, found the end of the file"],
    ['{\n  "a": 1,\n}', '2:9: not JSON: a comma before "}" is not allowed'],
    ['{\n  "a": 1\n  "b": 2\n}', '3:3: not JSON: expected "," or "}" after the value of "a", found """'],
    ['{ "a" 1 }', '1:7: not JSON: expected ":" after the key "a", found "1"'],
    ["{ a: 1 }", '1:3: not JSON: expected a key in quotes or "}", found "a"'],
    ['{ "a": [1, 2 }', '1:14: not JSON: expected "," or "]" after an element, found "}"'],
    ['{ "a": 0x8086 }', "1:8: not JSON: expected a value, found 0x8086 (text needs quotes)"],
    ['{ "a": "b\n" }', "1:8: not JSON: a text without its closing quote"],
    ['{ "a": "\\x" }', '1:8: not JSON: "\\x" has a control character or an escape that JSON does not know'],
    ['{ "a": 1 } // done', "1:12: not JSON: JSON has no comments; use the description"],
    ['{ "a": 1 } {', '1:12: not JSON: expected the end of the file, found "{"'],
    ['{ "a": 1, "a": 2 }', '1:11: not JSON: the key "a" is given twice'],
  ];
  for (const [text, problem] of cases) assertEquals(await checkout.problems(text), [problem], text);
  assertEquals(await checkout.problems("[]"), ["1:1: expected an object, { … }, found a list"]);
});

Deno.test("JSON is read as JSON.parse reads it", () => {
  const texts = [
    " null ",
    "-1.5e3",
    '"a\\u00e9\\n\\"b"',
    "[]",
    "{}",
    '[1,[true,{"":{"a b":[]}}]]',
    '{"__proto__":{"x":1},"constructor":2}',
  ];
  for (const text of texts) {
    assertEquals(JSON.stringify(parseJson(text).value), JSON.stringify(JSON.parse(text)));
  }
  for (const text of ["01", "+1", "1.", ".5", "NaN", "tru", "'a'", "[1 2]", "\u00a01"]) {
    try {
      parseJson(text);
      throw new Error(`${text} was read`);
    } catch (error) {
      assertInstanceOf(error, JsonError);
    }
  }
});

Deno.test("one bad manifest does not hide the others, and names are unique", async () => {
  await using checkout = await Checkout.create();
  await checkout.write(JSON.stringify(RIGHT), "b.json");
  await checkout.write("{", "a.json");
  await checkout.write(JSON.stringify({ ...RIGHT, iommu: "preferred" }), "c.json");
  await checkout.write(JSON.stringify({ ...RIGHT, name: "other" }), "d.json");
  await checkout.write("not a manifest", "schema.json");
  const { manifests, errors } = await findManifests(`${checkout.root}/manifests`);
  assertEquals(manifests.map(({ name }) => name), ["e1000", "other"]);
  assertEquals(errors.map(({ problems }) => problems.length), [1, 1]);
  assertStringIncludes(errors[1].message, 'c.json: name: "e1000" is the name of b.json too');

  await assertRejects(() => findManifests(`${checkout.root}/none`), ManifestError, "there is no such folder");
  await assertRejects(
    () => loadManifest(`${checkout.root}/none.json`),
    ManifestError,
    "there is no such file",
  );
  const device = { vendor: 0x8086, device: 0x100f };
  assertEquals(matchManifest(device, manifests)?.name, "e1000");
  assertEquals(matchManifest({ ...device, device: 1 }, manifests), undefined);
  assertEquals(dirname(manifests[0].driver), manifests[0].driverFolder);
});

/** A device of a fake machine. */
async function pciDevice(fake: Partial<FakeDevice>): Promise<PciDevice> {
  await using sysfs = await FakeSysfs.create({ [ADDRESS]: { ...E1000, ...fake } });
  return await readDevice(ADDRESS, { sysfs });
}

/** The shipped manifest with another grant. */
async function shipped(grant: Partial<Manifest["grant"]>, rest: Partial<Manifest> = {}): Promise<Manifest> {
  await using checkout = await Checkout.create();
  const manifest = await loadManifest(await checkout.write(await Deno.readTextFile(SHIPPED)));
  return { ...manifest, ...rest, grant: { ...manifest.grant, ...grant } };
}

Deno.test("a grant that the device can give has no problems", async () => {
  assertEquals(resolve(await shipped({}), await pciDevice({})), []);
  const confined = await pciDevice({ iommu: { group: 1, type: "DMA" } });
  assertEquals(resolve(await shipped({}, { iommu: "required" }), confined), []);
});

Deno.test("what the device cannot give is told, all of it", async () => {
  const bar = (index: number, offset: number, length: number) => ({ bar: index, offset, length });
  const device = await pciDevice({
    bars: [
      [0xfebc0000, 0x20000, MEMORY],
      [0xc000, 0x40, IO],
      [0, 0x1000, MEMORY],
      [0xfebe0100, 0x100, MEMORY],
    ],
  });
  const bars = [
    bar(0, 0, 0x21000),
    bar(1, 0, 4096),
    bar(2, 0, 4096),
    bar(3, 0, 0x100),
    bar(5, 0, 4096),
    bar(0, 16, 4096),
  ];
  const manifest = await shipped({ bars, interrupts: { count: 2 } }, {
    iommu: "required",
    match: [{ vendor: 0x8086, device: 1 }],
  });
  assertEquals(resolve(manifest, device).map(({ path, reason }) => `${path}: ${reason}`), [
    `match: ${ADDRESS} is 8086:100f, which is not listed`,
    `grant.bars[0]: the window ends at 132 KiB, past the end of BAR 0 of ${ADDRESS} (128 KiB)`,
    `grant.bars[1]: the window ends at 4 KiB, past the end of BAR 1 of ${ADDRESS} (64 bytes)`,
    `grant.bars[2]: BAR 2 of ${ADDRESS} was given no address by the firmware`,
    `grant.bars[3]: BAR 3 of ${ADDRESS} does not begin on a page, so a window would show its neighbours too`,
    "grant.bars[3]: the window has a length of 256 bytes: not whole pages of 4 KiB",
    `grant.bars[4]: ${ADDRESS} has no BAR 5; it has BAR 0 (128 KiB), BAR 1 (64 bytes of I/O ports), BAR 2 (4 KiB), BAR 3 (256 bytes)`,
    "grant.bars[5]: the window begins at 16 bytes: not whole pages of 4 KiB",
    `grant.interrupts: ${ADDRESS} has 1 interrupt vectors at most, not 2`,
    `iommu: is required, but no IOMMU confines ${ADDRESS} (enable it in the firmware and boot with ` +
    'intel_iommu=on or amd_iommu=on, or write "preferred")',
  ]);
  const passed = resolve(
    await shipped({}, { iommu: "required" }),
    await pciDevice({ iommu: { group: 1, type: "identity" } }),
  );
  assertEquals(passed.map(({ reason }) => reason), [
    `is required, but the IOMMU passes ${ADDRESS} through (boot without iommu=pt)`,
  ]);
  const translated = await pciDevice({ iommu: { group: 1, type: "DMA" } });
  const shared = { ...translated, iommu: { ...translated.iommu!, shared: ["0000:00:10.1"] } };
  assertEquals(resolve(await shipped({}, { iommu: "required" }), shared).map(({ reason }) => reason), [
    `is required, but ${ADDRESS} shares its IOMMU group with 0000:00:10.1, and the IOMMU keeps none of them from the ` +
    'others (use a slot of its own, or write "preferred")',
  ]);
});

Deno.test("interrupts are held against the device's capabilities", async () => {
  const msix = { count: 4, bar: 0, table: 0x4000, pending: 0x5000 };
  const cases: [Manifest["grant"]["interrupts"], Parameters<typeof config>[0], string | undefined][] = [
    [{ count: 1, type: "intx" }, { pin: 1 }, undefined],
    [{ count: 1, type: "intx" }, { msi: 1 }, "has no INTx pin"],
    [{ count: 1, type: "msi" }, { pin: 1 }, "has no MSI capability"],
    [{ count: 1, type: "msix" }, { pin: 1, msi: 1 }, "has no MSI-X capability"],
    [{ count: 2, type: "msi" }, { msi: 1 }, "has 1 MSI vectors, not 2"],
    [{ count: 4 }, { msix }, undefined],
    [{ count: 5 }, { msix }, "has 4 interrupt vectors at most, not 5"],
    [{ count: 8 }, { msix, msi: 8 }, undefined],
    [{ count: 1 }, {}, "cannot interrupt"],
    [{ count: 0 }, {}, undefined],
  ];
  for (const [interrupts, capabilities, problem] of cases) {
    const device = await pciDevice({ config: config(capabilities) });
    const found = resolve(await shipped({ interrupts, bars: [] }), device).map(({ reason }) => reason);
    assertEquals(found, problem === undefined ? [] : [`${ADDRESS} ${problem}`]);
  }
  const unreadable = await pciDevice({ config: config({ msi: 8 }).slice(0, 64) });
  assertEquals(resolve(await shipped({ interrupts: { count: 32, type: "msix" } }), unreadable), []);
});

/** An IDE controller as Linux shows one in compatibility mode, with the ISA ports as its BARs. */
const PIIX: FakeDevice = {
  vendor: 0x8086,
  device: 0x7111,
  class: 0x010180,
  bars: [[0x1f0, 8, IO], [0x3f6, 1, IO], [0x170, 8, IO], [0x376, 1, IO], [0xc040, 16, IO]],
  config: config({}),
};

Deno.test("the shipped manifest of IDE fits the controller: windows of ports, and both ISA interrupts", async () => {
  const ide = await loadManifest(new URL("../../manifests/ide.json", import.meta.url).pathname);
  assertEquals(resolve(ide, await pciDevice(PIIX)), []);
  assertEquals(ide.grant.addressBits, 32);
  assertEquals(describeGrant(ide, await pciDevice(PIIX), { port: "r3b0" }).slice(0, 7), [
    "I/O ports: BAR 0, bytes 0x0–0x7 (8 bytes)",
    "I/O ports: BAR 1, bytes 0x0–0x0 (1 byte)",
    "I/O ports: BAR 2, bytes 0x0–0x7 (8 bytes)",
    "I/O ports: BAR 3, bytes 0x0–0x0 (1 byte)",
    "I/O ports: BAR 4, bytes 0x0–0xf (16 bytes)",
    "interrupts: 2 (ISA)",
    "memory shared with the device: 4 KiB",
  ]);
  const problems = async (grant: Partial<Manifest["grant"]>, device: Partial<FakeDevice>) =>
    resolve({ ...ide, grant: { ...ide.grant, ...grant } }, await pciDevice({ ...PIIX, ...device }))
      .map(({ reason }) => reason);
  assertEquals(await problems({ bars: [{ bar: 4, offset: 8, length: 9 }] }, {}), [
    `the window ends at 17 bytes, past the end of BAR 4 of ${ADDRESS} (16 bytes)`,
  ]);
  const none = [`${ADDRESS} is no IDE controller in compatibility mode`];
  assertEquals(await problems({}, { class: 0x010185 }), none);
  assertEquals(await problems({}, { class: 0x010601 }), none);
});

Deno.test("a window must not hold the device's MSI-X registers", async () => {
  const device = await pciDevice({
    config: config({ msix: { count: 4, bar: 0, table: 0x4010, pending: 0x5000 } }),
  });
  const reasons = async (offset: number, length: number) =>
    resolve(await shipped({ bars: [{ bar: 0, offset, length }] }), device).map(({ reason }) => reason);
  assertEquals(await reasons(0, 0x4000), []);
  assertEquals(await reasons(0x6000, 0x1000), []);
  const said = (
    at: string,
  ) => [`the window holds the device's MSI-X registers at ${at}, which no driver may touch`];
  assertEquals(await reasons(0, 0x5000), said("0x4000"));
  assertEquals(await reasons(0x5000, 0x1000), said("0x5000"));
});

Deno.test("a grant in words ends with what is not granted", async () => {
  const nothing = "nothing else: no other register, interrupt, memory, file, socket or process";
  const confined = await pciDevice({ iommu: { group: 1, type: "DMA" } });
  assertEquals(describeGrant(await shipped({}), confined, { port: "r3n0" }), [
    "registers: BAR 0, bytes 0x00000–0x1ffff (128 KiB)",
    "interrupts: one (INTx)",
    "memory shared with the device: 128 KiB",
    "network port r3n0: 256 frames each way",
    nothing,
  ]);
  const other = await shipped({
    bars: [{ bar: 0, offset: 0x1000, length: 0x1000 }, { bar: 2, offset: 0, length: 0x100000 }],
    interrupts: { count: 4 },
  });
  const device = await pciDevice({ config: config({ msi: 8 }) });
  assertEquals(describeGrant(other, device), [
    "registers: BAR 0, bytes 0x1000–0x1fff (4 KiB)",
    "registers: BAR 2, bytes 0x00000–0xfffff (1 MiB)",
    "interrupts: 4 (MSI)",
    "memory shared with the device: 128 KiB",
    "network port r3n%d: 256 frames each way",
    "no IOMMU: the device itself can reach all memory of this machine, which this manifest accepts",
    nothing,
  ]);
  const none = await shipped({ bars: [], interrupts: { count: 0 }, dma: 0, port: undefined });
  assertEquals(describeGrant(none, confined), [
    "registers: none",
    "interrupts: none",
    "memory shared with the device: none",
    "port into the kernel: none",
    nothing,
  ]);
});

Deno.test("the published schema is up to date, describes every field, and is strict", async () => {
  assertEquals(
    await Deno.readTextFile(SCHEMA_FILE),
    jsonSchema(),
    "write it with: deno run -A src/manifest/write_schema.ts",
  );
  const bare: string[] = [];
  const loose: string[] = [];
  interface Node {
    description?: string;
    properties?: Record<string, Node>;
    additionalProperties?: unknown;
    items?: Node;
    anyOf?: Node[];
  }
  const walk = (node: Node, path: string) => {
    if (node.properties && node.additionalProperties !== false) loose.push(path);
    for (const [name, field] of Object.entries(node.properties ?? {})) {
      if (!field.description) bare.push(`${path}.${name}`);
      walk(field, `${path}.${name}`);
    }
    if (node.items) walk(node.items, `${path}[]`);
    for (const one of node.anyOf ?? []) walk(one, path);
  };
  walk(JSON.parse(jsonSchema()), "");
  assertEquals([bare, loose], [[], []]);
});
