/** What stands before every request: the names this server goes by, and who may change something. */
import type { Context, MiddlewareHandler } from "hono";
import { getCookie } from "hono/cookie";
import type { Auth } from "./auth.ts";
import { Problem } from "./problem.ts";

/** How to come by a session, for whoever has none. */
export const HOW_TO_ENTER = 'run "ring3 dashboard" on this machine and open the URL that it prints';

/** Headers of every response. */
const HEADERS: Record<string, string> = {
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "connect-src 'self'",
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join("; "),
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
};

/** Sets the headers that every response has; what says nothing of caching is not kept. */
export const headers: MiddlewareHandler = async (c, next) => {
  await next();
  for (const [name, value] of Object.entries(HEADERS)) c.res.headers.set(name, value);
  if (!c.res.headers.has("Cache-Control")) c.res.headers.set("Cache-Control", "no-store");
};

/**
 * Refuses requests for names that this server does not go by: a page elsewhere that makes its own name
 * lead to this address (DNS rebinding) gets nothing.
 * @param hosts `name:port`, lower case.
 */
export function onlyHosts(hosts: ReadonlySet<string>): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header("Host")?.toLowerCase();
    if (host === undefined || !hosts.has(host)) {
      throw new Problem(421, `This server does not go by that name, but by ${[...hosts].join(", ")}`);
    }
    await next();
  };
}

/**
 * Name of the session's cookie. Cookies of one host are sent to all its ports, so it holds the port:
 * several supervisors of one machine must not end each other's sessions.
 */
export function cookieName(c: Context): string {
  return `ring3_session_${/:(\d+)$/.exec(c.req.header("Host")!)?.[1] ?? 80}`;
}

/** Whether the request comes with a session. */
export function hasSession(c: Context, auth: Auth): boolean {
  const id = getCookie(c, cookieName(c));
  return id !== undefined && auth.hasSession(id);
}

/** Lets a request through that changes something: sent by no foreign page, and with the token or a session. */
export function onlyOwner(auth: Auth): MiddlewareHandler {
  return async (c, next) => {
    const origin = c.req.header("Origin");
    if (origin !== undefined && origin !== `http://${c.req.header("Host")}`) {
      throw new Problem(403, "This request was sent by a page of another site");
    }
    const authorization = c.req.header("Authorization");
    if (authorization !== undefined) {
      const token = /^Bearer +([^ ]+) *$/i.exec(authorization)?.[1];
      if (!auth.isToken(token ?? "")) throw refused(auth, "That is not the token in the state directory");
    } else if (!hasSession(c, auth)) {
      throw refused(auth, `This needs the token, or a session: ${HOW_TO_ENTER}`, { wrong: false });
    } else if (origin === undefined && c.req.header("Sec-Fetch-Site") !== "same-origin") {
      // A cookie comes along whoever sends the request: its sender has to be known.
      throw new Problem(
        403,
        "A request with a session must say by Origin that a page of this server sent it",
      );
    }
    await next();
  };
}

/** The answer to a wrong or missing secret. */
export function refused(auth: Auth, detail: string, options: { wrong: boolean } = { wrong: true }): Problem {
  const wait = options.wrong ? auth.wait() : 0;
  if (wait > 0) {
    return new Problem(429, `Too many wrong tokens; wait ${wait} s`, {
      headers: { "Retry-After": `${wait}` },
    });
  }
  return new Problem(401, detail, { headers: { "WWW-Authenticate": 'Bearer realm="ring3"' } });
}
