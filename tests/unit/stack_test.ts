/** Stacks of drivers that run from a copy of their folder. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { cleanStack } from "../../src/supervisor/stack.ts";

const ROOT = "/run/ring3/versions/ab12";
const PLACES = { root: ROOT, folder: `${ROOT}/drivers/e1000`, source: "/home/me/drivers/e1000" };

Deno.test("frames of the copy are shown where they were written, others as paths", () => {
  const stack = [
    "DeviceError: Cannot reset: CTRL.RST still set",
    "    at bringUp (file:///run/ring3/versions/ab12/drivers/e1000/driver.ts:41:9)",
    "    at async file:///run/ring3/versions/ab12/drivers/e1000/lib/rings.ts:7:3",
    "    at Object.frame (file:///run/ring3/versions/ab12/home/me/programs/swap.ts:5:3)",
    "    at async Object.bringUp (file:///ring3/src/host/main.ts:92:15)",
    "    at file:///run/ring3/versions/ab123/driver.ts:1:1",
    "    at <anonymous>",
  ];
  assertEquals(cleanStack(stack.join("\n"), PLACES).split("\n"), [
    "DeviceError: Cannot reset: CTRL.RST still set",
    "    at bringUp (/home/me/drivers/e1000/driver.ts:41:9)",
    "    at async /home/me/drivers/e1000/lib/rings.ts:7:3",
    "    at Object.frame (/home/me/programs/swap.ts:5:3)",
    "    at async Object.bringUp (/ring3/src/host/main.ts:92:15)",
    "    at /run/ring3/versions/ab123/driver.ts:1:1",
    "    at <anonymous>",
  ]);
});

Deno.test("names that a URL escapes are as they are on disk, slashes at the end do not matter", () => {
  const places = { root: "/tmp/a", folder: "/tmp/a b/", source: "/tmp/é (1)/" };
  assertEquals(
    cleanStack("at x (file:///tmp/a%20b/my%20driver.ts:1:2)", places),
    "at x (/tmp/é (1)/my driver.ts:1:2)",
  );
});

Deno.test("what is no URL stays", () => {
  for (const stack of ["", "at file:///%zz:1:2", "file://", "at file:///a b"]) {
    assertEquals(cleanStack(stack, PLACES), stack);
  }
});

Deno.test("Deno maps a driver's stack to its TypeScript, with its permissions gone before it was loaded", async () => {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  try {
    await Deno.mkdir(`${folder}/copy`);
    await Deno.writeTextFile(
      `${folder}/copy/driver.ts`,
      [
        "interface State {",
        "  readonly a: number;",
        "  readonly b: string;",
        "}",
        "enum Mode { One, Two }",
        "export default function poll(state: State): Mode {",
        "  const mode: Mode = state.a as Mode;",
        "  if (mode === Mode.Two) throw new TypeError(`${state.b}`);",
        "  return mode;",
        "}",
      ].join("\n"),
    );
    // As src/host/main.ts does it: revoke, then import what the import map names.
    await Deno.writeTextFile(
      `${folder}/main.ts`,
      'for (const name of ["read", "env", "sys"] as const) Deno.permissions.revokeSync({ name });\n' +
        'const { default: poll } = await import("ring3-driver");\n' +
        'try { poll({ a: 1, b: "x" }); } catch (error) { console.log((error as Error).stack); }\n',
    );
    const map = JSON.stringify({ imports: { "ring3-driver": `file://${folder}/copy/driver.ts` } });
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm", "--quiet"]
        .concat(`--import-map=data:application/json,${encodeURIComponent(map)}`, `${folder}/main.ts`),
      env: { NO_COLOR: "1" },
    }).output();
    const stack = cleanStack(new TextDecoder().decode(stdout), {
      root: `${folder}/versions`,
      folder: `${folder}/copy`,
      source: "/drivers/mine",
    });
    assertStringIncludes(stack, "at poll (/drivers/mine/driver.ts:8:32)\n");
    assertStringIncludes(stack, `at ${folder}/main.ts:3:7\n`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
