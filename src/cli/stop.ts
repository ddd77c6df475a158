/** `ring3 stop`: a driver that is to stay ended. */
import { steerCommand } from "./steer.ts";

/** The command. */
export const stopCommand = steerCommand({
  action: "stop",
  summary: "End a driver and keep it ended",
  example: "its device stays with the supervisor; ring3 start takes it up again",
});
