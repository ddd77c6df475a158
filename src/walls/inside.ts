/**
 * Makes the attempts of native code, in the lab and as root: prepares what they are to reach, starts each in the
 * sandbox of a driver, and looks from outside at what has become of it. Reads the name of an attempt from each
 * line of standard input, and writes a line of JSON for each.
 *
 * Started by `src/supervisor/start.sh`, as the supervisor is: `inside.ts ADDRESS THIRD OTHER INTERFACE HOST`, with
 * the PCI addresses of the card to attack, of one with an MSI-X table, and of somebody else's, whose interface that
 * is.
 */
import { basename, dirname } from "node:path";
import {
  type Claim,
  ControlSocket,
  type GrantRequest,
  KernelError,
  type Library,
  openLibrary,
  Ring3,
  uapi,
} from "../kernel/mod.ts";
import { lines } from "../lines.ts";
import { CGROUP_VARIABLE } from "../machine.ts";
import { type Wall, WALLS } from "../manifest/mod.ts";
import { bind, release } from "../pci.ts";
import { builtFiles, loadModule } from "../run/files.ts";
import { bringUp, interfaceOf } from "../run/interface.ts";
import { uidOf } from "../supervisor/device.ts";
import { launchArguments, parseLaunched } from "../supervisor/sandbox.ts";
import { checkout } from "../lab/checkout.ts";
import type { AttemptResult, Stopped } from "./attempt.ts";
import { GRANT_ATTEMPTS, type GrantAttempt } from "./grant_attempts.ts";
import {
  LIMITS,
  NATIVE_ATTEMPTS,
  type NativeAttempt,
  NEW_FILE,
  type Setting,
  SHARED_FILE,
} from "./native_attempts.ts";
import { pause } from "../pause.ts";

/** The program of `src/walls/native/`. */
const PROGRAM = `${checkout()}/build/walls/attempt`;

/** Half of the first BAR of an 82545EM, so that there is something behind the window. */
const WINDOW = 64 * 1024;

const REQUEST: GrantRequest = {
  windows: [{ bar: 0, offset: 0, length: WINDOW }],
  irqs: 1,
  irqType: uapi.IRQ_TYPE.intx,
  dmaBits: 64,
  dmaLimit: 2 ** 20,
  stallMs: 500,
};

/** Longest time that an attempt may take, and that what it leaves may take to go, milliseconds. */
const DEADLINE = 30_000;
const GONE = 3000;

/** How long the use of processors is measured, milliseconds. */
const MEASURED = 2000;

/** What the program says: a wish, or how it went. */
type Word = { ask: string } | { error: string | null; detail: string };

const END_NAMES = Object.fromEntries(Object.entries(uapi.END).map(([name, number]) => [number, name]));

/** A process with something that others are to reach, until it is asked what has become of that. */
class Victim {
  readonly setting: Setting["victim"];
  readonly #said: AsyncGenerator<string>;
  readonly #child: Deno.ChildProcess;

  private constructor(setting: Setting["victim"], parts: {
    child: Deno.ChildProcess;
    said: AsyncGenerator<string>;
  }) {
    this.setting = setting;
    this.#child = parts.child;
    this.#said = parts.said;
  }

  static async keep(): Promise<Victim> {
    const child = new Deno.Command(PROGRAM, { args: ["victim"], stdin: "piped", stdout: "piped" }).spawn();
    const said = lines(child.stdout);
    const { value, done } = await said.next();
    if (done) throw new Error("Cannot keep a secret to be read: its keeper did not start");
    return new Victim(JSON.parse(value), { child, said });
  }

  /** Ends it; what others have done to it, a line each. */
  async look(): Promise<string[]> {
    await this.#child.stdin.close().catch(() => {});
    const { value, done } = await this.#said.next();
    if (done) return ["the process that was to be reached has ended"];
    await this.#child.status;
    const { visitors, unchanged } = JSON.parse(value) as { visitors: number; unchanged: boolean };
    return [
      ...visitors > 0 ? [`${visitors} connections came to a process of root's`] : [],
      ...unchanged ? [] : ["memory of another process has changed"],
    ];
  }
}

/** Asks for a grant that is to be refused. */
async function ask(address: string, { name, request, stops }: GrantAttempt): Promise<AttemptResult> {
  const library = openLibrary(builtFiles().library);
  const { previous } = await bind(address, "ring3", { take: true });
  let outcome: string;
  {
    using ring3 = new Ring3(library);
    using claim = ring3.claim(address);
    try {
      library.r3_close(claim.grant({ ...REQUEST, irqs: 0, ...request }));
      outcome = "granted";
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      outcome = `refused: ${error.message}`;
    }
  }
  await release(address, { previous, probe: false });
  const [{ wall, evidence }] = stops;
  return { name, stops: [{ wall, outcome, held: evidence.test(outcome) }], problems: [] };
}

