/** The token that lets its holder steer drivers: a file of the supervisor's user, in the state directory. */
import { createHash, timingSafeEqual } from "node:crypto";
import { UserError } from "../error.ts";

/** Bytes of randomness in a secret. */
const SECRET_BYTES = 32;

/** What a secret looks like: 32 bytes in base64url. */
const SECRET = /^[A-Za-z0-9_-]{43}$/;

/** Mode bits of everybody but the owner. */
const OTHERS = 0o077;

/** A new secret: 32 random bytes in base64url, 43 characters. */
export function secret(): string {
  return crypto.getRandomValues(new Uint8Array(SECRET_BYTES)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
}

/** Whether two secrets are the same, in a time that does not tell how much of them is. */
export function sameSecret(one: string, other: string): boolean {
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(one), digest(other));
}

/** Where the token is kept in a state directory. */
export function tokenPath(state: string): string {
  return `${state}/token`;
}

/**
 * The token kept in a state directory; makes both if there is none.
 * @throws {UserError} if the file is open to others, another user's, or holds no token.
 */
export async function loadToken(state: string): Promise<string> {
  const path = tokenPath(state);
  await Deno.mkdir(state, { recursive: true, mode: 0o755 });
  try {
    return await readToken(state);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  // Written aside and linked, so that nobody finds a file without its token, and the first of two wins.
  const draft = `${path}.${crypto.randomUUID()}`;
  await Deno.writeTextFile(draft, `${secret()}\n`, { createNew: true, mode: 0o600 });
  try {
    await Deno.link(draft, path);
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
  } finally {
    await Deno.remove(draft);
  }
  return await readToken(state);
}

/**
 * The token kept in a state directory.
 * @throws {Deno.errors.NotFound} if there is none.
 * @throws {UserError} as {@link loadToken}.
 */
export async function readToken(state: string): Promise<string> {
  const path = tokenPath(state);
  const refuse = (why: string) => {
    throw new UserError(
      `Will not use the token in ${path}: ${why}; remove it, and start again to make another`,
    );
  };
  if (!(await Deno.lstat(path)).isFile) refuse("it is not a plain file");
  using file = await Deno.open(path);
  const { mode, uid } = await file.stat();
  if (uid !== Deno.uid()) refuse(`it belongs to user ${uid}, and this is run by user ${Deno.uid()}`);
  if ((mode! & OTHERS) !== 0) {
    refuse(`its mode ${(mode! & 0o777).toString(8)} lets others at it (it must be 600), so it may be known`);
  }
  const text = (await new Response(file.readable).text()).trim();
  if (!SECRET.test(text)) refuse("it does not hold a token");
  return text;
}
