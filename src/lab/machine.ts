// One running lab: QEMU with the chosen hardware, commands in it over ssh, and its end with ours.
import { createSocket } from "node:dgram";
import { UserError } from "../error.ts";
import type { Progress } from "../progress.ts";
import { need } from "../setup.ts";
import { type Accelerator, acceleratorArguments, chooseAccelerator } from "./accelerator.ts";
import { checkout } from "./checkout.ts";
import { feed } from "./command.ts";
import { CHECKOUT, MANAGEMENT, READY } from "./guest.ts";
import {
  DEFAULT_HARDWARE,
  deviceArguments,
  DISK_SIZE,
  type DiskFile,
  escape,
  type Hardware,
  iommuParameters,
  nicNetwork,
} from "./hardware.ts";
import { buildImage, type Image } from "./image.ts";
import { findKernel, type Kernel } from "./kernel.ts";
import { kernelProblems } from "./problems.ts";
import { Qmp, QmpError } from "./qmp.ts";
import { commandLine, signalOf } from "./shell.ts";
import { crashOf, type QemuCrash, silent, SilentGuest, startAgain } from "./start.ts";
import { LAB_DIRECTORY, RunningLab } from "./running.ts";
import { pause } from "../pause.ts";

/** Longest boot on a loaded machine without KVM, of a kernel with every check built in. */
const BOOT_MS = 180_000;
/** Longest silence in it. */
const SILENCE_MS = 60_000;
const START_MS = 10_000;
/** Longest time for that kernel to make the keys of one connection. */
const CONNECT_MS = 60_000;

/** How {@link boot} goes about it. */
export interface BootOptions {
  /** Told of steps that take long. */
  progress: Progress;
  /**
   * The files behind `hardware.disk`, one for each, which are the caller's: what the lab has written to them is
   * there after it. If not given, the disks are empty and go with the lab.
   */
  disks?: readonly DiskFile[];
  /** Debian packages that the guest has beside the usual ones, with all that they depend on. */
  packages?: readonly string[];
}

/** Where a command's streams go. */
export interface SpawnOptions {
  stdin?: "inherit" | "null" | "piped";
  stdout?: "inherit" | "null" | "piped";
  stderr?: "inherit" | "null" | "piped";
  /** Give it a terminal; the streams are then this process's. */
  tty?: boolean;
  /** Directory in the guest; the checkout if not given. */
  cwd?: string;
}

/** How a command is run to its end. */
export interface ExecOptions {
  /** What it reads: text or bytes, this process's standard input, or nothing (default). */
  stdin?: string | Uint8Array | "inherit";
  /** Pass its output on rather than collect it. */
  stdout?: "piped" | "inherit" | "null";
  stderr?: "piped" | "inherit" | "null";
  cwd?: string;
}

/** How a command ended. */
export interface ExecResult {
  /** Its exit status; 128 + the number of the signal that ended it. */
  code: number;
  /** The signal that `code` stands for. A command that exits with such a status by itself looks the same. */
  signal?: string;
  /** What it wrote; empty unless piped. */
  stdout: string;
  stderr: string;
}

/** Where {@link Lab.forward} leads. */
export interface ForwardOptions {
  /**
   * The network to enter by: management (default) or the card of that index; `loopback` is the guest's own,
   * where those listen who let nobody in from outside (TCP only).
   */
  through?: "management" | "loopback" | number;
  protocol?: "tcp" | "udp";
  /** Guest's address there; the one DHCP gives first if not given. */
  address?: string;
}

/**
 * Boots a lab and waits until it takes commands. What it needs is built or fetched first.
 * @throws {UserError} if that fails or the guest does not come up; the console's end is in the message.
 */
export async function boot(hardware: Partial<Hardware>, options: BootOptions): Promise<Lab> {
  await need(["lab"], options);
  const chosen = { ...DEFAULT_HARDWARE, ...hardware };
  const kernel = await findKernel(chosen.kernel, options.progress);
  const image = await buildImage(kernel, options);
  const accelerator = chosen.plugin !== undefined
    ? "tcg"
    : await chooseAccelerator({ image: kernel.image, initramfs: image.initramfs });
  const parts = { hardware: chosen, kernel, image, accelerator, disks: options.disks };
  return await startAgain(() => Lab.start(parts), options.progress);
}

