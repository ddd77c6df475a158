/** `ring3 start`: a driver that was stopped or given up. */
import { steerCommand } from "./steer.ts";

/** The command. */
export const startCommand = steerCommand({
  action: "start",
  summary: "Start a driver that was stopped or given up",
  example: "with a full budget of restarts",
  notes: ["This is for drivers that a supervisor has; ring3 run starts a supervisor."],
});
