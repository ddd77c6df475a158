/** The labs of this user that run now, started by whichever process. */
import { feed } from "./command.ts";
import { CHECKOUT } from "./guest.ts";
import { commandLine } from "./shell.ts";

/** Where labs keep their sockets. The paths of these are limited to 107 bytes, so not wherever TMPDIR leads. */
export const LAB_DIRECTORY = { dir: "/tmp", prefix: "ring3-lab-" } as const;

/** How a command in a running lab ended, and what it wrote. */
export interface LabOutput {
  code: number;
  stdout: string;
  stderr: string;
}

/** A running lab, reached over the one connection that its own process holds. */
export class RunningLab {
  /** Its directory, which names it. */
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Runs a command there as root, in the checkout, to its end. */
  async exec(argv: readonly string[], { stdin }: { stdin?: Uint8Array } = {}): Promise<LabOutput> {
    const child = new Deno.Command("ssh", {
      args: [...this.#arguments(), "-T", "lab", commandLine(argv, { cwd: CHECKOUT })],
      stdin: stdin ? "piped" : "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const [{ code, stdout, stderr }] = await Promise.all([
      child.output(),
      stdin ? feed(child.stdin, stdin) : undefined,
    ]);
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }

  /**
   * Has a place here lead to a port of the lab's own loopback address.
   * @param here A path, for a socket that is made there; or `ADDRESS:PORT`. The same one twice is no error.
   * @returns why it was refused, or undefined.
   */
  async forward(here: string, port: number): Promise<string | undefined> {
    return await this.#control("forward", `${here}:127.0.0.1:${port}`);
  }

  /** Ends what `forward` has begun. */
  async cancel(here: string, port: number): Promise<void> {
    await this.#control("cancel", `${here}:127.0.0.1:${port}`);
  }

  async #control(what: string, rule: string): Promise<string | undefined> {
    const { success, stderr } = await new Deno.Command("ssh", {
      args: [...this.#arguments(), "-O", what, "-L", rule, "lab"],
      stdin: "null",
      stdout: "null",
    }).output();
    return success ? undefined : new TextDecoder().decode(stderr).trim();
  }

  #arguments(): string[] {
    // Only over the connection that is there: no lab is to be reached in any other way.
    return ["-F", "none", "-o", "ProxyCommand=false", "-S", `${this.directory}/ssh`];
  }
}

/** All of them. */
export async function runningLabs(): Promise<RunningLab[]> {
  const labs: RunningLab[] = [];
  for await (const { name, isDirectory } of Deno.readDir(LAB_DIRECTORY.dir)) {
    if (!isDirectory || !name.startsWith(LAB_DIRECTORY.prefix)) continue;
    const directory = `${LAB_DIRECTORY.dir}/${name}`;
    const owned = await Deno.stat(`${directory}/ssh`).then(({ uid }) => uid === Deno.uid(), () => false);
    if (owned) labs.push(new RunningLab(directory));
  }
  return labs;
}

/** Runs a command in every running lab; what it printed in each where it succeeded, by the lab's directory. */
export async function execInRunningLabs(argv: readonly string[]): Promise<Map<string, string>> {
  const printed = new Map<string, string>();
  for (const lab of await runningLabs()) {
    const { code, stdout } = await lab.exec(argv);
    if (code === 0) printed.set(lab.directory, stdout);
  }
  return printed;
}
