/** `ring3 run` inside a lab, for tests: its events, its driver process, and its end. */
import type { Lab } from "../../src/lab/mod.ts";
import type { RunEvent } from "../../src/run/native.ts";
import { lines } from "../../src/lines.ts";
import type { SupervisorEvent } from "../../src/supervisor/supervisor.ts";

/** Longest time that a test waits for one event, milliseconds. */
const EVENT_MS = 60_000;

/** A supervised driver in a lab. Dispose of it to stop it as a user would, with a signal. */
export class DriverRun implements AsyncDisposable {
  /** Everything that has happened, in order. */
  readonly events: RunEvent[] = [];
  readonly #lab: Lab;
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  #wake = Promise.withResolvers<void>();
  #ended = false;
  readonly #said: Promise<string>;

  private constructor(lab: Lab, args: string[]) {
    const child = lab.spawn(["ring3", "run", ...args, "--native", "--json"], {
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    this.#lab = lab;
    this.#child = child;
    this.#said = new Response(child.stderr).text();
    this.#read = this.#readEvents(child.stdout);
  }

  async #readEvents(stdout: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const line of lines(stdout)) {
      this.events.push(JSON.parse(line) as RunEvent);
      this.#notify();
    }
    this.#ended = true;
    this.#notify();
  }

  /** Starts a driver and waits until its interface has an address. */
  static async up(lab: Lab, args: string[] = ["e1000"]): Promise<DriverRun> {
    const run = new DriverRun(lab, args);
    await run.until(({ event }) => event === "address", "an address");
    return run;
  }

  /** Starts a driver where nobody gives addresses, and waits until it carries traffic. */
  static async ready(lab: Lab, args: string[]): Promise<DriverRun> {
    const run = new DriverRun(lab, [...args, "--no-dhcp"]);
    await run.driverEvent("ready");
    await run.until(({ event }) => event === "interface", "an interface");
    return run;
  }

  /** Starts a driver that is expected to fail. Its exit status and what it said on standard error. */
  static async fails(lab: Lab, args: string[]): Promise<{ code: number; stderr: string }> {
    const run = new DriverRun(lab, args);
    const { code } = await run.#child.status;
    await run.#read;
    return { code, stderr: await run.#said };
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** The first event from index `from` that fits; its index. Fails if it does not come. */
  async until(
    fits: (event: RunEvent) => boolean,
    what: string,
    { from = 0, ms = EVENT_MS } = {},
  ): Promise<number> {
    const deadline = performance.now() + ms;
    for (let at = from;; at++) {
      while (at >= this.events.length) {
        const left = deadline - performance.now();
        if (this.#ended || left <= 0) {
          const last = this.events.slice(-3).map((event) => JSON.stringify(event)).join("\n");
          const said = this.#ended ? await this.#said : "";
          throw new Error(`Waited for ${what}; the last events:\n${last}\n${said}`);
        }
        let timer;
        await Promise.race([
          this.#wake.promise,
          new Promise((resolve) => timer = setTimeout(resolve, left)),
        ]);
        clearTimeout(timer);
      }
      if (fits(this.events[at])) return at;
    }
  }

  /** The next event of a type that the supervisor reports, and where it stands. */
  async driverEvent<T extends SupervisorEvent["type"]>(
    type: T,
    options: { from?: number; ms?: number } = {},
  ): Promise<{ at: number; detail: Extract<SupervisorEvent, { type: T }> }> {
    const at = await this.until(
      (event) => event.event === "driver" && event.detail.type === type,
      `the driver to be ${type}`,
      options,
    );
    const event = this.events[at] as Extract<RunEvent, { event: "driver" }>;
    return { at, detail: event.detail as Extract<SupervisorEvent, { type: T }> };
  }

  /** Process of the driver that was started last. */
  get pid(): number {
    const last = this.events.findLast((event) =>
      event.event === "driver" && event.detail.type === "starting"
    ) as { detail: { pid: number } };
    return last.detail.pid;
  }

  /** Waits for a run that ends by itself. Its exit status and what it said on standard error. */
  async ended(): Promise<{ code: number; stderr: string }> {
    const { code } = await this.#child.status;
    await this.#read;
    return { code, stderr: await this.#said };
  }

  /** Stops it as Ctrl-C would, and waits. */
  async stop(): Promise<{ code: number; stderr: string }> {
    await this.#lab.exec(["pkill", "-INT", "-f", "src/cli.ts run"]);
    return await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#ended) await this.stop();
  }
}
