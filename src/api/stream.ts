/**
 * Live state as server-sent events. Nothing here is ever waited for: an event is put into the queue of each
 * client, and the queue of one that does not read is not let grow.
 */
import type { Fleet } from "../supervisor/contract.ts";
import type { Event } from "../supervisor/schema.ts";
import type { z } from "zod";
import { Problem } from "./problem.ts";
import type { driversSchema } from "./schema.ts";

/** Events that wait for one client at most, beside those it had missed when it came. */
export const QUEUE = 256;
/** Clients at one time. */
export const MAX_CLIENTS = 64;
/** Milliseconds between two `drivers` events. */
export const DRIVERS_INTERVAL = 1000;
/** Milliseconds between two heartbeats. */
export const HEARTBEAT_INTERVAL = 15_000;
/** Milliseconds after which a client that has not read what waits for it is dropped. */
export const STUCK_AFTER = 30_000;

/** Time, as {@link EventStreams} takes it. */
export interface Timing {
  /** Milliseconds that only rise. */
  now(): number;
  /** Calls `run` every `ms` milliseconds until the function it returns is called. */
  every(ms: number, run: () => void): () => void;
}

/** The process's own time. */
export const REAL_TIME: Timing = {
  now: () => performance.now(),
  every(ms, run) {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
};

/** All open event streams of one server. */
export class EventStreams implements Disposable {
  readonly #fleet: Fleet;
  readonly #timing: Timing;
  readonly #clients = new Set<Client>();
  #stop?: DisposableStack;
  #lost = 0;

  constructor(fleet: Fleet, timing: Timing = REAL_TIME) {
    this.#fleet = fleet;
    this.#timing = timing;
  }

  /** Clients that listen. */
  get clients(): number {
    return this.#clients.size;
  }

  /** Clients that were dropped because they did not read. */
  get lost(): number {
    return this.#lost;
  }

  /**
   * Opens a stream, with the kept events above `after` first.
   * @throws {Problem} 503 if there are {@link MAX_CLIENTS}.
   */
  open(after?: number): ReadableStream<Uint8Array<ArrayBuffer>> {
    if (this.#clients.size >= MAX_CLIENTS) {
      throw new Problem(503, `${MAX_CLIENTS} clients listen already; close one`, {
        headers: { "Retry-After": "10" },
      });
    }
    const client = new Client([RETRY, ...this.#missed(after)], {
      now: this.#timing.now(),
      onGone: (gone) => this.#remove(gone),
    });
    this.#clients.add(client);
    if (!this.#stop) this.#start();
    client.push(this.#driversFrame(), { replaces: true });
    return client.stream;
  }

  /** Ends all streams. */
  [Symbol.dispose](): void {
    for (const client of this.#clients) client.end();
    this.#clients.clear();
    this.#pause();
  }

  /** What a client has to be told that knows the events up to `after`. */
  #missed(after: number | undefined): Frame[] {
    if (after === undefined) return [];
    const kept = this.#fleet.events();
    const frames = kept.filter(({ id }) => id > after).map(eventFrame);
    const first = kept.at(0)?.id ?? after + 1;
    const last = kept.at(-1)?.id ?? after;
    if (after >= first - 1 && after <= last) return frames;
    // Its events are from before those kept, or of another run of the supervisor, whose numbers began anew.
    const gap = frame(`event: gap\ndata: ${JSON.stringify({ after, first })}\n\n`);
    return [gap, ...(after > last ? kept.map(eventFrame) : frames)];
  }

  /** Runs while somebody listens. */
  #start(): void {
    const stop = this.#stop = new DisposableStack();
    stop.defer(this.#fleet.subscribe((event) => this.#push(eventFrame(event))));
    stop.defer(this.#timing.every(DRIVERS_INTERVAL, () => {
      this.#dropStuck();
      if (this.#clients.size > 0) this.#push(this.#driversFrame(), { replaces: true });
    }));
    stop.defer(this.#timing.every(HEARTBEAT_INTERVAL, () => this.#push(HEARTBEAT)));
  }

  #pause(): void {
    this.#stop?.dispose();
    this.#stop = undefined;
  }

  #driversFrame(): Frame {
    return frame(`event: drivers\ndata: ${JSON.stringify(driversNow(this.#fleet))}\n\n`);
  }

  #push(frame: Frame, options: { replaces?: boolean } = {}): void {
    for (const client of this.#clients) {
      if (!client.push(frame, options)) this.#drop(client);
    }
  }

  #dropStuck(): void {
    for (const client of this.#clients) {
      if (client.waitingSince(this.#timing.now()) >= STUCK_AFTER) this.#drop(client);
    }
  }

  #drop(client: Client): void {
    this.#lost++;
    client.end(LOST);
    this.#remove(client);
  }

  #remove(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#pause();
  }
}

