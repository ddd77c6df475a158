/** The status API from the side of those who use it. */
import { UserError } from "../error.ts";
import { lines } from "../lines.ts";

/** Longest that a supervisor may take to answer a question, milliseconds; actions take what they take. */
const ANSWER_MS = 10_000;

/** How an API is reached. */
export interface ApiOptions {
  /** Its address, as in `http://127.0.0.1:7333/`. */
  url: string;
  /** The token, for what changes state; asked for when it is needed. */
  token: () => Promise<string>;
  /** The connection to use instead of one to the address itself. */
  http?: Deno.HttpClient;
}

/** What a supervisor does to a driver when it is asked to. */
export type Action = "start" | "stop" | "restart" | "upgrade" | "faults" | "withdraw" | "kill";

/** No supervisor answers there. */
export class UnreachableError extends UserError {
  override readonly name = "UnreachableError";
}

/** One supervisor's API. */
export class ApiClient {
  readonly url: string;
  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.url = options.url;
    this.#options = options;
  }

  /** What is found at a path below the API. @throws {UserError} with the problem's own words. */
  async get<T>(path: string): Promise<T> {
    const response = await this.#fetch(path, { signal: AbortSignal.timeout(ANSWER_MS) });
    return await response.json() as T;
  }

  /** Has something done, and waits for it. @throws {UserError} with the problem's own words. */
  async post<T>(path: string, body: Record<string, unknown> = {}): Promise<T> {
    const response = await this.#fetch(path, {
      method: "POST",
      body: JSON.stringify(body),
      headers: {
        "Content-Type": "application/json",
        Authorization: `Bearer ${await this.#options.token()}`,
      },
    });
    return await response.json() as T;
  }

  /** Has something done to a driver, and waits for it. @throws {UserError} with the problem's own words. */
  async act<T>(driver: string, action: Action, body: Record<string, unknown> = {}): Promise<T> {
    return await this.post<T>(`drivers/${encodeURIComponent(driver)}/${action}`, body);
  }

  /** The data of each server-sent event of a stream, with its type, until it ends or `signal` aborts. */
  async *stream(
    path: string,
    { signal }: { signal: AbortSignal },
  ): AsyncGenerator<{ type: string; data: string }> {
    const response = await this.#fetch(path, { signal, headers: { Accept: "text/event-stream" } });
    let type = "message";
    let data: string[] = [];
    for await (const line of lines(response.body!)) {
      const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line.replace(/\r$/, ""))!;
      if (field === "event") type = value;
      else if (field === "data") data.push(value);
      else if (line.trim() === "") {
        if (data.length > 0) yield { type, data: data.join("\n") };
        type = "message";
        data = [];
      }
    }
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    const { url, http } = this.#options;
    let response: Response;
    try {
      response = await fetch(new URL(`api/v1/${path}`, url), { ...init, client: http } as RequestInit);
    } catch (cause) {
      if (init.signal?.aborted && !isTimeout(cause)) throw cause;
      const why = isTimeout(cause) ? `no answer within ${ANSWER_MS / 1000} s` : "nobody listens there";
      throw new UnreachableError(`Cannot reach the supervisor at ${url}: ${why}`, { cause });
    }
    if (response.ok) return response;
    throw new UserError(await problemText(response));
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof DOMException && error.name === "TimeoutError";
}

/** The words of a problem (RFC 9457), or what there is if it is none. */
async function problemText(response: Response): Promise<string> {
  const text = await response.text();
  try {
    const { title, detail, errors } = JSON.parse(text) as {
      title?: string;
      detail?: string;
      errors?: { pointer: string; detail: string }[];
    };
    const wrong = (errors ?? []).map((one) => `${one.pointer}: ${one.detail}`);
    const said = [detail ?? title, ...wrong].filter((one) => one).join("; ");
    if (said) return said;
  } catch {
    // Not JSON: the status says more than its body.
  }
  return `The supervisor answered with status ${response.status}`;
}
