/**
 * Strict command lines. A command states its options as data; help, parsing and types come of that. What
 * `parseArgs` would let pass (unknown flags, missing or repeated values, too many arguments) is an error.
 */
import { parseArgs } from "@std/cli";
import { parseDuration } from "../duration.ts";
import { USAGE, UserError } from "../error.ts";
import { parseSize } from "../size.ts";
import { didYouMean } from "../suggest.ts";

/** One option of a command; `T` is what the command gets. Made by `flag`, `text`, `choice`, `integer`, `size`, `duration`, `list`. */
export interface Option<T> {
  description: string;
  /** Name of its value in the help; absent if it takes none. */
  value?: string;
  /** A letter that stands for it. */
  short?: string;
  /** It may be given more than once. */
  many?: boolean;
  /** What the help says of the default. */
  shown?: string;
  /** The texts given, in order (none if it was not given), to its value. Throws `UserError` for a bad one. */
  parse(texts: string[], name: string): T;
}

interface Common {
  short?: string;
}

/** True if it is given. */
export function flag(description: string, options: Common = {}): Option<boolean> {
  return { description, ...options, parse: (texts) => texts.length > 0 };
}

/** A text, not empty; undefined or the default if it is not given. */
export function text(
  description: string,
  options: Common & { value: string; default: string; pattern?: RegExp },
): Option<string>;
export function text(
  description: string,
  options: Common & { value: string; pattern?: RegExp },
): Option<string | undefined>;
export function text(
  description: string,
  options: Common & { value: string; default?: string; pattern?: RegExp },
): Option<string | undefined> {
  const { short, value, pattern } = options;
  return {
    description,
    short,
    value,
    shown: options.default,
    parse([given], name) {
      if (given === undefined) return options.default;
      if (pattern && !pattern.test(given)) {
        throw usage(`--${name} takes ${value} in the form ${pattern.source}, not "${given}"`);
      }
      return given;
    },
  };
}

/** Any number of texts, in the order given. */
export function list(description: string, options: Common & { value: string }): Option<string[]> {
  return { description, ...options, many: true, parse: (texts) => texts };
}

/** One of a few words. */
export function choice<const T extends string>(
  description: string,
  options: Common & { of: readonly T[]; default: T },
): Option<T>;
export function choice<const T extends string>(
  description: string,
  options: Common & { of: readonly T[] },
): Option<T | undefined>;
export function choice<const T extends string>(
  description: string,
  options: Common & { of: readonly T[]; default?: T },
): Option<T | undefined> {
  return {
    description,
    short: options.short,
    value: options.of.join("|"),
    shown: options.default,
    parse([given], name) {
      if (given === undefined) return options.default;
      const found = options.of.find((word) => word === given);
      if (found === undefined) {
        throw usage(
          `--${name} is ${options.of.join(" or ")}, not "${given}"${didYouMean(given, options.of)}`,
        );
      }
      return found;
    },
  };
}

/** A whole number within a range, both ends included. */
export function integer(
  description: string,
  options: Common & { value: string; min: number; max: number; default: number },
): Option<number>;
export function integer(
  description: string,
  options: Common & { value: string; min: number; max: number },
): Option<number | undefined>;
export function integer(
  description: string,
  options: Common & { value: string; min: number; max: number; default?: number },
): Option<number | undefined> {
  const { short, value, min, max } = options;
  return {
    description,
    short,
    value,
    shown: options.default?.toString(),
    parse([given], name) {
      if (given === undefined) return options.default;
      const number = /^-?\d+$/.test(given) ? Number(given) : NaN;
      if (!(number >= min && number <= max)) {
        throw usage(`--${name} is a whole number from ${min} to ${max}, not "${given}"`);
      }
      return number;
    },
  };
}

type Measure = (description: string, options?: Common & { default?: string }) => Option<number | undefined>;

/** An option whose text `read` turns into a number, or into what is wrong with it. */
function measure(value: string, read: (text: string) => number | string): Measure {
  return (description, options = {}) => ({
    description,
    short: options.short,
    value,
    shown: options.default,
    parse([given = options.default], name) {
      if (given === undefined) return undefined;
      const number = read(given);
      if (typeof number === "string") throw usage(`--${name}: ${number}`);
      return number;
    },
  });
}

