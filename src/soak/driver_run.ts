/** A supervisor in a lab, followed from outside: what its supervisor tells, and what it is asked to do. */
import { z } from "zod";
import type { ApiClient } from "../client/api_client.ts";
import { LabConnection } from "../client/lab_connection.ts";
import { UserError } from "../error.ts";
import type { Lab } from "../lab/mod.ts";
import { lines } from "../lines.ts";
import { supervisorInLab } from "../run/lab.ts";
import { RUNTIME_DIRECTORY } from "../run/runtime.ts";
import type { KillWay } from "../supervisor/contract.ts";
import { type Driver, driverSchema, type Event, eventSchema } from "../supervisor/schema.ts";
import { SUPERVISOR_FILE, SUPERVISORS } from "../supervisor/run_folder.ts";
import { within } from "../within.ts";

/** Longest time that anything is waited for unless said otherwise, milliseconds. */
const WAIT_MS = 180_000;

/** Longest time that an answer may take on a loaded lab, milliseconds. */
const ANSWER_MS = 30_000;

/** Where a supervisor says which process it is. */
const SUPERVISOR = `${RUNTIME_DIRECTORY}/${SUPERVISORS}/*/${SUPERVISOR_FILE}`;

/** Of what it says there, what is used here. */
const supervisorSchema = z.object({ pid: z.number(), url: z.string().nullable(), state: z.string() });

/** A line of what a supervisor tells. */
const lineSchema = z.union([
  eventSchema,
  z.object({ type: z.literal("status"), driver: driverSchema }),
  z.object({ type: z.literal("serving"), url: z.string(), enter: z.string() }),
]);

/** Where a supervisor's API is, and a URL that lets a browser in once. */
export interface Serving {
  url: string;
  enter: string;
}

/** An event of one type. */
export type EventOf<T extends Event["type"]> = Extract<Event, { type: T }>;

/** A supervised driver in a lab. Dispose of it to stop it as a user would, with a signal. */
export class DriverRun implements AsyncDisposable {
  /** Everything that has happened, in order. */
  readonly events: Event[] = [];
  readonly #lab: Lab;
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  readonly #said: Promise<string>;
  /** Ends the way to the API. */
  readonly #undo = new AsyncDisposableStack();
  #driver?: Driver;
  #serving?: Serving;
  #client?: Promise<ApiClient>;
  #ended = false;
  #failure?: Error;
  #wake = Promise.withResolvers<void>();

