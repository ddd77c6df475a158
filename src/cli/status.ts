/** `ring3 status`: the drivers that run on this machine, and what the module holds. */
import { moduleCounters } from "../run/counters.ts";
import { runningDrivers } from "../run/state_file.ts";
import { render } from "../view/render.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** The command. */
export const statusCommand: Command = defineCommand({
  name: "ring3 status",
  summary: "Show the drivers that run on this machine, and what ring3.ko holds for them",
  options: { json: flag("print it as JSON") },
  notes: ["What the module holds is shown to root only."],
  async main({ options: { json } }) {
    const drivers = await runningDrivers();
    const module = await moduleCounters();
    if (json) {
      console.log(JSON.stringify({ drivers, module }));
      return 0;
    }
    const terminal = Deno.stdout.isTerminal();
    const columns = terminal ? Deno.consoleSize().columns : 100;
    for (const { status, driver } of drivers) {
      for (const line of render(status, { columns, color: terminal && !Deno.noColor })) console.log(line);
      console.log(`  process     ${driver ?? "none"}`);
    }
    if (drivers.length === 0) console.log("No driver runs here. Start one: deno task run e1000");
    if (module) {
      const held = Object.entries(module).filter(([, count]) => count > 0)
        .map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`);
      console.log(`ring3.ko holds ${held.join(", ") || "nothing"}`);
    }
    return 0;
  },
});
