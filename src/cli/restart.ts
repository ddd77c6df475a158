/** `ring3 restart`: another process of the same version. */
import { steerCommand } from "./steer.ts";

/** The command. */
export const restartCommand = steerCommand({
  action: "restart",
  summary: "Replace a driver's process by another of the same version",
  example: "its interface and its connections stay",
});
