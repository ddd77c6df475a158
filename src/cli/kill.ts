/** `ring3 kill`: a fault on demand. */
import type { Driver } from "../supervisor/schema.ts";
import { KILL_WAYS } from "../supervisor/contract.ts";
import { choice, type Command, defineCommand, flag } from "./args.ts";
import { withTarget } from "./steer.ts";

/** The command. */
export const killCommand: Command = defineCommand({
  name: "ring3 kill",
  summary: "Have a driver end as by a fault, to see what happens then",
  positionals: [{ name: "driver", description: "its name, as ring3 status shows it" }],
  options: {
    how: choice("What happens to it", { of: KILL_WAYS, default: "kill" }),
    json: flag("print its state as JSON"),
  },
  examples: [
    { line: "ring3 kill e1000", does: "SIGKILL to its process" },
    { line: "ring3 kill e1000 --how stall", does: "an endless loop in it" },
  ],
  notes: ["It counts against the driver's budget of restarts, as a real fault would."],
  async main({ positionals: [name], options: { how, json } }) {
    const driver = await withTarget(name, ({ client }) => client.act<Driver>(name, "kill", { how }));
    console.log(
      json ? JSON.stringify(driver) : `${name} will end: ${how}; ring3 events shows what comes of it`,
    );
    return 0;
  },
});
