/** Faults from outside a driver's folder: what is done to its process, or to the machine around it. */
import { z } from "zod";
import { whenSchema } from "./when.ts";

/** Describes one. It comes by time: nobody outside can count what passes inside. */
function act<const Name extends string, Shape extends z.ZodRawShape>(
  model: Name,
  about: string,
  shape: Shape,
) {
  const when = whenSchema.extend({
    of: z.literal("ms", { error: 'a fault from outside the driver comes by time: expected "ms"' }),
  });
  return z.strictObject({ model: z.literal(model), when: when.optional(), ...shape }).describe(about);
}

/** How long, for acts that end. */
const lasting = {
  ms: z.int().min(1).optional().describe(
    "For how long, milliseconds; default: until what was done is undone.",
  ),
};

/** All of them. */
export const ACTS = [
  act("process.kill", "The driver's process gets SIGKILL.", {}),
  act("process.stop", "The driver's process gets SIGSTOP.", lasting),
  act("process.memory", "The driver's process is ended as if the machine had no memory left.", {}),
  act("process.close", "The driver's process loses the descriptor of its grant.", {}),
  act("platform.unplug", "The device is unplugged.", lasting),
  act("platform.link", "The card's link goes down.", lasting),
  act("platform.supervisor", "The supervisor gets SIGKILL.", {}),
  act("platform.spare", "The spare process gets SIGKILL while it takes over.", {}),
  act("platform.flood", "The supervisor's API gets requests without pause.", lasting),
] as const;

const NAMES: readonly string[] = ACTS.map(({ shape }) => shape.model.value);

/** A fault from outside a driver. */
export type Act = z.output<(typeof ACTS)[number]>;

/** Whether a fault is from outside the driver. */
export function isAct<T extends { model: string }>(fault: T): fault is T & Act {
  return NAMES.includes(fault.model);
}
