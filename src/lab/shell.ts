// What a command looks like on its way through the remote shell.

/** An argument as one word of a POSIX shell, whatever it holds. */
export function quote(argument: string): string {
  if (/^[\w@%+:,./-]+$/.test(argument)) return argument;
  return `'${argument.replaceAll("'", `'\\''`)}'`;
}

/**
 * The line for the guest's shell that runs a command in `cwd`. The shell stays behind it, so that death by
 * a signal comes back as 128 + its number.
 * @throws {TypeError} for an argument that no process can be given.
 */
export function commandLine(argv: readonly string[], options: { cwd: string }): string {
  if (argv.length === 0) throw new TypeError("A command needs at least its name");
  if (argv.some((argument) => argument.includes("\0"))) {
    throw new TypeError("An argument holds a NUL character, which no process can be given");
  }
  // Behind `exec` a name is never a builtin of the shell, and an empty one is not skipped.
  return `cd ${quote(options.cwd)} && (exec ${argv.map(quote).join(" ")}); exit $?`;
}

/** Signals by number, as Linux on x86 has them. */
const SIGNALS: readonly string[] = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN " +
  "TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split(" ");

/** The signal that a status of 128 + its number stands for. */
export function signalOf(status: number): string | undefined {
  const name = SIGNALS[status - 129];
  return name && `SIG${name}`;
}
