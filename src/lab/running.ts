/** The labs of this user that run now, started by whichever process. */
import { commandLine } from "./shell.ts";
import { CHECKOUT } from "./guest.ts";

/** Where labs keep their sockets. The paths of these are limited to 107 bytes, so not wherever TMPDIR leads. */
export const LAB_DIRECTORY = { dir: "/tmp", prefix: "ring3-lab-" } as const;

/** Runs a command in every running lab; what it printed in each where it succeeded, by the lab's directory. */
export async function execInRunningLabs(argv: readonly string[]): Promise<Map<string, string>> {
  const printed = new Map<string, string>();
  for await (const { name, isDirectory } of Deno.readDir(LAB_DIRECTORY.dir)) {
    if (!isDirectory || !name.startsWith(LAB_DIRECTORY.prefix)) continue;
    const directory = `${LAB_DIRECTORY.dir}/${name}`;
    const owned = await Deno.stat(`${directory}/ssh`).then(({ uid }) => uid === Deno.uid(), () => false);
    if (!owned) continue;
    // Only over the connection that is there: no lab is to be reached in any other way.
    const args = ["-F", "none", "-o", "ProxyCommand=false", "-S", `${directory}/ssh`, "-T", "lab"];
    const { success, stdout } = await new Deno.Command("ssh", {
      args: [...args, commandLine(argv, { cwd: CHECKOUT })],
      stdin: "null",
      stderr: "null",
    }).output();
    if (success) printed.set(directory, new TextDecoder().decode(stdout));
  }
  return printed;
}
