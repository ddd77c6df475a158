/**
 * A failure that the user can act on. Its message is one line: what is wrong, where, what to do. The
 * command line prints it without a stack and ends with `status`.
 */
export class UserError extends Error {
  /** Exit status of the command that ends with it. */
  readonly status: number;

  constructor(message: string, options: { cause?: unknown; status?: number } = {}) {
    super(message, { cause: options.cause });
    this.name = "UserError";
    this.status = options.status ?? 1;
  }
}
