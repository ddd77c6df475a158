/** The status API and the dashboard of a supervisor, over HTTP. */
import type { Hono } from "hono";
import { UserError } from "../error.ts";
import type { Fleet } from "../supervisor/contract.ts";
import { createApp } from "./app.tsx";
import { Auth } from "./auth.ts";
import { Metrics } from "./metrics.ts";
import { entryUrl } from "./operations.ts";
import { EventStreams, REAL_TIME, type Timing } from "./stream.ts";
import { loadToken } from "./token.ts";

export { Auth } from "./auth.ts";
export { readToken, tokenPath } from "./token.ts";

/** The port unless another is asked for. */
export const DEFAULT_PORT = 7333;

/** Milliseconds that requests have to be answered once the server is to end. */
const GRACE = 1000;

/** Options of {@link createApi}. */
export interface ApiOptions {
  auth: Auth;
  /** Names that it is reached by, `name:port`; requests for others are refused. */
  hosts: readonly string[];
  /** Replaced in tests. */
  timing?: Timing;
}

/** An app, and what has to end with it. */
export interface Api extends Disposable {
  readonly app: Hono;
}

/** The API and the dashboard of a fleet, without a server. It counts recoveries from now on. */
export function createApi(fleet: Fleet, { auth, hosts, timing = REAL_TIME }: ApiOptions): Api {
  const undo = new DisposableStack();
  const streams = undo.use(new EventStreams(fleet, timing));
  const metrics = undo.use(new Metrics(fleet, streams));
  const app = createApp({ fleet, streams, metrics, auth }, new Set(hosts.map((host) => host.toLowerCase())));
  return { app, [Symbol.dispose]: () => undo.dispose() };
}

/** Options of {@link serveApi}. */
export interface ServeOptions {
  /** Address to listen on, 127.0.0.1 unless given. */
  hostname?: string;
  /** Port to listen on; 0: any that is free. */
  port?: number;
  /** The state directory: the token is in it. */
  state: string;
  /** More names that it is reached by, `name:port`, as through a forwarded port. */
  hosts?: readonly string[];
  timing?: Timing;
}

/** A server that runs until disposed. */
export interface ApiServer extends AsyncDisposable {
  /** Where the dashboard is, as in `http://127.0.0.1:7333/`. */
  readonly url: string;
  /** Another URL that lets one browser in, once, within ten minutes. */
  enterUrl(): string;
}

/**
 * Serves the API and the dashboard.
 * @throws {UserError} if the port is taken, or the token in the state directory is not to be used.
 */
export async function serveApi(
  fleet: Fleet,
  { hostname = "127.0.0.1", port = DEFAULT_PORT, state, hosts = [], timing }: ServeOptions,
): Promise<ApiServer> {
  const auth = new Auth({ token: await loadToken(state), now: timing && (() => timing.now()) });
  const server = listen({ hostname, port }, (request) => api.app.fetch(request));
  const name = urlHost(/^(0\.0\.0\.0|::)$/.test(hostname) ? "127.0.0.1" : hostname);
  const own = served([name, "127.0.0.1", "localhost", "[::1]"], server.addr.port);
  const api = createApi(fleet, { auth, hosts: [...own, ...hosts], timing });
  return {
    url: `http://${own[0]}/`,
    enterUrl: () => entryUrl(own[0], auth),
    async [Symbol.asyncDispose]() {
      api[Symbol.dispose]();
      // What is not answered by then waits for a driver; it can be for as long as the process goes on.
      let timer;
      await Promise.race([server.shutdown(), new Promise((resolve) => timer = setTimeout(resolve, GRACE))]);
      clearTimeout(timer);
    },
  };
}

function listen(
  { hostname, port }: { hostname: string; port: number },
  handler: (request: Request) => Response | Promise<Response>,
): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({ hostname, port, onListen() {} }, handler);
  } catch (error) {
    const cannot = `Cannot serve the dashboard on ${urlHost(hostname)}:${port}`;
    if (error instanceof Deno.errors.AddrInUse) {
      throw new UserError(
        `${cannot}: something listens there already, perhaps another ring3; end it, or choose another port`,
        { cause: error },
      );
    }
    if (error instanceof Deno.errors.AddrNotAvailable) {
      throw new UserError(`${cannot}: this machine has no such address`, { cause: error });
    }
    if (error instanceof Deno.errors.PermissionDenied) {
      throw new UserError(`${cannot}: this user may not; choose a port above 1023`, { cause: error });
    }
    throw error;
  }
}

/** Names with a port as a Host header has them: without it if it is the one of HTTP. */
function served(names: string[], port: number): string[] {
  return [...new Set(names)].map((name) => port === 80 ? name : `${name}:${port}`);
}

function urlHost(hostname: string): string {
  return hostname.includes(":") ? `[${hostname}]` : hostname;
}
