/** Lines for whoever reads the supervisor's standard output, who must never keep it waiting. */

/** Lines kept for a reader that does not read; further ones are lost to it. */
const MOST_WAITING = 4096;

/** Standard output, written beside everything else. */
export class Output implements AsyncDisposable {
  readonly #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  constructor(stream: WritableStream<Uint8Array<ArrayBuffer>> = Deno.stdout.writable) {
    this.#writer = stream.getWriter();
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

  /** Waits for what is written, as long as it is read within `ms` milliseconds. */
  async [Symbol.asyncDispose](): Promise<void> {
    let timer;
    await Promise.race([this.#last, new Promise((resolve) => timer = setTimeout(resolve, 200))]);
    clearTimeout(timer);
    this.#writer.releaseLock();
  }
}
