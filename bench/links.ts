/** When links of interfaces in the lab come up. */
import { UserError } from "../src/error.ts";
import type { Lab } from "../src/lab/mod.ts";
import { lines } from "../src/lines.ts";

/** Takes note of when links come up, as `ip monitor` tells of it. Dispose of it to end it. */
export class LinkWatch implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #up = new Map<string, number>();
  #began = 0;

  private constructor(child: Deno.ChildProcess, said: AsyncGenerator<string>) {
    this.#child = child;
    this.#reading = (async () => {
      for await (const line of said) {
        const name = linkThatIsUp(line);
        if (name !== undefined && !this.#up.has(name)) this.#up.set(name, performance.now());
      }
    })();
  }

  /** Starts it. @throws {UserError} if the program does not start. */
  static async start(lab: Lab): Promise<LinkWatch> {
    // It ends with its input. The shell's word comes when the other has had time to listen.
    const line = "ip -o monitor link & sleep 0.2; echo ready; cat; kill $!";
    const child = lab.spawn(["dash", "-c", line], { stdin: "piped", stdout: "piped", stderr: "inherit" });
    const said = lines(child.stdout);
    for (;;) {
      const { value, done } = await said.next();
      if (done) throw new UserError("Cannot watch the links of the lab; why is above");
      if (value === "ready") return new LinkWatch(child, said);
    }
  }

  /** Counts from now on. */
  begin(): void {
    this.#up.clear();
    this.#began = performance.now();
  }

  /** Seconds until the link of an interface was up for the first time. @throws {UserError} if it never was. */
  seconds(name: string): number {
    const at = this.#up.get(name);
    if (at === undefined) throw new UserError(`Nobody told that the link of ${name} came up`);
    return (at - this.#began) / 1000;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stdin.close().catch(() => {});
    await this.#child.status;
    await this.#reading;
  }
}

/** The interface that a line of `ip -o monitor link` tells of, if its link is up: has a carrier. */
export function linkThatIsUp(line: string): string | undefined {
  const found = /^\d+: ([^:@\s]+)(?:@[^:]+)?: <([^>]*)>/.exec(line);
  return found && found[2].split(",").includes("LOWER_UP") ? found[1] : undefined;
}
