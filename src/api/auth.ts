/** Who may steer drivers: holders of the token, and browsers that were let in by a one-time code. */
import { sameSecret, secret } from "./token.ts";

/** How long a one-time code is good for, milliseconds. */
export const CODE_LIFETIME = 10 * 60_000;
/** How long a session lasts, milliseconds. */
export const SESSION_LIFETIME = 12 * 3_600_000;
/** Wrong tokens and codes within {@link WRONG_WINDOW} after which more of them get no other answer than "too many". */
export const WRONG_LIMIT = 10;
/** Milliseconds. */
export const WRONG_WINDOW = 60_000;

/** Codes, or sessions, at one time; the oldest gives way. */
const KEPT = 256;

/** Options of {@link Auth}. */
export interface AuthOptions {
  /** The token of the state directory. */
  token: string;
  /** Milliseconds that only rise. */
  now?: () => number;
}

/** Sessions and one-time codes, in memory, and the token. */
export class Auth {
  readonly #token: string;
  readonly #now: () => number;
  readonly #codes: Expiring;
  readonly #sessions: Expiring;
  #wrong: number[] = [];

  constructor({ token, now = () => performance.now() }: AuthOptions) {
    this.#token = token;
    this.#now = now;
    this.#codes = new Expiring(CODE_LIFETIME, now);
    this.#sessions = new Expiring(SESSION_LIFETIME, now);
  }

  /** Whether this is the token. A wrong one counts, see {@link wait}. */
  isToken(given: string): boolean {
    return sameSecret(given, this.#token) || this.#countWrong();
  }

  /** A code that lets one browser in, once, within {@link CODE_LIFETIME}. */
  makeCode(): string {
    return this.#codes.add();
  }

  /** Takes a code and gives the id of a new session; undefined if the code is none or no more. Counts as a wrong token. */
  enter(code: string): string | undefined {
    if (this.#codes.take(code)) return this.#sessions.add();
    this.#countWrong();
    return undefined;
  }

  /** Whether a session has this id. */
  hasSession(id: string): boolean {
    return this.#sessions.has(id);
  }

  /**
   * Seconds for which whoever sends a wrong token or code is to be told to wait; 0 if not. Right ones are
   * always taken: otherwise anybody on the machine could lock its operator out.
   */
  wait(): number {
    if (this.#recentWrong().length <= WRONG_LIMIT) return 0;
    return Math.ceil((this.#wrong[0] + WRONG_WINDOW - this.#now()) / 1000);
  }

  #countWrong(): false {
    this.#recentWrong().push(this.#now());
    if (this.#wrong.length > WRONG_LIMIT + 1) this.#wrong.shift();
    return false;
  }

  #recentWrong(): number[] {
    return this.#wrong = this.#wrong.filter((time) => time > this.#now() - WRONG_WINDOW);
  }
}

/** Secrets that lose their meaning after a time. */
class Expiring {
  readonly #lifetime: number;
  readonly #now: () => number;
  /** When each expires; they are added in that order. */
  readonly #ends = new Map<string, number>();

  constructor(lifetime: number, now: () => number) {
    this.#lifetime = lifetime;
    this.#now = now;
  }

  add(): string {
    const [oldest] = this.#ends.keys();
    if (this.#ends.size >= KEPT) this.#ends.delete(oldest);
    const added = secret();
    this.#ends.set(added, this.#now() + this.#lifetime);
    return added;
  }

  has(given: string): boolean {
    return this.#now() < (this.#ends.get(given) ?? -Infinity);
  }

  take(given: string): boolean {
    const good = this.has(given);
    this.#ends.delete(given);
    return good;
  }
}
