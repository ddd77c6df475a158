/**
 * JSON with places: where in the text each value stands, so that an error about a value can name its line.
 * Stricter than `JSON.parse` in one thing: a key that is given twice is an error.
 */

/** A line and column of a text, both from 1. */
export interface Place {
  line: number;
  column: number;
}

/** What was read. */
export interface Located {
  value: unknown;
  /** Where the value at a path (as `pathText` writes it) begins: its key, or itself in an array. */
  places: Map<string, Place>;
}

/** Text that is not JSON. */
export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly place: Place;

  constructor(reason: string, place: Place) {
    super(reason);
    this.place = place;
  }
}

/** A path as in `grant.bars[0].length`; the empty path is the document. */
export function pathText(path: readonly PropertyKey[]): string {
  let text = "";
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`;
    else text += text === "" ? String(step) : `.${String(step)}`;
  }
  return text;
}

/**
 * Reads a JSON document.
 * @throws {JsonError} with line and column of the first thing that is wrong.
 */
export function parseJson(text: string): Located {
  return new Reader(text).document();
}

class Reader {
  readonly #text: string;
  readonly #places = new Map<string, Place>();
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  document(): Located {
    this.#space();
    this.#places.set("", this.#place(this.#at));
    const value = this.#value([]);
    if (this.#at < this.#text.length) this.#fail(`expected the end of the file, found ${this.#found()}`);
    return { value, places: this.#places };
  }

  #value(path: PropertyKey[]): unknown {
    const value = this.#bare(path);
    this.#space();
    return value;
  }

  #bare(path: PropertyKey[]): unknown {
    const next = this.#text[this.#at];
    if (next === "{") return this.#object(path);
    if (next === "[") return this.#array(path);
    if (next === '"') return this.#string();
    const word = /[-+.\w]*/y;
    word.lastIndex = this.#at;
    const token = word.exec(this.#text)![0];
    if (token === "") this.#fail(`expected a value, found ${this.#found()}`);
    try {
      const value = JSON.parse(token);
      this.#at += token.length;
      return value;
    } catch {
      this.#fail(`expected a value, found ${token} (text needs quotes)`);
    }
  }

  #object(path: PropertyKey[]): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    this.#take("{");
    while (this.#text[this.#at] !== "}") {
      const start = this.#at;
      if (this.#text[start] !== '"') this.#fail(`expected a key in quotes or "}", found ${this.#found()}`);
      const key = this.#string();
      if (Object.hasOwn(object, key)) this.#fail(`the key "${key}" is given twice`, start);
      this.#places.set(pathText([...path, key]), this.#place(start));
      this.#space();
      if (this.#text[this.#at] !== ":") {
        this.#fail(`expected ":" after the key "${key}", found ${this.#found()}`);
      }
      this.#take(":");
      const value = this.#value([...path, key]);
      // Not an assignment: a key like __proto__ is a key like any other.
      Object.defineProperty(object, key, { value, enumerable: true, writable: true, configurable: true });
      this.#separator("}", `the value of "${key}"`);
    }
    this.#at++;
    return object;
  }

  #array(path: PropertyKey[]): unknown[] {
    const array: unknown[] = [];
    this.#take("[");
    while (this.#text[this.#at] !== "]") {
      const here = [...path, array.length];
      this.#places.set(pathText(here), this.#place(this.#at));
      array.push(this.#value(here));
      this.#separator("]", "an element");
    }
    this.#at++;
    return array;
  }

  #separator(end: string, after: string): void {
    const next = this.#text[this.#at];
    if (next === end) return;
    if (next !== ",") this.#fail(`expected "," or "${end}" after ${after}, found ${this.#found()}`);
    const comma = this.#at;
    this.#take(",");
    if (this.#text[this.#at] === end) this.#fail(`a comma before "${end}" is not allowed`, comma);
  }

  #string(): string {
    const token = /"(?:[^"\\\n]|\\[^\n])*"/y;
    token.lastIndex = this.#at;
    const quoted = token.exec(this.#text)?.[0];
    if (quoted === undefined) this.#fail("a text without its closing quote");
    try {
      const value: string = JSON.parse(quoted);
      this.#at += quoted.length;
      return value;
    } catch {
      this.#fail(`${quoted} has a control character or an escape that JSON does not know`);
    }
  }

  #take(text: string): void {
    this.#at += text.length;
    this.#space();
  }

  #space(): void {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "end")) this.#at++;
    if (/^\/[/*]/.test(this.#text.slice(this.#at, this.#at + 2))) {
      this.#fail("JSON has no comments; use the description");
    }
  }

  #found(): string {
    const character = this.#text[this.#at];
    return character === undefined ? "the end of the file" : `"${character}"`;
  }

  #place(at: number): Place {
    const before = this.#text.slice(0, at);
    return { line: before.split("\n").length, column: at - before.lastIndexOf("\n") };
  }

  #fail(reason: string, at = this.#at): never {
    throw new JsonError(reason, this.#place(at));
  }
}