  private constructor(lab: Lab, args: readonly string[], folders: readonly string[]) {
    this.#lab = lab;
    this.#child = lab.spawn(supervisorInLab(args, { folders }), {
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    this.#said = new Response(this.#child.stderr).text();
    this.#read = this.#follow().catch((error) => {
      this.#failure = error;
    }).finally(() => {
      this.#ended = true;
      this.#notify();
    });
  }

  /**
   * Starts the driver of a manifest.
   * @param args The manifest's name or file in the guest, and options of the supervisor's.
   * @param options `folders`: what the supervisor may read in the guest besides.
   */
  static start(
    lab: Lab,
    args: readonly string[],
    { folders = [] }: { folders?: readonly string[] } = {},
  ): DriverRun {
    return new DriverRun(lab, args, folders);
  }

  /** The driver as it was a second ago or less; undefined before the first status. */
  get driver(): Driver | undefined {
    return this.#driver;
  }

  /** Id of the latest event, 0 before the first. */
  get lastId(): number {
    return this.events.at(-1)?.id ?? 0;
  }

  /** The last event of a type so far. */
  last<T extends Event["type"]>(type: T): EventOf<T> | undefined {
    return this.events.findLast((event): event is EventOf<T> => event.type === type);
  }

  /**
   * The first event of a type that comes, or came, after the one with the id `after`.
   * @throws {UserError} if it does not come in time, or the run ends before.
   */
  async next<T extends Event["type"]>(
    type: T,
    options: { after?: number; ms?: number; where?: (event: EventOf<T>) => boolean } = {},
  ): Promise<EventOf<T>> {
    const { after = 0, where = () => true } = options;
    const fits = (event: Event): event is EventOf<T> =>
      event.id > after && event.type === type && where(event as EventOf<T>);
    // Ids rise: what is at or before `after` need not be looked at again.
    let from = this.events.findLastIndex(({ id }) => id <= after) + 1;
    return await this.#until(`event "${type}"`, () => {
      const found = this.events.slice(from).find(fits);
      from = this.events.length;
      return found;
    }, options.ms);
  }

  /** The first status from now on that fits. @throws {UserError} if it does not come in time, or the run ends. */
  async status(
    fits: (driver: Driver) => boolean,
    options: { what: string; ms?: number },
  ): Promise<Driver> {
    return await this.#until(
      options.what,
      () => this.#driver && fits(this.#driver) ? this.#driver : undefined,
      options.ms,
    );
  }

  /** Where its API is, in the guest. @throws {UserError} if it does not say. */
  async serving(): Promise<Serving> {
    return await this.#until("API of the supervisor", () => this.#serving);
  }

  /** Has the driver end in that way, through the supervisor's API. @throws {UserError} if that refuses. */
  async kill(how: KillWay): Promise<void> {
    const { driver } = this.events[0] ?? await this.next("starting");
    await within((await this.client()).act(driver, "kill", { how }), ANSWER_MS, {
      message: `The supervisor in the lab did not answer within ${ANSWER_MS / 1000} s`,
    });
  }

  /** Its API, until the run has ended. @throws {UserError} if it does not say where that is, or the lab refuses. */
  async client(): Promise<ApiClient> {
    this.#client ??= this.#connect();
    return await this.#client;
  }

  async #connect(): Promise<ApiClient> {
    const { url } = await this.serving();
    const { state } = await this.#supervisor();
    return this.#undo.use(await LabConnection.open(this.#lab.running, url)).client(state);
  }

  /** Process of the supervisor, in the guest. @throws {UserError} if it has not said which that is. */
  async supervisor(): Promise<number> {
    return (await this.#supervisor()).pid;
  }

  async #supervisor(): Promise<z.infer<typeof supervisorSchema>> {
    const { url } = await this.serving();
    const { stdout } = await this.#lab.exec(["sh", "-c", `cat ${SUPERVISOR}`]);
    const all = stdout.split("\n").filter((line) => line !== "")
      .map((line) => supervisorSchema.parse(JSON.parse(line)));
    const own = all.find((supervisor) => supervisor.url === url);
    if (!own) throw new UserError(`Cannot tell which process serves ${url}: ${stdout.trim()}`);
    return own;
  }

  /** Waits for a run that ends by itself. Its exit status and what it said on standard error. */
  async ended(): Promise<{ code: number; stderr: string }> {
    const { code } = await this.#child.status;
    await this.#read;
    await this.#undo.disposeAsync();
    if (this.#failure) throw this.#failure;
    return { code, stderr: await this.#said };
  }

  /** Stops it as Ctrl-C would, and waits. */
  async stop(): Promise<{ code: number; stderr: string }> {
    await this.#lab.exec(["kill", "-INT", `${await this.supervisor()}`]);
    return await this.ended();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Where it cannot be stopped, the lab has gone or is about to go, and takes it along.
    if (!this.#ended) await this.stop().catch(() => {});
    await this.#undo.disposeAsync();
  }

  async #follow(): Promise<void> {
    for await (const text of lines(this.#child.stdout)) {
      const line = lineSchema.parse(JSON.parse(text));
      if (line.type === "status") this.#driver = line.driver;
      else if (line.type === "serving") this.#serving = line;
      else this.events.push(line);
      this.#notify();
    }
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  /** What `look` finds, now or after whatever the run tells next. */
  async #until<T>(what: string, look: () => T | undefined, ms = WAIT_MS): Promise<T> {
    const deadline = performance.now() + ms;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const left = deadline - performance.now();
      if (this.#ended || left <= 0) throw await this.#missed(what, ms);
      let timer;
      await Promise.race([
        this.#wake.promise,
        new Promise((resolve) => timer = setTimeout(resolve, left)),
      ]);
      clearTimeout(timer);
    }
  }

  async #missed(what: string, ms: number): Promise<UserError> {
    const crash = this.#ended ? await this.#lab.crash(`while waiting for the ${what}`) : undefined;
    if (crash) return crash;
    if (this.#failure) {
      return new UserError(`Cannot follow the driver's supervisor: ${this.#failure.message}`, {
        cause: this.#failure,
      });
    }
    const why = this.#ended ? "the run ended before it came" : `it did not come within ${ms / 1000} s`;
    const last = this.events.slice(-3).map((event) => `\n  ${JSON.stringify(event)}`).join("");
    const said = this.#ended ? (await this.#said).trimEnd().split("\n").slice(-3).join("\n  ") : "";
    return new UserError(`Waited for the ${what}: ${why}; the last events:${last}${said && `\n  ${said}`}`);
  }
}
