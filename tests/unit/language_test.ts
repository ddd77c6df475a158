/** The language wall: what a driver finds in its realm, in real driver processes. */
import { builtinModules } from "node:module";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { PERMISSIONS } from "../../src/host/permissions.ts";
import { LANGUAGE_ATTEMPTS } from "../../src/walls/language_attempts.ts";
import { type HostEnd, runHost } from "../fakes/host_run.ts";

/** A driver that does this when it is brought up, and then idles. */
function driver(bringUp: string, before = ""): Record<string, string> {
  return {
    "driver.ts": `import { defineDriver, type Device, type NetPort, sleep, until } from "RING3";
${before}
async function bringUp(device: Device, port: NetPort): Promise<NetPort> {
  ${bringUp}
  port.attach({ mac: Uint8Array.of(2, 0, 0, 0, 0, 1), maxMtu: 1500, features: {}, maxSegments: 1 });
  return port;
}
export default defineDriver<NetPort>({
  class: "net",
  bringUp,
  configure() {},
  interrupt() {},
  poll(port) {
    port.tx.available();
    port.rx.available();
    return false;
  },
});
`,
  };
}

function logs({ messages }: HostEnd): string[] {
  return messages.flatMap((message) => message.type === "log" ? [message.text] : []);
}

function failure({ messages }: HostEnd) {
  return messages.find((message) => message.type === "failed");
}

Deno.test("every attempt to get out of the language throws, and the host carries on", async (t) => {
  const attempts = LANGUAGE_ATTEMPTS.map(({ source }) =>
    `async (device: any, port: any) => {\n${source}\n},`
  );
  const end = await runHost(driver(
    `for (const attempt of attempts) {
      try { await attempt(device, port); device.log("done"); } catch (error) { device.log(String(error)); }
    }`,
    `const attempts = [\n${attempts.join("\n")}\n];`,
  ));
  assertEquals([end.code, end.stderr, failure(end)], [0, "", undefined]);
  assert(end.messages.some(({ type }) => type === "ready"));
  const said = logs(end);
  assertEquals(said.length, LANGUAGE_ATTEMPTS.length);
  assertEquals(new Set(LANGUAGE_ATTEMPTS.map(({ name }) => name)).size, LANGUAGE_ATTEMPTS.length);
  for (const [index, { name, expect }] of LANGUAGE_ATTEMPTS.entries()) {
    await t.step(name, () => assertMatch(said[index], expect));
  }
});

Deno.test("a driver's modules have run when it waits for its grant, and nothing is read after that", async () => {
  const files = {
    ...driver(
      `device.log("brought up");`,
      `import { first } from "./first.ts"; console.log("second " + first);`,
    ),
    "first.ts":
      `console.log("first"); await sleepless(); export const first = 1; async function sleepless() { await 0; }`,
  };
  const end = await runHost(files, { whenWaiting: (folder) => Deno.remove(folder, { recursive: true }) });
  assertEquals(end.messages.map((message) => message.type === "log" ? message.text : message.type), [
    "first",
    "second 1",
    "waiting",
    "brought up",
    "ready",
  ]);
});

Deno.test("nor does its top level load anything more, although Deno's event loop turns for it", async () => {
  const builtins = builtinModules.map((name) => name.startsWith("node:") ? name : `node:${name}`);
  const others = [
    "file:///etc/passwd",
    "https://127.0.0.1/a.js",
    "npm:zod",
    "jsr:@std/assert",
    "ext:core/ops",
    "fs",
  ];
  const end = await runHost(driver(
    "",
    `for (const specifier of ${JSON.stringify([...builtins, ...others])}) {
      await import(specifier).then(() => console.log(specifier), () => {});
    }
    // Its own text as a module, for what that is worth.
    const { default: data } = await import("data:text/javascript,export default " +
      "[typeof Deno, await import('node:fs').catch((error) => error.message.slice(0, 15))]");
    console.log(data.join());`,
  ));
  assertEquals([failure(end), builtins.length > 60], [undefined, true]);
  assertEquals(logs(end), ["undefined,Blocked by null"]);
});

