/** What a supervisor leaves on this machine while it runs, and what becomes of what killed ones left. */
import { assert, assertEquals } from "@std/assert";
import { lines } from "../../src/lines.ts";
import { pause } from "../../src/pause.ts";
import { forgetPrevious, previousDriver, rememberPrevious } from "../../src/supervisor/held_devices.ts";
import { Notifier } from "../../src/supervisor/notify.ts";
import { Output } from "../../src/supervisor/output.ts";
import { RunFolder, runningSupervisors, startTime } from "../../src/supervisor/run_folder.ts";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "ring3-run-" });
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Writes what a supervisor that is no more has left. */
async function leave(runtime: string, said: { pid: number; started: number }): Promise<void> {
  const folder = `${runtime}/supervisors/${said.pid}`;
  await Deno.mkdir(`${folder}/versions`, { recursive: true });
  await Deno.writeTextFile(`${folder}/supervisor.json`, JSON.stringify({ ...said, url: null, state: "/s" }));
}

Deno.test("a supervisor is found while it runs", () =>
  withFolder(async (runtime) => {
    const options = { runtime };
    assertEquals(await runningSupervisors(options), []);
    {
      await using folder = await RunFolder.make(options);
      assertEquals(await runningSupervisors(options), [], "it has not said so yet");
      await folder.tell({ url: "http://127.0.0.1:7333/", state: "/var/lib/ring3" });
      const started = (await startTime(Deno.pid))!;
      assertEquals(await runningSupervisors(options), [
        { pid: Deno.pid, started, url: "http://127.0.0.1:7333/", state: "/var/lib/ring3" },
      ]);
      assertEquals((await Deno.stat(`${folder.path}/supervisor.json`)).mode! & 0o777, 0o644);
    }
    assertEquals(await Array.fromAsync(Deno.readDir(`${runtime}/supervisors`)), []);
  }));

Deno.test("what killed supervisors have left is passed over, and removed by the next", () =>
  withFolder(async (runtime) => {
    const gone = new Deno.Command("true").spawn();
    await gone.status;
    await leave(runtime, { pid: gone.pid, started: 1 });
    // Its number has gone to another process since, here to one that runs for sure.
    await leave(runtime, { pid: Deno.ppid, started: (await startTime(Deno.ppid))! - 1 });
    await Deno.mkdir(`${runtime}/supervisors/${Deno.pid}/versions/old`, { recursive: true });
    const alive = new Deno.Command("sleep", { args: ["60"] }).spawn();
    try {
      await leave(runtime, { pid: alive.pid, started: (await startTime(alive.pid))! });
      assertEquals((await runningSupervisors({ runtime })).map(({ pid }) => pid), [alive.pid]);
      await using folder = await RunFolder.make({ runtime });
      const left = await Array.fromAsync(Deno.readDir(`${runtime}/supervisors`), ({ name }) => name);
      assertEquals(left.sort(), [`${alive.pid}`, `${Deno.pid}`].sort());
      assertEquals(
        await Array.fromAsync(Deno.readDir(folder.path)),
        [],
        "nor is anything of the old one there",
      );
    } finally {
      alive.kill();
      await alive.status;
    }
  }));

Deno.test("one that says that it runs while another begins keeps its folder", () =>
  withFolder(async (runtime) => {
    const proc = `${runtime}/proc`;
    const other = Deno.pid + 1;
    await Deno.mkdir(`${runtime}/supervisors/${other}`, { recursive: true });
    await Deno.mkdir(`${proc}/${Deno.pid}`, { recursive: true });
    await Deno.mkdir(`${proc}/${other}`);
    const stat = `1 (deno) ${Array.from({ length: 50 }, (_, index) => index + 3).join(" ")}\n`;
    await Deno.writeTextFile(`${proc}/${Deno.pid}/stat`, stat);
    // Whoever looks whether the other lives waits here until it has spoken.
    await new Deno.Command("mkfifo", { args: [`${proc}/${other}/stat`] }).output();
    const making = RunFolder.make({ runtime, proc });
    const looked = await Deno.open(`${proc}/${other}/stat`, { write: true });
    await leave(runtime, { pid: other, started: 22 });
    await looked.write(new TextEncoder().encode(stat));
    looked.close();
    await using _ = await making;
    await Deno.stat(`${runtime}/supervisors/${other}/supervisor.json`);
  }));