/** The body of `listDrivers`, and of a `drivers` event. */
export function driversNow(fleet: Fleet): z.infer<typeof driversSchema> {
  return { time: new Date().toISOString(), drivers: fleet.drivers() };
}

/** A piece of a stream, made once for all clients. */
type Frame = Uint8Array<ArrayBuffer>;

const encoder = new TextEncoder();

function frame(text: string): Frame {
  return encoder.encode(text);
}

/** How long a browser waits before it connects again, milliseconds. */
const RETRY = frame("retry: 1000\n\n");
const HEARTBEAT = frame(":\n\n");
const LOST = frame('event: lost\ndata: {"detail":"this client did not read in time"}\n\n');

/** JSON has no line break in it, whatever a driver says. */
function eventFrame(event: Event): Frame {
  return frame(`event: ${event.type}\nid: ${event.id}\ndata: ${JSON.stringify(event)}\n\n`);
}

/** One client's stream and what waits for it. */
class Client {
  readonly stream: ReadableStream<Frame>;
  #queue: { frame: Frame; replaces: boolean }[];
  readonly #limit: number;
  /** Set while the stream waits for something to send. */
  #wake?: () => void;
  /** Ending: it closes when what waits is sent. Gone: the other side has. */
  #state: "open" | "ending" | "gone" = "open";
  /** When what now waits began to; the stuck are told by it. */
  #since: number;
  #reads = 0;
  #seenReads = 0;

  constructor(missed: Frame[], { now, onGone }: { now: number; onGone: (client: Client) => void }) {
    this.#queue = missed.map((frame) => ({ frame, replaces: false }));
    this.#limit = QUEUE + missed.length;
    this.#since = now;
    this.stream = new ReadableStream({
      pull: async (controller) => {
        this.#reads++;
        if (this.#queue.length === 0 && this.#state === "open") {
          await new Promise<void>((resolve) => this.#wake = resolve);
          this.#wake = undefined;
        }
        const next = this.#queue.shift();
        if (next) controller.enqueue(next.frame);
        else if (this.#state === "ending") controller.close();
      },
      cancel: () => {
        this.#state = "gone";
        this.#queue = [];
        this.#wake?.();
        onGone(this);
      },
    }, { highWaterMark: 0 });
  }

  /**
   * Has a frame wait for the client. One that `replaces` takes the place of an earlier such that still waits.
   * False if too much waits.
   */
  push(frame: Frame, { replaces = false }: { replaces?: boolean } = {}): boolean {
    if (replaces) this.#queue = this.#queue.filter((waiting) => !waiting.replaces);
    if (this.#queue.length >= this.#limit) return false;
    this.#queue.push({ frame, replaces });
    this.#wake?.();
    return true;
  }

  /** Ends the stream, with some last words; what waited is not sent. */
  end(last?: Frame): void {
    this.#state = "ending";
    this.#queue = last ? [{ frame: last, replaces: false }] : [];
    this.#wake?.();
  }

  /** How long something has waited without the client reading, milliseconds. */
  waitingSince(now: number): number {
    if (this.#queue.length === 0 || this.#reads !== this.#seenReads) this.#since = now;
    this.#seenReads = this.#reads;
    return now - this.#since;
  }
}