/** All that attempts are made with. */
class Runner {
  readonly #library: Library = openLibrary(builtFiles().library);
  readonly #ring3 = new Ring3(this.#library);
  readonly #address: string;
  readonly #setting: Omit<Setting, "victim" | "mate">;
  readonly #uid: number;
  /** Grant of who has the device by now. */
  #replacement?: number;

  constructor(address: string, setting: Omit<Setting, "victim" | "mate">) {
    this.#address = address;
    this.#setting = setting;
    this.#uid = uidOf({ address });
  }

  /** Makes an attempt against each of its walls in turn. */
  async make(attempt: NativeAttempt): Promise<AttemptResult> {
    const before = this.#counters();
    const name = await hostName();
    const victim = await Victim.keep();
    const mate = this.#startMate();
    const problems: string[] = [];
    const stops: Stopped[] = [];
    for (const [index, { wall, evidence }] of attempt.stops.entries()) {
      const off = attempt.stops.slice(0, index).map((stop) => stop.wall);
      // Nothing but its user is then left to stop it; a bomb keeps what ends it as a whole.
      if (wall === "user" && index > 0 && !off.includes("cgroup")) {
        off.push("namespaces", "landlock", "seccomp");
      }
      const setting = { ...this.#setting, victim: victim.setting, mate: mate.pid };
      const outcome = await this.#run(attempt, off, setting);
      stops.push({ wall, outcome, held: evidence.test(outcome) });
      const left = await this.#left(before, mate.pid);
      problems.push(...left.map((what) => off.length === 0 ? what : `without ${off.join(" and ")}: ${what}`));
    }
    problems.push(...await victim.look(), ...await endMate(mate));
    if (await hostName() !== name) problems.push("the machine has another name");
    if (await exists(NEW_FILE)) problems.push(`it has made ${NEW_FILE}`);
    return { name: attempt.name, stops, problems };
  }

  /** Another process of the driver's user. */
  #startMate(): Deno.ChildProcess {
    const user = `${this.#uid}`;
    return new Deno.Command("setpriv", {
      args: ["--reuid", user, "--regid", user, "--clear-groups", "sleep", "infinity"],
      stdin: "null",
    }).spawn();
  }

