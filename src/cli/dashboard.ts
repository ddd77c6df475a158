/** `ring3 dashboard`: a way into the dashboard. */
import { findTargets, onlyTarget } from "../client/target.ts";
import { UserError } from "../error.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** The command. */
export const dashboardCommand: Command = defineCommand({
  name: "ring3 dashboard",
  summary: "Print a URL that opens the dashboard, good once and for ten minutes",
  options: { json: flag("print it as JSON") },
  notes: ["For a supervisor in a lab, the port is forwarded to this machine as long as the lab runs."],
  async main({ options: { json } }) {
    await using targets = await findTargets();
    const { client, lab } = onlyTarget(targets);
    const { url } = await client.post<{ url: string }>("entries");
    if (lab) {
      const { port } = new URL(client.url);
      const refused = await lab.forward(`127.0.0.1:${port}`, Number(port));
      if (refused !== undefined) {
        throw new UserError(`Cannot forward port ${port} of the lab to this machine: ${refused}`);
      }
    }
    console.log(json ? JSON.stringify({ url }) : url);
    return 0;
  },
});
