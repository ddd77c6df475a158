/** `ring3 inject`: a version with a fault, for the life of one process. */
import { inject } from "../client/upgrade.ts";
import { USAGE, UserError } from "../error.ts";
import { FAULT_LABEL } from "../supervisor/contract.ts";
import { type Command, defineCommand, duration, flag, text } from "./args.ts";
import { withTarget } from "./steer.ts";

/** The command. */
export const injectCommand: Command = defineCommand({
  name: "ring3 inject",
  summary: "Replace a driver by a version with a fault, for the life of one process",
  positionals: [
    { name: "driver", description: "its name, as ring3 status shows it" },
    { name: "path", description: "the folder of the version with the fault" },
  ],
  options: {
    label: text("which fault it is: events and reports say so (needed)", {
      value: "TEXT",
      pattern: FAULT_LABEL,
    }),
    for: duration("how long it stays once it is ready; without it, until its process ends"),
    json: flag("print the versions as JSON"),
  },
  examples: [{
    line: 'ring3 inject e1000 /tmp/stuck/drivers/e1000 --label "STATUS reads as stuck" --for 10s',
    does: "what recovery makes of it",
  }],
  notes: [
    "The supervisor must have been started with --allow-faults. However the process ends, the next one is of the\n" +
    "version before, and the end counts against the budget of restarts as a real one does. ring3 restart ends it.\n" +
    "While one runs, the next is made ready, and has its turn when the driver has recovered.",
  ],
  async main({ positionals: [name, path], options: { label, for: ms, json } }) {
    if (label === undefined) throw new UserError("inject needs --label: which fault it is", { code: USAGE });
    const versions = await withTarget(name, (target) => inject(target, name, { path, label, for: ms }));
    console.log(
      json
        ? JSON.stringify(versions)
        : `${name}: version ${versions.to} runs for one life (${label}), then ${versions.from} again`,
    );
    return 0;
  },
});
