/** Lines for whoever reads the supervisor's standard output, who must never keep it waiting. */
import { pause } from "../pause.ts";

/** Lines kept for a reader that does not read; further ones are lost to it. */
const MOST_WAITING = 4096;

/** How long the end waits for a reader that takes no further line, milliseconds. */
const PATIENCE = 2000;

/** Standard output, written beside everything else. */
export class Output implements AsyncDisposable {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #patience: number;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(
    stream: WritableStream<Uint8Array<ArrayBuffer>> = Deno.stdout.writable,
    { patience = PATIENCE }: { patience?: number } = {},
  ) {
    this.#writer = stream.getWriter();
    this.#patience = patience;
  }

  /** Writes a line; false if it is lost, since too many wait already or nobody reads any more. */
  line(text: string): boolean {
    if (this.#waiting >= MOST_WAITING) return false;
    this.#waiting++;
    this.#last = this.#writer.write(new TextEncoder().encode(`${text}\n`))
      .catch(() => {
        // A reader that has gone is no reason to end a driver.
      })
      .finally(() => this.#waiting--);
    return true;
  }

  /** Waits for what is written, for as long as somebody reads on: the last line says how a driver has ended. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (let before = Infinity; this.#waiting > 0 && this.#waiting < before;) {
      before = this.#waiting;
      const read = new AbortController();
      await Promise.race([this.#last, pause(this.#patience, read.signal)]);
      read.abort();
    }
    this.#writer.releaseLock();
  }
}
