/** `ring3 upgrade`: another version of a driver, with the way back if it does not stand. */
import { upgrade } from "../client/upgrade.ts";
import { type Command, defineCommand, flag, text } from "./args.ts";
import { withTarget } from "./steer.ts";

/** The command. */
export const upgradeCommand: Command = defineCommand({
  name: "ring3 upgrade",
  summary: "Replace a driver by what its folder now holds, or by another folder's content",
  positionals: [{ name: "driver", description: "its name, as ring3 status shows it" }],
  options: {
    to: text("the folder to take it from; without it, the driver's own", { value: "FOLDER" }),
    json: flag("print the versions as JSON"),
  },
  examples: [
    { line: "ring3 upgrade e1000", does: "what drivers/e1000 holds now" },
    { line: "ring3 upgrade e1000 --to ~/next/drivers/e1000", does: "what is there" },
  ],
  notes: [
    "The old version hands over between two batches of frames. If the new one does not start, or ends in its\n" +
    "first seconds, the old one runs again and the exit status is 1.",
  ],
  async main({ positionals: [name], options: { to, json } }) {
    const versions = await withTarget(name, (target) => upgrade(target, name, to));
    console.log(
      json ? JSON.stringify(versions) : `${name}: version ${versions.from} has become ${versions.to}`,
    );
    return 0;
  },
});
