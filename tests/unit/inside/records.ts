/** What tests run in a process of its own: `record FD` accesses registers until it is killed; `sealed` tries what seals forbid. */
import { registers, rw } from "../../../src/driver/mod.ts";
import { RECORD_LENGTH, RECORDED, RecordedRegisters, Recorder } from "../../../src/host/recorder.ts";
import { ControlSocket, mapMemory, openLibrary, SharedMemory } from "../../../src/kernel/mod.ts";

const library = openLibrary(new URL("../../../build/ffi/libring3.so", import.meta.url).pathname);
const [what, fd] = Deno.args;

function said(work: () => unknown): void {
  try {
    work();
    console.log("done");
  } catch (error) {
    console.log((error as Error).message.replace(/^.*: /, ""));
  }
}

if (what === "sealed") {
  const memory = new SharedMemory(library, RECORD_LENGTH);
  library.r3_seal(library.r3_memory(0n));
  said(() => new SharedMemory(library, RECORD_LENGTH));
  const map = () => mapMemory(library, memory.fd, { length: RECORD_LENGTH, action: "Cannot map" });
  said(map);
  library.r3_seal_mapped();
  said(map);
} else {
  const received = new ControlSocket(library, Number(fd)).receive()!;
  const memory = mapMemory(library, received.fd, { length: RECORD_LENGTH, action: "Cannot map" });
  library.r3_close(received.fd);
  const map = registers({ A: rw(0x40) });
  const recorder = new Recorder(new Uint32Array(memory));
  const regs = new RecordedRegisters(new Uint32Array(64), { map, name: "BAR 3", bar: 3, recorder });
  for (let i = 0;; i++) {
    regs.write(map.A, i);
    regs.read(map.A);
    if (i === RECORDED) console.log("recording");
  }
}