Deno.test("the start of a process is told, whatever it is called", () =>
  withFolder(async (proc) => {
    await Deno.mkdir(`${proc}/7`);
    const fields = Array.from({ length: 50 }, (_, index) => index + 3).join(" ");
    await Deno.writeTextFile(`${proc}/7/stat`, `7 (a) b (c) ${fields}\n`);
    assertEquals(await startTime(7, { proc }), 22);
    assertEquals(await startTime(8, { proc }), undefined);
  }));

Deno.test("the driver that a device came from is known until it is given back", () =>
  withFolder(async (parent) => {
    const folder = `${parent}/devices`;
    const address = "0000:01:00.0";
    assertEquals(await previousDriver(address, { folder }), null);
    await rememberPrevious(address, "e1000", { folder });
    assertEquals(await previousDriver(address, { folder }), "e1000");
    await rememberPrevious(address, null, { folder });
    assertEquals(await previousDriver(address, { folder }), null);
    await forgetPrevious(address, { folder });
    await forgetPrevious(address, { folder });
    assertEquals(await Array.fromAsync(Deno.readDir(folder)), []);
  }));

Deno.test("systemd hears of readiness, and of life as often as it wants", () =>
  withFolder(async (folder) => {
    const manager = Deno.listenDatagram({ transport: "unixpacket", path: `${folder}/manager` });
    const heard = async () => new TextDecoder().decode((await manager.receive())[0]);
    Deno.env.set("NOTIFY_SOCKET", `${folder}/gone`);
    using unheard = Notifier.open({ own: `${folder}/own` });
    await unheard.tell("STATUS=unheard");
    Deno.env.set("NOTIFY_SOCKET", `${folder}/manager`);
    Deno.env.set("WATCHDOG_USEC", "100000");
    try {
      // What a killed one has left is in the way of nobody.
      await Deno.writeTextFile(`${folder}/own`, "");
      using notifier = Notifier.open({ own: `${folder}/own` });
      await notifier.tell("RELOADING=1");
      assertEquals(await heard(), "RELOADING=1");
      const begun = performance.now();
      await notifier.ready("supervising e1000");
      assertEquals(await heard(), "READY=1\nSTATUS=supervising e1000");
      assertEquals(await heard(), "WATCHDOG=1");
      assertEquals(await heard(), "WATCHDOG=1");
      const took = performance.now() - begun;
      assert(took >= 80, `two signs of life within ${took} ms`);
    } finally {
      Deno.env.delete("NOTIFY_SOCKET");
      Deno.env.delete("WATCHDOG_USEC");
      manager.close();
    }
    using nobody = Notifier.open();
    await nobody.ready("unheard");
  }));

Deno.test("a reader that does not read costs lines, and no waiting", async () => {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  let taken = 0;
  {
    await using output = new Output(writable, { patience: 20 });
    while (output.line(`line ${taken}`)) taken++;
    assertEquals(taken, 4096);
  }
  const reader = readable.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "line 0\n");
  await reader.cancel();
});

Deno.test("a reader that is slow gets the last line too", async () => {
  const { readable, writable } = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>();
  const texts: string[] = [];
  const reading = (async () => {
    for await (const text of lines(readable)) {
      texts.push(text);
      await pause(30);
    }
  })();
  {
    await using output = new Output(writable);
    for (let number = 0; number < 20; number++) output.line(`line ${number}`);
  }
  // What is between the two is read ahead, or on its way: a process that ends leaves it in its pipe.
  assert(texts.length > 12, `${texts.length} of 20 lines were read before the end`);
  await writable.close();
  await reading;
  assertEquals(texts.at(-1), "line 19");
});
