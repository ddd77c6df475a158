/**
 * The process that runs one driver: gives up every permission, waits for its grant, maps what it holds, seals
 * the library, and only then loads the driver, whose first line finds typed arrays and nothing else.
 *
 * Started by the supervisor as `deno run … src/host/main.ts LIBRARY CONTROL_FD FILTER_FD`, with an import map that
 * says what `ring3-driver` is: a literal specifier is part of the module graph, so that importing it needs
 * no permission that would have to outlast the seal.
 */
import { check, ControlSocket, Grant, type Library, mapMemory, openLibrary } from "../kernel/mod.ts";
import { commitFault } from "./fault.ts";
import {
  type ControlMessage,
  EXIT_FAILED,
  type HostMessage,
  MAX_TEXT,
  type RecordMessage,
  type StartMessage,
} from "./messages.ts";
import { RECORD_LENGTH, Recorder } from "./recorder.ts";
import { rehearse } from "./rehearsal.ts";
import { runDriver } from "./run.ts";

// Taken before the driver is loaded, so that it cannot replace them.
const { writeSync } = Deno.stdout;
const stdout = Deno.stdout;
const { stringify } = JSON;
const encoder = new TextEncoder();
const exit: (code?: number) => never = Deno.exit;

function say(message: HostMessage): void {
  const line = encoder.encode(stringify(message) + "\n");
  for (let at = 0; at < line.length;) at += writeSync.call(stdout, line.subarray(at));
}

function log(message: string): void {
  say({ type: "log", text: String(message).slice(0, MAX_TEXT) });
}

function fail(thrown: unknown): never {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  say({
    type: "failed",
    error: error.name.slice(0, MAX_TEXT),
    message: error.message.slice(0, MAX_TEXT),
    stack: (error.stack ?? "").slice(0, MAX_TEXT),
  });
  exit(EXIT_FAILED);
}

/** Gives up every permission for good: what is not granted now is denied without asking. */
function revokeAll(): void {
  for (const name of ["read", "write", "net", "env", "run", "ffi", "sys", "import"] as const) {
    // `import` is not in Deno's types yet.
    Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
  }
}

function mapRecord(library: Library, fd: number): SharedArrayBuffer {
  const memory = mapMemory(library, fd, { length: RECORD_LENGTH, action: "Cannot map the record" });
  library.r3_close(fd);
  return memory;
}

/** Has what starts only when it is first needed, and takes a system call that will be denied, started now. */
function startAll(): void {
  const nothing = () => {};
  // Deno makes the socket over which it hears of signals; its event loop wants one of them soon or late.
  Deno.addSignalListener("SIGUSR1", nothing);
  Deno.removeSignalListener("SIGUSR1", nothing);
}

async function main([libraryPath, controlFd, filterFd]: string[]): Promise<never> {
  const library = openLibrary(libraryPath);
  startAll();
  const control = new ControlSocket(library, Number(controlFd));
  revokeAll();
  await rehearse();
  say({ type: "waiting" });
  let received = control.receive();
  let recorder: Recorder | undefined;
  if ((received?.message as RecordMessage | StartMessage | undefined)?.type === "record") {
    recorder = new Recorder(new Uint32Array(mapRecord(library, received!.fd)));
    received = control.receive();
  }
  if (!received) exit(0);
  console.log =
    console.info =
    console.warn =
    console.error =
      (...args: unknown[]) => log(args.map(String).join(" "));
  return await runDriver(new Grant(library, received.fd), {
    start: received.message as StartMessage,
    recorder,
    seal: () => void check(library.r3_seal(Number(filterFd)), "Cannot seal the process"),
    load: async () => (await import("ring3-driver")).default,
    log,
    onReady: () => say({ type: "ready" }),
    onSignal: () => {
      for (;;) {
        const received = control.receive({ nonblock: true });
        if (received === undefined) return;
        const message = received?.message as ControlMessage | undefined;
        // Without a supervisor, or asked to leave: here, between two batches, all is handed over.
        if (!message || message.type === "leave") exit(0);
        commitFault(message.how);
      }
    },
  });
}

addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});

await main(Deno.args).catch(fail);
