/** Memory shared between processes, with the real libring3: made, passed on, sealed, and read after a SIGKILL. */
import { assert, assertEquals, assertThrows } from "@std/assert";
import { buildFfi } from "../../src/build.ts";
import { RECORDED } from "../../src/host/recorder.ts";
import { ControlSocket, KernelError, mapMemory, openLibrary, SharedMemory } from "../../src/kernel/mod.ts";
import { Recording } from "../../src/supervisor/recording.ts";

const library = openLibrary(`${await buildFfi()}/libring3.so`);
const RECORDS = new URL("./inside/records.ts", import.meta.url).pathname;

/** Descriptors that this process has open. */
function descriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

Deno.test("what is written in a mapping is what is copied, also once the descriptor passed on is closed", () => {
  const before = descriptors();
  {
    using memory = new SharedMemory(library, 100_000);
    assertEquals(memory.copy(), new Uint8Array(100_000));
    const words = new Uint32Array(
      mapMemory(library, memory.fd, { length: memory.length, action: "Cannot map" }),
      0,
      25_000,
    );
    words[0] = 1;
    words[24_999] = 0x01020304;
    const copy = memory.copy();
    assertEquals([copy[0], ...copy.subarray(-4)], [1, 4, 3, 2, 1]);
  }
  assertEquals(descriptors(), before);
});

Deno.test("its size cannot be changed, so that no reader of a mapping is killed by it", async () => {
  using memory = new SharedMemory(library, 65_536);
  const path = `/proc/${Deno.pid}/fd/${memory.fd}`;
  for (const size of [0, 65_536, 131_072]) {
    const { success } = await new Deno.Command("truncate", {
      args: ["--no-create", `--size=${size}`, path],
      stderr: "null",
    }).output();
    assertEquals(success, size === memory.length, `truncate to ${size}`);
  }
  assertEquals(memory.copy().length, 65_536);
});

Deno.test("a sealed library makes no memory, and once what it was sealed for is mapped, maps none", async () => {
  const { code, stdout } = await run("sealed", -1).output();
  assertEquals([code, new TextDecoder().decode(stdout)], [0, "not permitted\ndone\nnot permitted\n"]);
});

Deno.test("a descriptor that is none is an error", () => {
  assertThrows(
    () => mapMemory(library, -1, { length: 65_536, action: "Cannot map it" }),
    KernelError,
    "map it",
  );
});

Deno.test("nothing is sent over a socket that is closed, whoever has its number by then", () => {
  const { ours, theirs } = ControlSocket.pair(library);
  ours[Symbol.dispose]();
  library.r3_close(theirs);
  const next = ControlSocket.pair(library);
  using control = next.ours;
  using other = new ControlSocket(library, next.theirs);
  assertThrows(() => ours.send({ type: "leave" }), KernelError, "Cannot send to the driver process: closed");
  ours[Symbol.dispose]();
  control.send({ type: "stays open" });
  assertEquals(other.receive({ nonblock: true })?.message, { type: "stays open" });
  assertEquals(control.receive({ nonblock: true }), undefined);
});

/** The process at the other end. */
function run(what: string, fd: number): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", RECORDS, what, `${fd}`],
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  });
}

Deno.test("killed in the middle of its accesses, a process leaves all of them but the one it was at", async () => {
  for (let round = 0; round < 3; round++) {
    using recording = new Recording(library);
    const { ours, theirs } = ControlSocket.pair(library);
    using control = ours;
    const child = run("record", theirs).spawn();
    library.r3_close(theirs);
    control.send({ type: "record" }, { fd: recording.fd });
    // Its first word is that it has wrapped around; from then on it only accesses registers.
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGKILL");
    await reader.cancel();
    await child.status;
    const accesses = recording.accesses();
    assert(accesses.length >= RECORDED - 1, `${accesses.length} accesses are left`);
    for (const [i, { sequence, value, offset, bar, write }] of accesses.entries()) {
      // Store n puts n into BAR 3 at 0x40; the load after it finds it there.
      assertEquals({ value, offset, bar, write }, {
        value: sequence >>> 1,
        offset: 0x40,
        bar: 3,
        write: sequence % 2 === 0,
      });
      if (i > 0) assertEquals(sequence, accesses[i - 1].sequence + 1);
    }
  }
});
