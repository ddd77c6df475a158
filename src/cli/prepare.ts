/** `ring3 prepare`: everything that a supervisor on this machine needs, before it runs. */
import { prepareMachine } from "../run/files.ts";
import { progressOnStderr } from "../progress.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** The command. */
export const prepareCommand: Command = defineCommand({
  name: "ring3 prepare",
  summary: "Build what drivers on this machine need, and load the module (root)",
  options: { yes: flag("install what is missing without asking") },
  notes: ["ring3 run --native does the same by itself; the service does it each time it starts."],
  async main({ options: { yes } }) {
    await prepareMachine({ progress: progressOnStderr(), yes });
    return 0;
  },
});