Deno.test("what a driver throws is told with its place, in its own lines", async () => {
  for (
    const [files, place] of [
      [driver(`throw new RangeError("no such thing");`, "interface A {\n  a: string;\n}\n"), "driver.ts:7:9"],
      [driver("", `interface A {\n  a: string;\n}\nthrow new RangeError("no such thing");`), "driver.ts:5:7"],
    ] as const
  ) {
    const end = await runHost(files);
    const failed = failure(end)!;
    assertEquals([end.code, failed.error, failed.message], [70, "RangeError", "no such thing"]);
    assert(failed.stack.includes(place), failed.stack);
  }
});

Deno.test("a driver that cannot be loaded is told of before it waits", async () => {
  const end = await runHost(driver("", `import { none } from "./other.ts"; none();`));
  assertEquals(end.messages.map(({ type }) => type), ["failed"]);
  assertMatch(failure(end)!.message, /Module not found/);
});

Deno.test("an error that lies about itself is still told", async () => {
  const end = await runHost(driver(
    `throw Object.defineProperties(new Error("x"), {
      name: { get() { throw 1; } }, message: { value: { toString: () => "y" } }, stack: { value: 3 } });`,
  ));
  assertEquals([end.code, failure(end)], [
    70,
    { type: "failed", error: "Error", message: "y", stack: "3" },
  ]);
});

Deno.test("a driver that awaits what cannot come is ended with words", async () => {
  const end = await runHost(driver("await new Promise(() => {});"));
  assertMatch(failure(end)!.message, /^Cannot bring the device up: the driver awaits what never comes/);
});

Deno.test("timers run on the driver's clock, and what they throw ends it", async () => {
  const end = await runHost(
    driver(`
    const order: string[] = [];
    let last: (value?: unknown) => void;
    const over = new Promise((resolve) => last = resolve);
    setTimeout((text: string) => { order.push(text); last(); }, 400, "b");
    setTimeout(() => order.push("a"), 5);
    clearTimeout(setTimeout(() => order.push("never"), 5));
    const every = setInterval(() => { if (order.push("i") === 3) clearInterval(every); }, 8);
    const signal = AbortSignal.timeout(10);
    await sleep(22);
    await over;
    device.log(order.join("") + signal.aborted + (signal.reason as Error).name);
    setTimeout(() => { throw new RangeError("late"); }, 5);
  `),
    { whenReady: () => new Promise((resolve) => setTimeout(resolve, 500)) },
  );
  assertEquals(logs(end), ["aiibtrueTimeoutError"]);
  assertEquals([end.code, failure(end)?.message], [70, "late"]);
});

Deno.test("what a microtask throws ends the driver", async () => {
  const end = await runHost(
    driver(`queueMicrotask(() => { throw new RangeError("soon"); }); await sleep(50);`),
    {
      whenReady: () => new Promise((resolve) => setTimeout(resolve, 200)),
    },
  );
  assertEquals([end.code, failure(end)?.message], [70, "soon"]);
});

