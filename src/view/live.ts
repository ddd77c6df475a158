/** Shows a driver as it changes: redrawn in place on a terminal, a line a second elsewhere. */
import { plain, render, renderLine } from "./render.ts";
import type { Driver } from "../supervisor/schema.ts";

/** Where a view is drawn. Replaced in tests. */
export interface Screen {
  /** Whether it can be redrawn in place. */
  terminal: boolean;
  color: boolean;
  /** Its size now: terminals are resized. */
  size(): { columns: number; rows: number };
  write(text: string): void;
}

/** Standard output. */
export function standardScreen(): Screen {
  const encoder = new TextEncoder();
  const terminal = Deno.stdout.isTerminal();
  return {
    terminal,
    color: terminal && !Deno.noColor,
    size: () => Deno.consoleSize(),
    write(text) {
      const bytes = encoder.encode(text);
      for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
    },
  };
}

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_TO_LINE_END = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
/** Synchronised output: a terminal that knows it draws what stands between them at once. */
const BEGIN_FRAME = "\x1b[?2026h";
const END_FRAME = "\x1b[?2026l";

/** A view that `show` redraws. Dispose of it to leave the last frame standing and the cursor visible. */
export class LiveView implements Disposable {
  readonly #screen: Screen;
  readonly #now: () => number;
  #drawn = 0;
  #lastLine = "";
  #lastAt = -Infinity;

  constructor(screen: Screen = standardScreen(), options: { now?: () => number } = {}) {
    this.#screen = screen;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Where the dashboard is, once it is known. */
  dashboard?: string;

  /** Draws a driver's state. On what is not a terminal, at most once a second and only if it reads differently. */
  show(driver: Driver): void {
    if (this.#screen.terminal) this.#redraw(driver);
    else this.#log(driver);
  }

  /** Prints a line above the view, such as a driver's log. */
  print(text: string): void {
    const line = plain(text);
    if (!this.#screen.terminal || this.#drawn === 0) {
      this.#screen.write(`${line}\n`);
      return;
    }
    // The view goes; the next status draws it again below the line.
    this.#screen.write(`${this.#home()}${CLEAR_BELOW}${line}\n`);
    this.#drawn = 0;
  }

  [Symbol.dispose](): void {
    if (this.#screen.terminal) this.#screen.write(SHOW_CURSOR);
    this.#drawn = 0;
  }

  #redraw(driver: Driver): void {
    const { columns, rows } = this.#screen.size();
    // A frame taller than the screen could not be found again: the last row is the cursor's.
    const lines = render(driver, { columns, color: this.#screen.color, dashboard: this.dashboard })
      .slice(0, Math.max(rows - 1, 1));
    // Overwriting, and clearing only what is left of the old frame, does not flicker.
    const frame = lines.map((line) => `${line}${CLEAR_TO_LINE_END}\n`).join("");
    this.#screen.write(`${BEGIN_FRAME}${HIDE_CURSOR}${this.#home()}${frame}${CLEAR_BELOW}${END_FRAME}`);
    this.#drawn = lines.length;
  }

  /** To the first column of the frame that stands. */
  #home(): string {
    return this.#drawn > 0 ? `\r\x1b[${this.#drawn}A` : "\r";
  }

  #log(driver: Driver): void {
    const line = renderLine(driver);
    if (line === this.#lastLine || this.#now() - this.#lastAt < 1000) return;
    this.#lastLine = line;
    this.#lastAt = this.#now();
    this.#screen.write(`${line}\n`);
  }
}
