// Running the programs that build the lab: quiet when they succeed, one clear error when they do not.
import { UserError } from "../error.ts";
import { lines } from "../lines.ts";

/** How a program is run. */
export interface CommandOptions {
  /** What it is for, for the error: "Cannot <what>: …". */
  what: string;
  cwd?: string;
  env?: Record<string, string>;
  /** Written to its standard input; otherwise that is empty. */
  input?: string | Uint8Array;
  /** Its whole output is kept in this file when it fails, and the error names it. */
  log?: string;
}

/**
 * Runs a program to its end and returns its standard output.
 * @throws {UserError} with the last line it wrote, if it cannot be started or its status is not 0.
 */
export async function run(
  argv: readonly string[],
  options: CommandOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  let child: Deno.ChildProcess;
  try {
    child = new Deno.Command(argv[0], {
      args: argv.slice(1),
      cwd: options.cwd,
      env: options.env,
      stdin: options.input === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (cause) {
    throw new UserError(`Cannot ${options.what}: ${argv[0]} does not start`, { cause });
  }
  const feeding = options.input === undefined ? undefined : feed(child.stdin, options.input);
  const { success, code, stdout, stderr } = await child.output();
  await feeding;
  if (success) return stdout;
  const said = new TextDecoder().decode(stderr).trim() || new TextDecoder().decode(stdout).trim();
  let see = "";
  if (options.log) {
    await Deno.writeTextFile(
      options.log,
      `${argv.join(" ")}\n${new TextDecoder().decode(stdout)}\n${said}\n`,
    );
    see = `; all of it is in ${options.log}`;
  }
  throw new UserError(`Cannot ${options.what}: ${argv[0]} ended with ${code}: ${lastLine(said)}${see}`);
}

/** {@link run}, with the output as text without the final newline. */
export async function output(argv: readonly string[], options: CommandOptions): Promise<string> {
  return new TextDecoder().decode(await run(argv, options)).trimEnd();
}

/** How a long build is run. */
export interface BuildOptions {
  /** What it is for, for the error: "Cannot <what>: …". */
  what: string;
  cwd: string;
  /** All that it writes goes to this file as it comes. It is removed when the build succeeds. */
  log: string;
  /** Told of each line. */
  line(text: string): void;
}

/**
 * Runs a build of many processes to its end; all of them end with this process, however that ends.
 * @throws {UserError} with the first error it wrote, if it cannot be started or its status is not 0.
 */
export async function build(argv: readonly string[], options: BuildOptions): Promise<void> {
  using log = await Deno.open(options.log, { write: true, create: true, truncate: true });
  const child = new Deno.Command("sh", {
    args: ["-c", 'exec "$@" 2>&1', "sh", ...asRoot(["setpriv", "--pdeathsig", "KILL", ...ALONE, ...argv])],
    cwd: options.cwd,
    env: { LC_ALL: "C" },
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let error: string | undefined;
  let last = "no message";
  for await (const line of lines(child.stdout)) {
    log.writeSync(new TextEncoder().encode(`${line}\n`));
    if (line.trim()) last = line.trim();
    if (/\berror:|No space left/i.test(line)) error ??= line.trim();
    options.line(line);
  }
  const { success, code } = await child.status;
  if (!success) {
    throw new UserError(
      `Cannot ${options.what}: ${argv[0]} ended with ${code}: ${
        error ?? last
      }; all of it is in ${options.log}`,
    );
  }
  await Deno.remove(options.log);
}

/** In a process namespace of its own: when its first process is killed, the kernel kills the rest. */
const ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--"];

/** A program as root: itself if we are, else as root of a user namespace of its own. */
export function asRoot(argv: readonly string[]): string[] {
  return Deno.uid() === 0 ? [...argv] : ["unshare", "--user", "--map-root-user", "--map-auto", "--", ...argv];
}

/** Writes all of a program's input; one that ends without reading it is no error, its status tells. */
export async function feed(stdin: WritableStream<Uint8Array>, input: string | Uint8Array): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(typeof input === "string" ? new TextEncoder().encode(input) : input);
    await writer.close();
  } catch {
    // It has ended.
  }
}

function lastLine(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim());
  const error = lines.findLast((line) => /error|^E:|cannot|failed/i.test(line));
  return error ?? lines.at(-1) ?? "no message";
}
