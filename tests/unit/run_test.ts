/** `ring3 run`, as far as it goes without a lab. */
import { assertEquals } from "@std/assert";

const CLI = new URL("../../src/cli.ts", import.meta.url).pathname;

async function ring3(...args: string[]): Promise<{ code: number; stderr: string }> {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", CLI, ...args],
    stdin: "null",
    stdout: "null",
    env: { NO_COLOR: "1" },
  }).output();
  return { code, stderr: new TextDecoder().decode(stderr) };
}

Deno.test("a manifest that the lab could not see is refused before one is booted", async () => {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await Deno.mkdir(`${folder}/manifests`);
    await Deno.mkdir(`${folder}/drivers/mine`, { recursive: true });
    await Deno.writeTextFile(`${folder}/drivers/mine/driver.ts`, "");
    const file = `${folder}/manifests/mine.json`;
    await Deno.writeTextFile(
      file,
      JSON.stringify({
        name: "mine",
        description: "A driver outside the checkout",
        driver: "../drivers/mine/driver.ts",
        match: [{ vendor: "0x8086", device: "0x100f" }],
        grant: {},
      }),
    );
    const checkout = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
    assertEquals(await ring3("run", file), {
      code: 1,
      stderr: `ring3: The lab sees only this checkout: move ${file} into ${checkout}, or use --native\n`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
