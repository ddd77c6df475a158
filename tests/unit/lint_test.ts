/** The project's lint rules: what they refuse and what they let pass. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import plugin from "../lint/ring3.ts";

/** Rules that a file breaks, in order, without the plugin's name. */
function broken(file: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, `/checkout/${file}`, source).map(({ id }) => id.replace("ring/", ""));
}

Deno.test("unsafe calls are refused in every form outside files named for them", () => {
  const forms = [
    "Deno.dlopen(path, {});",
    'Deno["dlopen"](path, {});',
    "Deno[`dlopen`](path, {});",
    "const { dlopen } = Deno;",
    "const { dlopen: open } = globalThis.Deno;",
    'const { "UnsafePointer": P } = Deno;',
    "new Deno.UnsafePointerView(p);",
    "Deno.UnsafePointer.of(b);",
    "new Deno.UnsafeCallback(d, f);",
    "new Deno.UnsafeFnPointer(p, d);",
    "globalThis.Deno.dlopen(path, {});",
    'self["Deno"].dlopen(path, {});',
  ];
  for (const form of forms) {
    assertEquals(broken("src/host/map.ts", form), ["unsafe-by-name"], form);
    assertEquals(broken("src/kernel/library.ts", form), ["unsafe-by-name"], form);
    assertEquals(broken("src/kernel/library_unsafe.ts", form), [], form);
  }
  assertEquals(
    broken("src/host/map.ts", "Deno.open(path); library.dlopen(path); const { open } = Deno;"),
    [],
  );
});

Deno.test("a driver imports the driver API and its own folder only", () => {
  const refused = [
    'import fs from "node:fs";',
    'import "https://127.0.0.1/a.ts";',
    'import "../../src/driver/registers.ts";',
    'import type { Device } from "../../src/driver/device.ts";',
    'import "../other/driver.ts";',
    'import "../e1000x/driver.ts";',
    'import "./../../src/kernel/claim.ts";',
    'export * from "../../src/host/loop.ts";',
    'export { a } from "node:net";',
    'await import("node:net");',
    "await import(name);",
    'await import("./registers.ts");',
    'type T = import("node:net").Socket;',
    'import "/checkout/drivers/e1000/registers.ts";',
  ];
  for (const form of refused) assertEquals(broken("drivers/e1000/driver.ts", form), ["driver-imports"], form);
  const allowed = [
    'import { defineDriver } from "../../src/driver/mod.ts";',
    'import { REG } from "./registers.ts";',
    'export { REG } from "./registers.ts";',
    "export const a = 1;",
    'import { z } from "zod";',
    'import * as z from "npm:@scope/zod@4.6.7/mini";',
  ];
  for (const form of allowed) assertEquals(broken("drivers/e1000/driver.ts", form), [], form);
  assertEquals(
    broken("drivers/e1000/phy/link.ts", 'import "../../../src/driver/mod.ts"; import "../registers.ts";'),
    [],
  );
  assertEquals(broken("src/host/loop.ts", refused.slice(0, 4).join("\n")), []);
});

Deno.test("only src/kernel imports unsafe files", () => {
  const source = 'import { open } from "../kernel/library_unsafe.ts";';
  assertEquals(broken("src/host/loop.ts", source), ["unsafe-imports"]);
  assertEquals(broken("tests/unit/x_test.ts", 'await import("../../src/kernel/library_unsafe.ts");'), [
    "unsafe-imports",
  ]);
  assertEquals(broken("src/kernel/claim.ts", source), []);
  const [found] = Deno.lint.runPlugin(plugin, "/checkout/src/host/loop.ts", source);
  assertStringIncludes(found.message, "library_unsafe.ts");
});