  /** Starts it in a sandbox without those walls; what came of it, in a line. */
  async #run(attempt: NativeAttempt, off: readonly string[], setting: Setting): Promise<string> {
    using claim = this.#ring3.claim(this.#address);
    if (attempt.port) claim.portNet({ queues: 1, ring: 64, name: "r3w%d" });
    const dmaLimit = attempt.quotaLifted && off.includes("module") ? 2 ** 30 : REQUEST.dmaLimit;
    const grant = claim.grant({ ...REQUEST, dmaLimit });
    const { ours, theirs } = ControlSocket.pair(this.#library);
    using control = ours;
    const walls = Object.fromEntries(WALLS.map((wall) => [wall, off.includes(wall) ? "off" : "required"]));
    const sandbox = {
      uid: this.#uid,
      openFiles: 64,
      limits: LIMITS,
      readable: [PROGRAM, SHARED_FILE],
      jit: attempt.jit,
      walls: walls as Record<Wall, "off" | "required">,
    };
    const child = new Deno.Command(builtFiles().launcher, {
      args: [...launchArguments(sandbox, theirs), PROGRAM, ...attempt.run(setting).map(String)],
      clearEnv: true,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#library.r3_close(theirs);
    control.send({ type: "start" }, { fd: grant });
    this.#library.r3_close(grant);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGTERM");
    }, DEADLINE);
    let [said, complaint] = ["", ""];
    const reading = Promise.all([
      (async () => {
        for await (const line of lines(child.stdout)) {
          said = await this.#hear(line, { claim, control, child }) ?? said;
        }
      })(),
      (async () => {
        for await (const line of lines(child.stderr)) complaint += line;
      })(),
    ]);
    const { code, signal } = await child.status;
    clearTimeout(timer);
    // What an attempt has left may hold its streams.
    await Promise.race([reading, pause(GONE)]);
    const died = late
      ? `still running after ${DEADLINE / 1000} s`
      : signal === null
      ? `ended with status ${code}: ${complaint}`
      : complaint.includes("out of memory")
      ? `${signal}: out of memory`
      : signal;
    if (this.#replacement !== undefined) this.#library.r3_close(this.#replacement);
    this.#replacement = undefined;
    const { end, text } = await this.#ended(claim);
    return `${said || died}; grant ended: ${END_NAMES[end]}${text && `: ${text}`}`;
  }

  /** Takes a line of an attempt's: how it went, if it says that. */
  async #hear(line: string, { claim, control, child }: {
    claim: Claim;
    control: ControlSocket;
    child: Deno.ChildProcess;
  }): Promise<string | undefined> {
    if (parseLaunched(line)) return;
    const word = JSON.parse(line) as Word;
    if (!("ask" in word)) {
      return word.error === null ? `done: ${word.detail}` : `${word.error}: ${word.detail}`;
    }
    if (word.ask === "measure") {
      const used = await this.#measure();
      child.kill("SIGTERM");
      return `used ${used.toFixed(2)} processors`;
    }
    await this.#help(word.ask, claim);
    control.send({ type: "go" });
  }

  /** Does what an attempt wants of the machine around it. */
  async #help(wish: string, claim: Claim): Promise<void> {
    if (wish === "revoke" || wish === "replace") claim.revoke();
    if (wish === "replace") this.#replacement = claim.grant(REQUEST);
    if (wish === "up") {
      const name = await interfaceOf(this.#address);
      if (name === undefined) throw new Error("The port of an attempt has no interface");
      await bringUp(name);
    }
  }

  /** How the grant has ended; a supervisor takes it back when its process has ended. */
  async #ended(claim: Claim) {
    const deadline = performance.now() + GONE;
    while (claim.status().live && performance.now() < deadline) await pause(10);
    if (claim.status().live) claim.revoke();
    return claim.status();
  }

  /** Processors that the only process has in use. */
  async #measure(): Promise<number> {
    const used = async () => {
      const [cgroup] = await cgroups();
      const stat = await Deno.readTextFile(`${cgroup}/cpu.stat`);
      return Number(/^usage_usec (\d+)/m.exec(stat)![1]) / 1e6;
    };
    const [start, before] = [performance.now(), await used()];
    await pause(MEASURED);
    return (await used() - before) / (performance.now() - start) * 1000;
  }

  /** Counters of the module that somebody else's traffic does not change. */
  #counters(): string {
    const { rx_buffers: _rx, tx_frames: _tx, dma_bytes, ...counters } = this.#ring3.totals().counters;
    return Object.entries({ ...counters, dma_bytes: Number(dma_bytes) })
      .map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`).join(", ");
  }

  /** What there still is of an attempt when it has had time to go, a line each. */
  async #left(before: string, mate: number): Promise<string[]> {
    const look = async () => {
      const counters = this.#counters();
      return [
        ...(await processesOf(this.#uid)).filter((pid) => pid !== mate).map((pid) =>
          `process ${pid} is left`
        ),
        ...(await cgroups()).map((path) => `cgroup ${path} is left`),
        ...counters === before ? [] : [`the module holds ${counters}, and before it ${before}`],
      ];
    };
    const deadline = performance.now() + GONE;
    let left = await look();
    while (left.length > 0 && performance.now() < deadline) {
      await pause(20);
      left = await look();
    }
    // The next attempt is not to suffer by it.
    for (const pid of await processesOf(this.#uid)) if (pid !== mate) kill(pid);
    return left;
  }
}

/** Ends the other process of the driver's user; a line if somebody else has done so. */
async function endMate(mate: Deno.ChildProcess): Promise<string[]> {
  let killed = false;
  try {
    mate.kill("SIGTERM");
    killed = true;
  } catch {
    // It has ended.
  }
  const { signal } = await mate.status;
  return killed && signal === "SIGTERM" ? [] : ["another process of its user has been ended"];
}

/** Ends a process, if it has not ended. */
function kill(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** Processes of a user. */
async function processesOf(uid: number): Promise<number[]> {
  const found: number[] = [];
  for await (const { name } of Deno.readDir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const status = await Deno.readTextFile(`/proc/${name}/status`).catch(() => "");
    if (status.includes(`\nUid:\t${uid}\t`) && !status.includes("\nState:\tZ")) found.push(Number(name));
  }
  return found;
}

/** The cgroups that have been made for attempts. */
async function cgroups(): Promise<string[]> {
  const own = Deno.env.get(CGROUP_VARIABLE);
  if (!own) throw new Error("This machine has no cgroups");
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(dirname(own))) {
    if (isDirectory && name.startsWith(`${basename(own)}-`)) found.push(`${dirname(own)}/${name}`);
  }
  return found;
}

async function hostName(): Promise<string> {
  return await Deno.readTextFile("/proc/sys/kernel/hostname");
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}

if (import.meta.main) {
  const [address, third, other, name, host] = Deno.args;
  await loadModule();
  await bind(address, "ring3", { take: true });
  await Deno.writeTextFile(SHARED_FILE, "");
  await Deno.chmod(SHARED_FILE, 0o666);
  const runner = new Runner(address, { other: { address: other, interface: name }, host });
  for await (const wanted of lines(Deno.stdin.readable)) {
    const attempt = NATIVE_ATTEMPTS.find(({ name }) => name === wanted);
    const request = GRANT_ATTEMPTS.find(({ name }) => name === wanted);
    let result: AttemptResult;
    try {
      if (attempt) result = await runner.make(attempt);
      else if (request) result = await ask(third, request);
      else throw new Error(`There is no attempt "${wanted}"`);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      result = { name: wanted, stops: [], problems: [error.message] };
    }
    console.log(JSON.stringify(result));
  }
  await release(address);
}
