/** `ring3 status`: the drivers that run on this machine, and what the module holds. */
import { runningDrivers } from "../run/state_file.ts";
import { render } from "../view/render.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** The command. */
export const statusCommand: Command = defineCommand({
  name: "ring3 status",
  summary: "Show the drivers that run on this machine",
  options: { json: flag("print it as JSON") },
  notes: ["Drivers that run in a lab are shown in that lab: ring3 lab exec -- ring3 status boots another."],
  async main({ options: { json } }) {
    const running = await runningDrivers();
    if (json) {
      console.log(JSON.stringify(running));
      return 0;
    }
    if (running.length === 0) {
      console.log("No driver of ring3's runs on this machine. Start one: deno task run e1000");
      return 0;
    }
    const columns = Deno.stdout.isTerminal() ? Deno.consoleSize().columns : 100;
    for (const { status, driver } of running) {
      for (const line of render(status, { columns, color: Deno.stdout.isTerminal() && !Deno.noColor })) {
        console.log(line);
      }
      console.log(`  process ${driver ?? "none"}`);
    }
    return 0;
  },
});
