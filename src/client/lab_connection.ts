/** The API of a supervisor in a lab, from outside. */
import { tokenPath } from "../api/token.ts";
import { UserError } from "../error.ts";
import type { RunningLab } from "../lab/running.ts";
import { ApiClient } from "./api_client.ts";

/** A way to an API in a lab: a socket of this machine's that leads there. The address stays what it is there. */
export class LabConnection implements AsyncDisposable {
  readonly #lab: RunningLab;
  readonly #url: string;
  readonly #path: string;
  readonly #http: Deno.HttpClient;

  private constructor(lab: RunningLab, url: string, path: string) {
    this.#lab = lab;
    this.#url = url;
    this.#path = path;
    this.#http = Deno.createHttpClient({ proxy: { transport: "unix", path } });
  }

  /** Opens it. @param url Where the supervisor serves, in the lab. @throws {UserError} if the lab refuses. */
  static async open(lab: RunningLab, url: string): Promise<LabConnection> {
    const path = `${lab.directory}/api-${Deno.pid}-${new URL(url).port}`;
    const refused = await lab.forward(path, Number(new URL(url).port));
    if (refused !== undefined) throw new UserError(`Cannot reach the lab ${lab.directory}: ${refused}`);
    return new LabConnection(lab, url, path);
  }

  /** The API at its other end. @param state The supervisor's state directory, in the lab. */
  client(state: string): ApiClient {
    let token: Promise<string> | undefined;
    return new ApiClient({ url: this.#url, http: this.#http, token: () => token ??= this.#token(state) });
  }

  async #token(state: string): Promise<string> {
    const { code, stdout, stderr } = await this.#lab.exec(["cat", tokenPath(state)]);
    if (code !== 0) throw new UserError(`Cannot read the token in the lab: ${stderr.trim()}`);
    return stdout.trim();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.close();
    await this.#lab.cancel(this.#path, Number(new URL(this.#url).port));
    await Deno.remove(this.#path).catch(() => {});
  }
}
