/** `ring3`: the command line. Each command is loaded when it is run. */
import { type Command, defineGroup } from "./cli/args.ts";
import { UserError } from "./error.ts";
import config from "../deno.json" with { type: "json" };

const ring3: Command = defineGroup({
  name: "ring3",
  summary: "Linux device drivers in TypeScript, outside the kernel",
  commands: {
    run: async () => (await import("./cli/run.ts")).runCommand,
    list: async () => (await import("./cli/list.ts")).listCommand,
    status: async () => (await import("./cli/status.ts")).statusCommand,
    lab: async () => (await import("./cli/lab.ts")).labCommand,
  },
  notes: ["ring3 --version prints the version."],
});

/** Runs a command line; the exit status. What a user can put right is one line on standard error. */
export async function main(args: string[]): Promise<number> {
  try {
    if (args[0] === "--version" || args[0] === "-V") {
      console.log(`ring3 ${config.version}`);
      return 0;
    }
    return await ring3.run(args);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    for (const line of error.message.split("\n")) console.error(`ring3: ${line}`);
    return error.code;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
