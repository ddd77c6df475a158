/** A program in the lab that answers each line with a line of JSON. It stays: to start one costs more than it tells. */
import type { z } from "zod";
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";

/** Talks to one. Dispose of it to end it. */
export class Dialog<Answer> implements AsyncDisposable {
  readonly #argv: readonly string[];
  readonly #schema: z.ZodType<Answer>;
  readonly #child: Deno.ChildProcess;
  readonly #ask: WritableStreamDefaultWriter<Uint8Array>;
  readonly #said: AsyncGenerator<string>;

  constructor(lab: Lab, argv: readonly string[], schema: z.ZodType<Answer>) {
    this.#argv = argv;
    this.#schema = schema;
    this.#child = lab.spawn(argv, { stdin: "piped", stdout: "piped", stderr: "inherit" });
    this.#ask = this.#child.stdin.getWriter();
    this.#said = lines(this.#child.stdout);
  }

  /** @throws {UserError} if the program has ended; what it said of that is on standard error. */
  async ask(line: string): Promise<Answer> {
    await this.#ask.write(new TextEncoder().encode(`${line}\n`)).catch(() => {});
    const { value, done } = await this.#said.next();
    if (done) throw new UserError(`${this.#argv.join(" ")} has ended in the lab`);
    return this.#schema.parse(JSON.parse(value));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ask.close().catch(() => {});
    await this.#child.status;
    await this.#said.return(undefined);
  }
}
