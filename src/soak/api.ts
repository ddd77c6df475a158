/** The API of a supervisor in a lab, as far as soaks use it. */
import { request } from "node:http";
import { UserError } from "../error.ts";
import type { Lab } from "../lab/mod.ts";
import type { KillWay } from "../supervisor/contract.ts";

/** Where the supervisor keeps its token in the guest. */
const TOKEN = "/var/lib/ring3/token";

/** Longest time that an answer may take on a loaded lab, milliseconds. */
const ANSWER_MS = 30_000;

/** A connection to the API of the one supervisor of a lab. */
export class Api {
  readonly #port: number;
  readonly #host: string;
  readonly #token: string;

  private constructor(port: number, host: string, token: string) {
    this.#port = port;
    this.#host = host;
    this.#token = token;
  }

  /**
   * Opens a way to the API.
   * @param url Where the supervisor says that it serves: an address of the guest's own.
   * @throws {UserError} if there is no token in the guest.
   */
  static async open(lab: Lab, url: string): Promise<Api> {
    const { host, port } = new URL(url);
    const { code, stdout, stderr } = await lab.exec(["cat", TOKEN]);
    if (code !== 0) throw new UserError(`Cannot read the supervisor's token in the lab: ${stderr.trim()}`);
    return new Api(await lab.forward(Number(port), { through: "loopback" }), host, stdout.trim());
  }

  /**
   * Has a driver end in that way. Resolves when the supervisor has taken the request.
   * @throws {UserError} if it refuses, with what it says.
   */
  async kill(driver: string, how: KillWay): Promise<void> {
    await this.#post(`/api/v1/drivers/${driver}/kill`, { how });
  }

  /** Not by `fetch`: the supervisor answers to its own name only, and `fetch` would say that of our port. */
  #post(path: string, body: unknown): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const refused = (why: string, cause?: unknown) =>
      reject(new UserError(`The supervisor in the lab refused POST ${path}: ${why}`, { cause }));
    const sent = request({
      host: "127.0.0.1",
      port: this.#port,
      path,
      method: "POST",
      headers: {
        Host: this.#host,
        Authorization: `Bearer ${this.#token}`,
        "Content-Type": "application/json",
      },
      timeout: ANSWER_MS,
    }, (response) => {
      const parts: Uint8Array[] = [];
      response.on("data", (part: Uint8Array) => parts.push(part));
      response.on("error", (error) => refused(error.message, error));
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        if (status < 300) return resolve();
        const text = parts.map((part) => new TextDecoder().decode(part)).join("");
        refused(`status ${status}: ${detailOf(text)}`);
      });
    });
    sent.on("timeout", () => sent.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)));
    sent.on("error", (error) => refused(error.message, error));
    sent.end(JSON.stringify(body));
    return promise;
  }
}

/** What an answer of RFC 9457 says in words, or all of another one. */
function detailOf(text: string): string {
  try {
    const { detail, title } = JSON.parse(text) as { detail?: string; title?: string };
    return detail ?? title ?? text;
  } catch {
    return text.trim();
  }
}
