/**
 * The process that runs one driver: gives up every permission, loads the driver without running it, makes the
 * realm unchangeable, seals the process, and only then runs the driver's modules, which find a language and
 * nothing else. It waits for its grant, maps what that holds, seals that too, and has the driver bring it up.
 *
 * Started by the supervisor as `deno run … src/host/main.ts LIBRARY CONTROL_FD FILTER_FD MODULE …`, with an import map
 * that says what `ring3-driver` and `ring3-program` are: a literal specifier is part of the module graph, so that
 * importing it needs no permission that would have to outlast the seal. The modules are all that are part of that
 * graph, by URL.
 */
import { LoopClock, useClock } from "../driver/clock.ts";
import * as api from "../driver/mod.ts";
import { Port } from "../driver/ports.ts";
import { MappedRegisters } from "../driver/registers.ts";
import {
  check,
  ControlSocket,
  Grant,
  KernelError,
  type Library,
  mapMemory,
  openLibrary,
} from "../kernel/mod.ts";
import { GrantedDevice } from "./device.ts";
import { commitFault } from "./fault.ts";
import { limitGlobals } from "./globals.ts";
import { HALTED } from "./halted.ts";
import { harden } from "./harden.ts";
import {
  type ControlMessage,
  EXIT_FAILED,
  type HostMessage,
  MAX_TEXT,
  type RecordMessage,
  type StartMessage,
} from "./messages.ts";
import { GrantedBlockPort } from "./block_port.ts";
import { GrantedNetPort } from "./net_port.ts";
import { revokePermissions } from "./permissions.ts";
import { GrantedPorts, PortBatch } from "./ports.ts";
import { RawPort } from "./raw_port.ts";
import { RECORD_LENGTH, RecordedRegisters, Recorder } from "./recorder.ts";
import { rehearse } from "./rehearsal.ts";
import { runDriver } from "./run.ts";
import { loadSourceMaps } from "./source_maps.ts";

// Taken while there is a `Deno`.
const { writeSync } = Deno.stdout;
const stdout = Deno.stdout;
const encoder = new TextEncoder();
const exit: (code?: number) => never = Deno.exit;

function say(message: HostMessage): void {
  const line = encoder.encode(JSON.stringify(message) + "\n");
  for (let at = 0; at < line.length;) at += writeSync.call(stdout, line.subarray(at));
}

function log(message: string): void {
  say({ type: "log", text: String(message).slice(0, MAX_TEXT) });
}

/** What a driver threw need not be an error, nor give its parts without a throw of its own. */
function part(thrown: unknown, name: "name" | "message" | "stack"): string {
  try {
    if (!(thrown instanceof Error)) return name === "message" ? String(thrown).slice(0, MAX_TEXT) : "";
    return String(thrown[name] ?? "").slice(0, MAX_TEXT);
  } catch {
    return "";
  }
}

function fail(thrown: unknown): never {
  say({
    type: "failed",
    error: part(thrown, "name") || "Error",
    message: part(thrown, "message"),
    stack: part(thrown, "stack"),
  });
  exit(EXIT_FAILED);
}

/** Reads and links the driver and all that it imports. */
async function loadDriver(): Promise<void> {
  try {
    await import("./load_driver.ts");
  } catch (error) {
    if (error !== HALTED) throw error;
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

/** Classes that a driver meets, or whose objects it is given. */
const SHARED = [
  ...Object.values(api),
  GrantedBlockPort,
  GrantedDevice,
  GrantedNetPort,
  GrantedPorts,
  KernelError,
  LoopClock,
  MappedRegisters,
  Port,
  PortBatch,
  RawPort,
  RecordedRegisters,
  Recorder,
];

async function main([libraryPath, controlFd, filterFd, ...modules]: string[]): Promise<never> {
  const library = openLibrary(libraryPath);
  startAll();
  const control = new ControlSocket(library, Number(controlFd));
  revokePermissions();
  await rehearse();
  await loadDriver();
  loadSourceMaps(modules);
  // The time zone is read from a file when it is first asked for.
  new Date().getTimezoneOffset();
  limitGlobals(log);
  harden(SHARED);
  check(library.r3_seal(Number(filterFd)), "Cannot seal the process");
  const clock = new LoopClock(() => library.r3_now());
  useClock(clock);
  // From here on no file is read, and the event loop turns but once more, for both of these.
  const [{ default: driver }, { default: program }] = await Promise.all([
    import("ring3-driver"),
    import("ring3-program"),
  ]);
  say({ type: "waiting" });
  let received = control.receive();
  let recorder: Recorder | undefined;
  if ((received?.message as RecordMessage | StartMessage | undefined)?.type === "record") {
    recorder = new Recorder(new Uint32Array(mapRecord(library, received!.fd)));
    received = control.receive();
  }
  if (!received) exit(0);
  return await runDriver(new Grant(library, received.fd), {
    start: received.message as StartMessage,
    recorder,
    driver,
    clock,
    seal: () => void check(library.r3_seal_mapped(), "Cannot seal the process"),
    raw: { program, onTraffic: say },
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
