/** What is kept of what a process writes, which is not trusted. */
import { MAX_TEXT } from "../host/messages.ts";

/** The last lines of a text, and of each no more than its first `MAX_TEXT` characters. */
export class LastLines {
  /** Oldest first. */
  readonly lines: string[] = [];
  readonly #most: number;

  /** @param most Lines that are kept. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Adds a line. */
  add(line: string): void {
    this.lines.push(line.slice(0, MAX_TEXT));
    if (this.lines.length > this.#most) this.lines.shift();
  }
}