const ofSize = measure("SIZE", (text) => /^\d+$/.test(text) ? Number(text) : parseSize(text));
const ofTime = measure("TIME", parseDuration);

/** A size like `64MiB`, as bytes; undefined or the default if it is not given. */
export function size(description: string, options: Common & { default: string }): Option<number>;
export function size(description: string, options?: Common): Option<number | undefined>;
export function size(description: string, options?: Common): Option<number | undefined> {
  return ofSize(description, options);
}

/** A span of time like `30min`, as milliseconds; undefined or the default if it is not given. */
export function duration(description: string, options: Common & { default: string }): Option<number>;
export function duration(description: string, options?: Common): Option<number | undefined>;
export function duration(description: string, options?: Common): Option<number | undefined> {
  return ofTime(description, options);
}

/** Options by the name that follows `--`. */
export type Options = Record<string, Option<unknown>>;

/** The values of options, by name. */
export type Values<O extends Options> = { [K in keyof O]: O[K] extends Option<infer T> ? T : never };

/** What a command was given. */
export interface Parsed<O extends Options> {
  options: Values<O>;
  /** The arguments that are no options, as many as the usage allows. */
  positionals: string[];
  /** Everything after `--`, for a command with `rest`. */
  rest: string[];
}

/** What is known of a command: the source of its parser and its help. */
export interface CommandSpec<O extends Options> {
  /** As typed, like `ring3 lab exec`. */
  name: string;
  /** One line without a full stop. */
  summary: string;
  /** Arguments that are no options; a name in brackets may be left out, the last with an ellipsis repeated. */
  positionals?: { name: string; description: string }[];
  /** Takes another command line after `--`; its name in the help. */
  rest?: { name: string; description: string };
  options?: O;
  /** Command lines with what they do. */
  examples?: { line: string; does: string }[];
  /** Paragraphs for the end of the help. */
  notes?: string[];
  main(parsed: Parsed<O>): Promise<number>;
}

/** A command: what the dispatcher needs. */
export interface Command {
  readonly summary: string;
  /** Runs it with the arguments after its name; the exit status. */
  run(args: string[]): Promise<number>;
}

/** A command that answers `--help` and parses strictly. */
export function defineCommand<const O extends Options>(spec: CommandSpec<O>): Command {
  return {
    summary: spec.summary,
    async run(args) {
      if (wantsHelp(args)) {
        console.log(help(spec));
        return 0;
      }
      return await spec.main(parse(args, spec));
    },
  };
}

/** The commands below a name, loaded when they are run. */
export type Commands = Record<string, () => Promise<Command>>;

/** A command that consists of others, like `ring3` itself. */
export function defineGroup(
  spec: { name: string; summary: string; commands: Commands; notes?: string[] },
): Command {
  const typed = spec.name;
  return {
    summary: spec.summary,
    async run([word, ...args]) {
      if (word === undefined || word === "--help" || word === "-h" || word === "help") {
        const text = await groupHelp(typed, spec);
        if (word !== undefined) {
          console.log(text);
          return 0;
        }
        console.error(text);
        return USAGE;
      }
      const names = Object.keys(spec.commands);
      if (!Object.hasOwn(spec.commands, word)) {
        const kind = word.startsWith("-") ? "flag" : "command";
        throw usage(
          `there is no ${kind} "${word}"${didYouMean(word, names)} (${typed} COMMAND: ${names.join(", ")})`,
        );
      }
      const command = await spec.commands[word]();
      return await command.run(args);
    },
  };
}

/**
 * Parses strictly.
 * @throws {UserError} with status 2, naming what was not understood.
 */
