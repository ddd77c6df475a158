/** Work that may not end. */
import { UserError } from "./error.ts";

/** Gives up work that does not end within `ms` milliseconds. @throws {UserError} with that message, then. */
export async function within<T>(work: Promise<T>, ms: number, { message }: { message: string }): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new UserError(message)), ms);
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
