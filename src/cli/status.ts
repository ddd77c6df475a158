/** `ring3 status`: the drivers that run on this machine and in its labs, and what the module holds. */
import { findTargets, type Target } from "../client/target.ts";
import { execInRunningLabs } from "../lab/running.ts";
import { moduleCounters } from "../run/counters.ts";
import { inLab } from "../run/files.ts";
import type { Driver } from "../supervisor/schema.ts";
import { render } from "../view/render.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** What one machine runs; the shape of `--json`, with `labs` on the machine that runs them. */
interface MachineStatus {
  /** Drivers, with the address of the supervisor that has them. */
  drivers: (Driver & { supervisor: string })[];
  /** What ring3.ko holds; null where it cannot be read. */
  module: Record<string, number> | null;
  labs?: MachineStatus[];
}

function driversOf(targets: readonly Target[]): MachineStatus["drivers"] {
  return targets.flatMap(({ client, drivers }) =>
    drivers.map((driver) => ({ ...driver, supervisor: client.url }))
  );
}

async function machineStatus(): Promise<MachineStatus> {
  await using targets = await findTargets({ labs: [] });
  const here = { drivers: driversOf(targets.all), module: await moduleCounters() };
  if (inLab()) return here;
  const printed = await execInRunningLabs(["ring3", "status", "--json"]);
  return { ...here, labs: [...printed.values()].map((text) => JSON.parse(text) as MachineStatus) };
}

function* text({ drivers, module }: MachineStatus): Generator<string> {
  const terminal = Deno.stdout.isTerminal();
  const columns = terminal ? Deno.consoleSize().columns : 100;
  for (const { supervisor, ...driver } of drivers) {
    yield* render(driver, { columns, color: terminal && !Deno.noColor, dashboard: supervisor });
  }
  if (!module) return;
  const held = Object.entries(module).filter(([, count]) => count > 0)
    .map(([name, count]) => `${count} ${name.replaceAll("_", " ")}`);
  yield `ring3.ko holds ${held.join(", ") || "nothing"}`;
}

/** The command. */
export const statusCommand: Command = defineCommand({
  name: "ring3 status",
  summary: "Show the drivers that run here and in labs, and what ring3.ko holds for them",
  options: { json: flag("print it as JSON") },
  notes: ["What the module of this machine holds is shown to root only."],
  async main({ options: { json } }) {
    const machine = await machineStatus();
    if (json) {
      console.log(JSON.stringify(machine));
      return 0;
    }
    for (const line of text(machine)) console.log(line);
    for (const lab of machine.labs ?? []) {
      console.log("In a lab:");
      for (const line of text(lab)) console.log(`  ${line}`);
    }
    const running = [machine, ...machine.labs ?? []].some(({ drivers }) => drivers.length > 0);
    if (!running) console.log("No driver runs here. Start one: deno task run e1000");
    return 0;
  },
});
