/** The error for what a user can put right, as against a defect of ring3. */

/** Exit status of a command line that was not understood. */
export const USAGE = 2;

/**
 * Something a user can put right. The message says what is wrong, where, and what to do, in one line (or
 * one line per problem); the command line prints it without a stack and exits with `code`.
 */
export class UserError extends Error {
  override readonly name: string = "UserError";
  /** Exit status of the process, 1 unless given. */
  readonly code: number;

  constructor(message: string, options: { code?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = options.code ?? 1;
  }
}