export function parse<const O extends Options>(args: string[], spec: CommandSpec<O>): Parsed<O> {
  const options: Options = spec.options ?? {};
  const names = Object.keys(options);
  const plain = names.filter((name) => options[name].value === undefined);
  const valued = names.filter((name) => options[name].value !== undefined);
  const aliases = names.flatMap((name) => options[name].short ? [[options[name].short, name]] : []);
  // Errors begin with "ring3: " already.
  const typed = spec.name.replace(/^ring3 /, "");

  const end = args.indexOf("--");
  for (const arg of end < 0 ? args : args.slice(0, end)) {
    const name = /^--([^=]+)=/.exec(arg)?.[1];
    if (name && plain.includes(name)) throw usage(`--${name} takes no value, but got "${arg}"`);
  }
  const parsed = parseArgs(args, {
    boolean: plain,
    string: [...valued, "_"],
    collect: valued,
    alias: Object.fromEntries(aliases),
    "--": true,
    unknown(arg: string, key?: string) {
      // parseArgs asks about positionals too, without a key.
      if (key === undefined) return true;
      const given = arg.replace(/=.*/s, "");
      const hint = didYouMean(given, names.map((name) => `--${name}`));
      throw usage(`${typed} has no flag "${given}"${hint || `; see ${spec.name} --help`}`);
    },
  }) as Record<string, unknown> & { _: (string | number)[]; "--"?: string[] };

  const values: Record<string, unknown> = {};
  for (const name of names) {
    const option = options[name];
    const given = parsed[name];
    const texts = option.value === undefined ? (given === true ? ["true"] : []) : (given ?? []) as string[];
    if (texts.includes("")) throw usage(`--${name} needs a value, ${option.value}`);
    if (texts.length > 1 && !option.many) throw usage(`--${name} is given more than once`);
    values[name] = option.parse(texts, name);
  }

  const positionals = parsed._.map(String);
  const rest = parsed["--"] ?? [];
  if (!spec.rest) positionals.push(...rest.splice(0));
  const wanted = spec.positionals ?? [];
  const missing = wanted.slice(positionals.length).find(({ name }) => !name.startsWith("["));
  if (missing) throw usage(`${typed} needs ${missing.name}: ${missing.description}`);
  if (positionals.length > wanted.length && !wanted.at(-1)?.name.includes("…")) {
    const extra = positionals[wanted.length];
    throw usage(`${typed} does not take "${extra}"; usage: ${usageLine(spec)}`);
  }
  return { options: values as Values<O>, positionals, rest };
}

/** The help of a command: usage, arguments, options, examples. */
export function help<O extends Options>(spec: CommandSpec<O>): string {
  const sections = [`${capital(spec.summary)}.`, `Usage: ${usageLine(spec)}`];
  const named = [...(spec.positionals ?? []), ...(spec.rest ? [spec.rest] : [])];
  if (named.length > 0) sections.push(table("Arguments", named.map((one) => [one.name, one.description])));
  const rows = Object.entries(spec.options ?? {}).map(([name, option]): [string, string] => [
    `${option.short ? `-${option.short}, ` : ""}--${name}${option.value ? ` ${option.value}` : ""}`,
    option.description +
    (option.many ? " (may be repeated)" : "") +
    (option.shown === undefined ? "" : ` (default: ${option.shown})`),
  ]);
  sections.push(table("Options", [...rows, ["-h, --help", "Print this"]]));
  if (spec.examples) {
    sections.push(table("Examples", spec.examples.map(({ line, does }) => [line, does])));
  }
  return [...sections, ...(spec.notes ?? [])].join("\n\n");
}

async function groupHelp(
  typed: string,
  spec: { summary: string; commands: Commands; notes?: string[] },
): Promise<string> {
  const rows = await Promise.all(
    Object.entries(spec.commands).map(async ([name, load]): Promise<[string, string]> => [
      name,
      (await load()).summary,
    ]),
  );
  return [
    `${capital(spec.summary)}.`,
    `Usage: ${typed} COMMAND [ARGUMENTS]`,
    table("Commands", rows),
    `${typed} COMMAND --help says more about one of them.`,
    ...(spec.notes ?? []),
  ].join("\n\n");
}

function usageLine<O extends Options>(spec: CommandSpec<O>): string {
  const words = [spec.name, ...(spec.positionals ?? []).map(({ name }) => name), "[OPTIONS]"];
  return words.join(" ") + (spec.rest ? ` -- ${spec.rest.name}` : "");
}

/** `--help` counts only before `--`: after it stands someone else's command line. */
function wantsHelp(args: string[]): boolean {
  const end = args.indexOf("--");
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === "--help" || arg === "-h");
}

function table(title: string, rows: [string, string][]): string {
  const width = Math.max(...rows.map(([left]) => left.length));
  return [`${title}:`, ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd())].join(
    "\n",
  );
}

function capital(sentence: string): string {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}

function usage(message: string): UserError {
  return new UserError(message, { code: USAGE });
}