interface Parts {
  hardware: Hardware;
  kernel: Kernel;
  image: Image;
  accelerator: Accelerator;
  disks?: readonly DiskFile[];
}

/**
 * Lives as long as this process and ends everything when that does, however it does: it holds our end of a
 * pipe, and its end of file is the sign. Its output stays open as long as QEMU runs, and its status is QEMU's.
 */
const GUARD = `
directory=$1
shift
trap '' HUP INT TERM
setpriv --pdeathsig KILL "$@" < /dev/null 2> "$directory/qemu.log" &
exec > /dev/null
cat
kill -KILL $!
wait $!
status=$?
rm -rf "$directory"
exit $status
`;

/** A running lab. */
export class Lab implements AsyncDisposable {
  /** What it was booted with. */
  readonly hardware: Hardware;
  /** The kernel that runs in it. */
  readonly kernel: Kernel;
  readonly accelerator: Accelerator;
  readonly #directory: string;
  readonly #image: Image;
  readonly #guard: Deno.ChildProcess;
  readonly #hold: WritableStreamDefaultWriter<Uint8Array>;
  readonly #gone: Promise<void>;
  #qmp!: Qmp;
  #master?: Deno.ChildProcess;
  #sshPort = 0;
  #lastConsole = "";
  #closed?: Promise<void>;

  private constructor(parts: Parts, directory: string, guard: Deno.ChildProcess) {
    this.hardware = parts.hardware;
    this.kernel = parts.kernel;
    this.accelerator = parts.accelerator;
    this.#image = parts.image;
    this.#directory = directory;
    this.#guard = guard;
    this.#hold = guard.stdin.getWriter();
    this.#gone = drain(guard.stdout);
  }

