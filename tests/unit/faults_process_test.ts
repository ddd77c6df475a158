/** Faults that end a process, or keep it, in processes of their own: and one in the sandbox that drivers get. */
import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { type DriverFault, faulty } from "../../src/faults/mod.ts";
import { EXIT_FAILED } from "../../src/host/messages.ts";
import { runHost } from "../fakes/host_run.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** A driver without a device, that is awake every few milliseconds. */
const DRIVER = `import { defineDriver, every } from "file://${ROOT}src/driver/mod.ts";
  const mac = new Uint8Array(6);
  export default defineDriver<any>({ class: "net",
    bringUp(_, port) {
      every(2, () => {});
      port.attach({ mac, maxMtu: 1500, features: {}, maxSegments: 1 });
      return Promise.resolve(port);
    },
    configure() {}, interrupt() {},
    poll({ tx, rx }) { tx.available(); rx.available(); return false; },
  });`;

/** That driver with a fault: its files. */
async function files(fault: DriverFault): Promise<Record<string, string>> {
  const root = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  try {
    await Deno.mkdir(`${root}/x`);
    await Deno.writeTextFile(`${root}/x/driver.ts`, DRIVER);
    await faulty(`${root}/x`, fault, { seed: 1, to: `${root}/faulty` });
    const found: Record<string, string> = {};
    for (const path of ["", "fault/"]) {
      for await (const { name, isFile } of Deno.readDir(`${root}/faulty/${path}`)) {
        if (isFile) found[path + name] = await Deno.readTextFile(`${root}/faulty/${path}${name}`);
      }
    }
    return found;
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("in a driver's sandbox a fault is told of and committed, once the driver is ready", async () => {
  const { code, messages } = await runHost(
    await files({ model: "code.throw", when: { after: 20, of: "ms" } }),
    {
      whenReady: () => new Promise((resolve) => setTimeout(resolve, 1000)),
    },
  );
  const said = messages.map((message) =>
    message.type === "log" ? message.text : message.type === "failed" ? message.message : message.type
  );
  assertEquals(said, [
    "waiting",
    "ready",
    "fault code.throw: throws, at one of its ms",
    "this exception was asked for",
  ]);
  assertStrictEquals(code, EXIT_FAILED);
});

Deno.test("a driver that takes memory without end, or leaves promises behind, ends for want of it", async () => {
  for (const fault of [{ model: "code.heap" }, { model: "code.leak", each: 100_000 }] as const) {
    const { code, messages, stderr } = await runHost(
      await files({ ...fault, when: { after: 3, of: "polls" } }),
      { whenReady: () => new Promise((resolve) => setTimeout(resolve, 2000)) },
    );
    assert(code !== 0 && code !== EXIT_FAILED, `${code}`);
    assertMatch(stderr, /out of memory/);
    assert(
      messages.some((message) => message.type === "log" && message.text.startsWith(`fault ${fault.model}: `)),
    );
  }
});

Deno.test("a driver that loops for ever does", async () => {
  const root = await Deno.makeTempDir({ prefix: "ring3-faulty-" });
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => Deno.remove(root, { recursive: true }));
  for (
    const [path, text] of Object.entries(await files({ model: "code.loop", when: { after: 3, of: "polls" } }))
  ) {
    await Deno.mkdir(`${root}/x/fault`, { recursive: true });
    await Deno.writeTextFile(`${root}/x/${path}`, text);
  }
  const program = `import driver from "./x/driver.ts";
    import { LoopClock, useClock } from "file://${ROOT}src/driver/clock.ts";
    useClock(new LoopClock());
    const channel = { available: () => 0 };
    const device = { log: console.log };
    const state = await driver.bringUp(device, { tx: channel, rx: channel, attach() {} });
    for (let i = 0; i < 5; i++) {
      console.log("poll", i);
      driver.poll(state, 64);
    }
    console.log("over");`;
  await Deno.writeTextFile(`${root}/program.ts`, program);
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--no-config", "--quiet", `${root}/program.ts`],
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let said = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  while (!said.includes("fault")) {
    const { value, done } = await reader.read();
    if (done) break;
    said += value;
  }
  const next = reader.read();
  const quiet = await Promise.race([
    next.then(() => false),
    new Promise<boolean>((resolve) => setTimeout(resolve, 300, true)),
  ]);
  child.kill("SIGKILL");
  assertStrictEquals((await child.status).signal, "SIGKILL");
  await next;
  await reader.cancel();
  assert(quiet);
  assertEquals(said.trim().split("\n"), [
    "poll 0",
    "poll 1",
    "poll 2",
    "poll 3",
    "fault code.loop: loops for ever, at one of its polls",
  ]);
});
