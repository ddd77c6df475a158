/** The language wall in a real driver process: what a hostile driver tries, and what it may not import. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { boot, type Lab } from "../../src/lab/mod.ts";
import { sh } from "../../src/soak/lab.ts";
import { LANGUAGE_ATTEMPTS } from "../../src/walls/language_attempts.ts";
import { fails, ready } from "./driver_run.ts";
import { assertHealthy, assertNothingLeft, silent } from "./health.ts";

const SHIPPED = new URL("../../manifests/e1000.json", import.meta.url);

/** Writes a driver and a manifest for it into the lab; the manifest's path. */
async function write(lab: Lab, source: string): Promise<string> {
  const manifest = JSON.parse(await Deno.readTextFile(SHIPPED));
  const changes = { name: "hostile", driver: "drivers/hostile/driver.ts", spare: false };
  await sh(lab, "mkdir -p /tmp/drivers/hostile");
  await lab.exec(["tee", "/tmp/drivers/hostile/driver.ts"], { stdin: source });
  await lab.exec(["tee", "/tmp/hostile.json"], { stdin: JSON.stringify({ ...manifest, ...changes }) });
  return "/tmp/hostile.json";
}

/** A driver that makes every attempt when it is brought up, and says what came of each. */
const HOSTILE = `import { defineDriver } from "/ring3/src/driver/mod.ts";
const attempts = [${
  LANGUAGE_ATTEMPTS.map(({ source }) => `async (device: any, port: any) => {\n${source}\n},`).join("\n")
}];
export default defineDriver<any>({
  class: "net",
  async bringUp(device, port) {
    for (const [index, attempt] of attempts.entries()) {
      const said = await attempt(device, port).then(() => "done", String);
      device.log(\`attempt \${index}: \${said}\`);
    }
    port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 9), maxMtu: 1500, features: {}, maxSegments: 1 });
    return port;
  },
  configure() {},
  interrupt() {},
  poll({ tx, rx }) {
    tx.available();
    rx.available();
    return false;
  },
});
`;

Deno.test("the language wall stands in the lab", async (t) => {
  await using lab = await boot({}, { progress: silent });
  await t.step("every attempt throws, and the driver carries on", async () => {
    await using run = await ready(lab, [await write(lab, HOSTILE)]);
    const said = run.events.flatMap((event) =>
      event.type === "log" && event.text.startsWith("attempt ")
        ? [event.text.replace(/^attempt \d+: /, "")]
        : []
    );
    assertEquals(said.length, LANGUAGE_ATTEMPTS.length);
    for (const [index, { name, expect }] of LANGUAGE_ATTEMPTS.entries()) {
      assertMatch(said[index], expect, name);
    }
    assertEquals(await run.stop(), { code: 0, stderr: "" });
  });
  await t.step("a driver that imports what it may not does not start, and one line says so", async () => {
    const { code, stderr } = await fails(lab, [await write(lab, `\nimport "node:fs";`)]);
    assertStringIncludes(
      stderr,
      "ring3: Cannot load /tmp/drivers/hostile/driver.ts: line 2 imports node:fs; a driver imports files of " +
        "its own folder, /ring3/src/driver/mod.ts and packages that its manifest names",
    );
    assertEquals([code, stderr.trimEnd().split("\n").length], [1, 1]);
  });
  await assertNothingLeft(lab);
  assertHealthy(lab);
});