  /** Starts QEMU and waits for the guest. Use {@link boot}. */
  static async start(parts: Parts): Promise<Lab> {
    const directory = await Deno.makeTempDir(LAB_DIRECTORY);
    const socket = `${directory}/qmp`;
    using listener = Deno.listen({ transport: "unix", path: socket });
    const disks: readonly DiskFile[] = parts.disks ??
      parts.hardware.disk.map((_, index) => ({ path: `${directory}/disk${index}` }));
    if (!parts.disks) await Promise.all(disks.map(({ path }) => makeDisk(path)));
    for (const { log } of disks) if (log !== undefined) await Deno.writeFile(log, new Uint8Array());
    const guard = new Deno.Command("setsid", {
      args: ["dash", "-c", GUARD, "ring3-lab", directory, ...qemuArguments(parts, directory, disks)],
      env: { TMPDIR: directory },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const lab = new Lab(parts, directory, guard);
    try {
      const connection = await lab.#before(listener.accept(), START_MS, "QEMU to start");
      lab.#qmp = await lab.#before(Qmp.open(connection), START_MS, "QEMU to answer");
      lab.#sshPort = await lab.forward(22);
      await lab.#booted();
      await lab.#before(lab.#connect(), CONNECT_MS, "the guest's sshd to answer");
      return lab;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /**
   * Runs a command in the guest as root, to its end. It gets exactly these arguments.
   * A command that is not there ends with 127.
   * @throws {UserError} if the lab ends before the command does.
   */
  async exec(argv: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const { stdin } = options;
    const child = this.spawn(argv, {
      stdin: stdin === undefined ? "null" : stdin === "inherit" ? "inherit" : "piped",
      stdout: options.stdout ?? "piped",
      stderr: options.stderr ?? "piped",
      cwd: options.cwd,
    });
    const text = (piped: boolean, stream: () => ReadableStream<Uint8Array<ArrayBuffer>>) =>
      piped ? new Response(stream()).text() : Promise.resolve("");
    const [status, stdout, stderr] = await Promise.all([
      child.status,
      text((options.stdout ?? "piped") === "piped", () => child.stdout),
      text((options.stderr ?? "piped") === "piped", () => child.stderr),
      stdin === undefined || stdin === "inherit" ? undefined : feed(child.stdin, stdin),
    ]);
    if (status.code === 255 && await this.#hasEnded()) {
      const doing = `while it ran ${argv[0]}`;
      throw await this.crash(doing) ?? new UserError(`The lab ended ${doing}${lastWords(this.console())}`);
    }
    return { code: status.code, signal: signalOf(status.code), stdout, stderr };
  }

  /**
   * Starts a command in the guest as root. The child is the local end: its status is the command's (see
   * {@link ExecResult}), but killing it leaves the command running without its streams.
   */
  spawn(argv: readonly string[], options: SpawnOptions = {}): Deno.ChildProcess {
    const line = commandLine(argv, { cwd: options.cwd ?? CHECKOUT });
    const stream = options.tty ? "inherit" : "piped";
    return new Deno.Command("ssh", {
      args: [...this.#sshArguments(), "-S", this.#socket, options.tty ? "-tt" : "-T", "lab", line],
      stdin: options.stdin ?? (options.tty ? "inherit" : "null"),
      stdout: options.stdout ?? stream,
      stderr: options.stderr ?? stream,
    }).spawn();
  }

  /** Opens a port of this machine (127.0.0.1) that leads to one of the guest, and returns it. */
  async forward(guestPort: number, options: ForwardOptions = {}): Promise<number> {
    const { through = "management", protocol = "tcp" } = options;
    if (through === "loopback") return await this.#forwardLoopback(guestPort);
    const network = through === "management" ? "management" : `net${through}`;
    const address = options.address ??
      (through === "management" ? MANAGEMENT.guest : nicNetwork(through).guest);
    for (let attempt = 0;; attempt++) {
      const port = await freePort(protocol);
      const rule = `${protocol}:127.0.0.1:${port}-${address}:${guestPort}`;
      const complaint = await this.qmp("human-monitor-command", {
        "command-line": `hostfwd_add ${network} ${rule}`,
      });
      if (complaint === "") return port;
      // Somebody else may have taken the port between our look and QEMU's.
      if (attempt === 4) throw new QmpError(`Cannot forward ${rule}: ${String(complaint).trim()}`);
    }
  }

  /** Over the connection that all commands share: QEMU's forwarding ends at the guest's cards. */
  async #forwardLoopback(guestPort: number): Promise<number> {
    for (let attempt = 0;; attempt++) {
      const port = await freePort("tcp");
      const refused = await this.running.forward(`127.0.0.1:${port}`, guestPort);
      if (refused === undefined) return port;
      // Somebody else may have taken the port between our look and ssh's.
      if (attempt === 4) throw new UserError(`Cannot forward port ${guestPort} of the lab: ${refused}`);
    }
  }

  /** The lab as other processes of this user reach it. */
  get running(): RunningLab {
    return new RunningLab(this.#directory);
  }

  /** Sends QEMU a command and returns its answer. @throws {QmpError} if it refuses. */
  async qmp(command: string, args: Record<string, unknown> = {}): Promise<unknown> {
    return await this.#qmp.command(command, args);
  }

  /**
   * Frees the wires of frames of no bytes. One that a card has sent is never done for QEMU (net/queue.c takes the 0
   * that a receiver answers for "no room"): its wire keeps it, and all that this card sends after it. The machine's
   * first stop tries it once more and drops it, the second finds nothing in the way. What waits on a wire meanwhile
   * is lost, as on one that is pulled; the guest notices nothing.
   */
  async freeWires(): Promise<void> {
    for (let stop = 0; stop < 2; stop++) {
      await this.qmp("stop");
      await this.qmp("cont");
    }
  }

  /** All that the guest has written on its console, the kernel's log first of all; also after its end. */
  console(): string {
    try {
      return Deno.readTextFileSync(`${this.#directory}/console`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) return this.#lastConsole;
      throw error;
    }
  }

  /** The error to throw if QEMU has ended by a fault of its own. Closes the lab if it has ended. */
  async crash(doing: string): Promise<QemuCrash | undefined> {
    if (!await this.#hasEnded()) return undefined;
    await this.close();
    return crashOf((await this.#guard.status).code, doing);
  }

  /** Warnings, bugs, stalls and leaks in the kernel's log so far, each with what follows it. */
  kernelProblems(): string[] {
    return kernelProblems(this.console());
  }

  /**
   * Cuts the machine off. QEMU is stopped between two of its system calls, so that each write to a disk's file
   * or log is whole or has not begun, and is then killed: nothing that the guest, a driver or QEMU still held is
   * written any more. Files of disks that the caller owns then have all that QEMU had written, flushed or not;
   * what a cache of the disk's would have lost of it, its log can tell.
   */
  async cut(): Promise<void> {
    const pid = Number(await Deno.readTextFile(`${this.#directory}/pid`));
    Deno.kill(pid, "SIGSTOP");
    while (!await isStopped(pid)) await pause(1);
    await this.close();
  }

  /** Ends the lab at once and removes what it left. */
  async close(): Promise<void> {
    this.#closed ??= (async () => {
      this.#lastConsole = this.console();
      await this.#hold.close().catch(() => {});
      await this.#guard.status;
      this.#qmp?.close();
      await this.#gone;
      await this.#master?.status;
    })();
    await this.#closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  get #socket(): string {
    return `${this.#directory}/ssh`;
  }

  #sshArguments(): string[] {
    const options = {
      HostKeyAlias: "lab",
      HostName: "127.0.0.1",
      Port: this.#sshPort,
      User: "root",
      IdentityFile: this.#image.identity,
      IdentitiesOnly: "yes",
      UserKnownHostsFile: this.#image.knownHosts,
      GlobalKnownHostsFile: "/dev/null",
      StrictHostKeyChecking: "yes",
      BatchMode: "yes",
      LogLevel: "ERROR",
      EscapeChar: "none",
    };
    return ["-F", "none", ...Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`])];
  }

  /** Opens the one connection that all commands share. */
  async #connect(): Promise<void> {
    this.#master = new Deno.Command("setsid", {
      args: [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "ssh",
        ...this.#sshArguments(),
        "-M",
        "-N",
        "-S",
        this.#socket,
        "lab",
      ],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const said = new Response(this.#master.stderr).text();
    let ended = false;
    this.#master.status.then(() => ended = true);
    while (!await exists(this.#socket)) {
      if (ended) throw new UserError(`Cannot connect to the lab: ${(await said).trim()}`);
      await pause(10);
    }
  }

  async #booted(): Promise<void> {
    const over = new AbortController();
    const { signal } = over;
    const ready = async () => {
      while (!signal.aborted && !this.console().includes(READY)) await pause(20);
    };
    const stopped = async () => {
      await silent(() => this.console().length, SILENCE_MS, { signal });
      if (signal.aborted) return;
      const where = await this.#processors();
      throw new SilentGuest(
        `The guest stopped while it booted, ${where}${lastWords(this.console())}`,
      );
    };
    try {
      await this.#before(Promise.race([ready(), stopped()]), BOOT_MS, "the guest to boot");
    } finally {
      over.abort();
    }
  }

  /** Where its processors are, for whoever wants to know why they do not go on. */
  async #processors(): Promise<string> {
    const registers = await this.#qmp.command("human-monitor-command", {
      "command-line": "info registers -a",
    });
    const places = `${registers}`.matchAll(/RIP=(\w+).* HLT=(\d)/g);
    return [...places].map(([, rip, halted], cpu) =>
      `CPU ${cpu} at ${rip}${halted === "1" ? ", halted" : ""}`
    )
      .join(", ");
  }

  /** What comes of `work`, unless QEMU ends or the time is over before it. */
  async #before<T>(work: Promise<T>, ms: number, what: string): Promise<T> {
    work.catch(() => {});
    const timeout = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      timeout.reject(
        new UserError(`Waited ${ms / 1000} s in vain for ${what}${lastWords(this.console())}`),
      );
    }, ms);
    const ended = this.#gone.then(async (): Promise<never> => {
      const doing = `while waiting for ${what}`;
      const log = this.console() || Deno.readTextFileSync(`${this.#directory}/qemu.log`);
      throw await this.crash(doing) ?? new UserError(`The lab ended ${doing}${lastWords(log)}`);
    });
    ended.catch(() => {});
    try {
      return await Promise.race([work, timeout.promise, ended]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #hasEnded(): Promise<boolean> {
    return await Promise.race([this.#gone.then(() => true), pause(500).then(() => false)]);
  }
}

function qemuArguments(parts: Parts, directory: string, disks: readonly DiskFile[]): string[] {
  const { hardware, kernel, image } = parts;
  const append = [
    "console=ttyS0",
    // On a busy machine the test of the timer at boot finds no tick, and panics.
    "no_timer_check",
    // Every message counts for kernelProblems(), and on this console they cost nothing measurable.
    "ignore_loglevel",
    // And it knows the kernel's lines by the time that they begin with.
    "printk.time=1",
    "panic=-1",
    // The counters of emulated processors are one and the same, which Linux does not believe of AMD's unless told:
    // each look at the time would be one at an emulated HPET, for which processors wait for each other.
    // What QEMU has translated of a program serves the next process of it only where that has it at the same address:
    // a Deno starts in 0.9 s then, in 1.6 s otherwise.
    ...(parts.accelerator === "tcg" ? ["tsc=reliable", "norandmaps"] : []),
    ...iommuParameters(hardware),
  ];
  // deno-fmt-ignore
  return [
    "qemu-system-x86_64", "-name", "ring3-lab", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
    ...acceleratorArguments(parts.accelerator, { thread: hardware.plugin === undefined ? "multi" : "single" }),
    ...(hardware.plugin === undefined ? [] : ["-plugin", hardware.plugin]),
    "-smp", `${hardware.smp}`, "-m", `${hardware.memory}`,
    "-kernel", kernel.image, "-initrd", image.initramfs, "-append", append.join(" "),
    "-pidfile", `${directory}/pid`,
    "-chardev", `file,id=console,path=${escape(directory)}/console`, "-serial", "chardev:console",
    "-chardev", `socket,id=qmp,path=${escape(directory)}/qmp`, "-mon", "chardev=qmp,mode=control",
    "-drive", `file=${escape(image.disk)},format=raw,if=none,id=system,snapshot=on,cache=unsafe`,
    "-device", "virtio-blk-pci,drive=system,addr=0x2",
    "-fsdev", `local,id=checkout,path=${escape(checkout())},security_model=none,readonly=on,multidevs=remap`,
    "-device", "virtio-9p-pci,fsdev=checkout,mount_tag=ring3,addr=0x3",
    "-netdev", `user,id=management,net=${MANAGEMENT.network},host=${MANAGEMENT.host},restrict=on`,
    "-device", "virtio-net-pci,netdev=management,addr=0x4,romfile=",
    ...deviceArguments(hardware, disks),
  ];
}

/** Makes an empty file to be a disk of a lab: as large as they are, and taking no room yet. */
export async function makeDisk(path: string): Promise<void> {
  await Deno.writeFile(path, new Uint8Array(), { createNew: true });
  await Deno.truncate(path, DISK_SIZE);
}

/** A port of this machine's loopback address that nobody listens on at the moment. */
export async function freePort(protocol: "tcp" | "udp"): Promise<number> {
  if (protocol === "tcp") {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return listener.addr.port;
  }
  const socket = createSocket("udp4");
  try {
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    return socket.address().port;
  } finally {
    await new Promise<void>((resolve) => socket.close(resolve));
  }
}

async function drain(stream: ReadableStream<Uint8Array>): Promise<void> {
  for await (const _ of stream);
}

function lastWords(log: string): string {
  const lines = log.split("\n").map((line) => line.trim()).filter((line) => line);
  const telling = lines.findLast((line) => /Kernel panic|ring3-lab: /.test(line));
  return lines.length === 0 ? "" : `; its last words: ${telling ?? lines.slice(-3).join(" | ")}`;
}

/** Whether every thread of a process is stopped. */
async function isStopped(pid: number): Promise<boolean> {
  for await (const { name } of Deno.readDir(`/proc/${pid}/task`)) {
    const stat = await Deno.readTextFile(`/proc/${pid}/task/${name}/stat`);
    if (!/\) T /.test(stat)) return false;
  }
  return true;
}

async function exists(path: string): Promise<boolean> {
  return await Deno.lstat(path).then(() => true, () => false);
}
