/** From errors to exit statuses: the one place where a user's error and a defect part. */
import { UserError } from "../error.ts";

/**
 * The exit status of some work. A `UserError` becomes its lines on standard error and its own status; any
 * other error is a defect and passes through, to end the process with its stack.
 */
export async function exitStatus(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    for (const line of error.message.split("\n")) console.error(`ring3: ${line}`);
    return error.code;
  }
}