Deno.test("ordinary code works in a realm that cannot be changed", async () => {
  const end = await runHost(driver(`
    class Animal { name = "x"; toString() { return "animal " + this.name; } }
    class Cat extends Animal { override toString() { return "cat: " + super.toString(); } }
    class OwnError extends Error { override name = "OwnError"; constructor(text: string) { super(text); this.message += "!"; } }
    function Old(this: any) {}
    Old.prototype.toString = () => "old";
    Old.prototype.constructor = Old;
    const error = new TypeError("a");
    error.name = "Renamed";
    error.message = "b";
    const counts: Record<string, unknown> = {};
    for (const word of ["toString", "constructor", "valueOf"]) counts[word] = word;
    const copy = structuredClone({ a: new Map([[1, new Uint8Array([1, 2])]]) });
    const { a, ...rest } = JSON.parse('{"a":1,"toString":2,"__proto__":3}');
    device.log(JSON.stringify([
      String(new Cat()), String(new OwnError("o")), String(new (Old as any)()), String(error), Object.keys(counts).join(),
      copy.a.get(1)!.join(), a, rest.toString, [3, 1, 2].sort().map((n) => n * 2).join(), [...new Set([1, 1])].length,
      new Date(0).toISOString(), "a1b2".replace(/\\d/g, (d) => "<" + d + ">"), new URL("a?b=c", "x://y/").searchParams.get("b"),
      new TextDecoder().decode(new TextEncoder().encode("ä")), crypto.randomUUID().length, performance.now() > 0,
      Object.prototype.toString.call([]), \`\${[1, [2]]}\`, Number("0x10"), (await Promise.all([1, Promise.resolve(2)])).length,
      Object.keys(new (class { constructor() { (this as any).valueOf = 1; } })()),
    ]));
  `));
  assertEquals(failure(end), undefined);
  assertEquals(JSON.parse(logs(end)[0]), [
    "cat: animal x",
    "OwnError: o!",
    "old",
    "Renamed: b",
    "toString,constructor,valueOf",
    "1,2",
    1,
    2,
    "2,4,6",
    1,
    "1970-01-01T00:00:00.000Z",
    "a<1>b<2>",
    "c",
    "ä",
    36,
    true,
    "[object Array]",
    "1,2",
    16,
    2,
    ["valueOf"],
  ]);
});

Deno.test("whatever the language gives is frozen, and every global bound for good", async () => {
  const end = await runHost(driver(`
    const found = new Map<object, string>();
    const look = (value: unknown, path: string) => {
      if (Object(value) !== value || found.has(value as object) || value === globalThis) return;
      found.set(value as object, path);
      look(Object.getPrototypeOf(value), path + ".__proto__");
      for (const key of Reflect.ownKeys(value as object)) {
        const own = Object.getOwnPropertyDescriptor(value, key)!;
        for (const part of ["value", "get", "set"] as const) look(own[part], path + "." + String(key));
      }
    };
    for (const key of Reflect.ownKeys(globalThis)) {
      const own = Object.getOwnPropertyDescriptor(globalThis, key)!;
      if (own.configurable || own.writable) device.log(String(key) + " can be bound anew");
      look(own.value, String(key));
    }
    look(Object.getPrototypeOf(globalThis), "globalThis.__proto__");
    const samples = {
      generator: function* () {}, asyncGenerator: async function* () {}, async: async () => {}, error: new Error(),
      matches: "".matchAll(/a/g), map: new Map().keys(), set: new Set().keys(), string: ""[Symbol.iterator](),
      helper: [1].values().filter(() => true), wrapped: Iterator.from({ next: () => ({ done: true, value: 1 }) }),
      stack: new DisposableStack(), url: new URL("a:b").searchParams.keys(), 
    };
    for (const [name, sample] of Object.entries(samples)) look(Object.getPrototypeOf(sample), name);
    for (const part of [device, port, port.tx]) look(Object.getPrototypeOf(part), part.constructor.name);
    for (const [object, path] of found) if (!Object.isFrozen(object)) device.log(path + " is not frozen");
    device.log("looked at more than 900: " + (found.size > 900) + " " + found.size);
  `));
  assertEquals(failure(end), undefined);
  assertEquals(logs(end).length, 1, logs(end).slice(0, 20).join("\n"));
  assertMatch(logs(end)[0], /: true/);
});

Deno.test("every permission that this Deno has is given up", async () => {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--help"],
    env: { NO_COLOR: "1" },
  })
    .output();
  const named = new Set(new TextDecoder().decode(stdout).matchAll(/--deny-(\w+)/g).map(([, name]) => name));
  assert(named.size >= 8, [...named].join());
  assertEquals([...named].sort(), [...PERMISSIONS].sort());
});
