/** What the commands that steer one driver have in common. */
import { findTargets, type Target, targetOf } from "../client/target.ts";
import type { Driver } from "../supervisor/schema.ts";
import { plain } from "../view/render.ts";
import { type Command, defineCommand, flag } from "./args.ts";

/** Runs something with the supervisor of a driver. */
export async function withTarget<T>(name: string, work: (target: Target) => Promise<T>): Promise<T> {
  await using targets = await findTargets();
  return await work(targetOf(targets, name));
}

/** A driver's state in a line. */
export function stateText({ name, state, pid, address }: Driver): string {
  return plain(`${name} ${address ?? "without a device"} ${state}${pid === null ? "" : `, process ${pid}`}`);
}

/** A command that takes a driver's name, does one thing to it, and shows what became of it. */
export function steerCommand(
  { action, summary, example, notes }: {
    action: "start" | "stop" | "restart";
    summary: string;
    example: string;
    notes?: string[];
  },
): Command {
  return defineCommand({
    name: `ring3 ${action}`,
    summary,
    positionals: [{ name: "driver", description: "its name, as ring3 status shows it" }],
    options: { json: flag("print its state as JSON") },
    examples: [{ line: `ring3 ${action} e1000`, does: example }],
    notes,
    async main({ positionals: [name], options }) {
      const driver = await withTarget(name, ({ client }) => client.act<Driver>(name, action));
      console.log(options.json ? JSON.stringify(driver) : stateText(driver));
      return 0;
    },
  });
}
