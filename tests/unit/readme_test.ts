/** The README's example is a driver and a manifest, and the links of all pages lead somewhere. */
import { assert, assertEquals } from "@std/assert";
import { manifestSchema } from "../../src/manifest/schema.ts";

const ROOT = new URL("../../", import.meta.url);
const PAGES = [
  "README.md",
  "docs/api.md",
  "docs/design.md",
  "docs/faults.md",
  "docs/rings.md",
  "docs/uapi.md",
  "drivers/README.md",
];

/** The one block of the README in a language. */
async function block(language: string): Promise<string> {
  const text = await Deno.readTextFile(new URL("README.md", ROOT));
  const found = [...text.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))];
  assertEquals(found.length, 1, `blocks of ${language} in README.md`);
  return found[0][1];
}

Deno.test("README: the example's manifest is one", async () => {
  const { success, error } = manifestSchema.safeParse(JSON.parse(await block("json")));
  assert(success, String(error));
});

Deno.test("README: the example's driver compiles and is defined", async () => {
  const api = new URL("src/driver/mod.ts", ROOT).href;
  const text = await block("ts");
  assert(text.includes('"../../src/driver/mod.ts"'), "it imports its API as a driver does");
  const directory = await Deno.makeTempDir({ prefix: "ring3-readme-" });
  try {
    const file = `${directory}/driver.ts`;
    await Deno.writeTextFile(file, text.replace("../../src/driver/mod.ts", api));
    const config = new URL("deno.json", ROOT).pathname;
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--check", "--quiet", "--config", config, file],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

Deno.test("pages: every link to a file of the tree leads to one", async () => {
  for (const page of PAGES) {
    const text = await Deno.readTextFile(new URL(page, ROOT));
    for (const [, target] of text.matchAll(/\]\((?!\w+:)([^)#]+)[^)]*\)/g)) {
      const there = await Deno.stat(new URL(target, new URL(page, ROOT))).then(() => true, () => false);
      assert(there, `${page} links to ${target}`);
    }
  }
});
