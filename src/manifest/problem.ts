/** What is wrong with a manifest: a place and a reason each. */
import { z } from "zod";
import { UserError } from "../error.ts";
import { didYouMean } from "../suggest.ts";
import { pathText, type Place } from "./json.ts";

/** One thing that is wrong with a manifest. */
export interface Problem {
  /** The file, as it was named. */
  file: string;
  /** Where in it, if it is known. */
  place?: Place;
  /** Which value, as in `grant.bars[0].length`; empty for the whole. */
  path: string;
  reason: string;
}

/** A problem in one line: `manifests/e1000.json:12:7: grant.bars[0].length: …`. */
export function formatProblem({ file, place, path, reason }: Problem): string {
  const where = place ? `${file}:${place.line}:${place.column}` : file;
  return `${where}: ${path === "" ? "" : `${path}: `}${reason}`;
}

/** A manifest that cannot be used. The message has one line for each problem. */
export class ManifestError extends UserError {
  override readonly name = "ManifestError";
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join("\n"));
    this.problems = problems;
  }
}

/** A problem before it is known where in the file its path lies. */
export interface Finding {
  path: readonly PropertyKey[];
  reason: string;
}

/** What zod found, in words, one finding for each key that is not known. */
export function findings(issues: readonly z.core.$ZodIssue[], schema: z.core.$ZodType): Finding[] {
  return issues.flatMap((issue): Finding[] => {
    const { path } = issue;
    switch (issue.code) {
      case "unrecognized_keys": {
        const known = keysAt(schema, { path, found: issue.input });
        return issue.keys.map((key) => ({
          path: [...path, key],
          reason: `there is no such key here${didYouMean(key, known)}` +
            (known.length > 0 ? ` (keys: ${known.join(", ")})` : ""),
        }));
      }
      case "invalid_type":
        if (issue.input === undefined) {
          return [{ path, reason: `is missing; expected ${named(issue.expected)}` }];
        }
        return [{ path, reason: `expected ${named(issue.expected)}, found ${shown(issue.input)}` }];
      case "invalid_value": {
        const wanted = issue.values.map((value) => JSON.stringify(value)).join(" or ");
        if (issue.input === undefined) return [{ path, reason: `is missing; expected ${wanted}` }];
        const hint = typeof issue.input === "string" ? didYouMean(issue.input, issue.values.map(String)) : "";
        return [{ path, reason: `expected ${wanted}, found ${shown(issue.input)}${hint}` }];
      }
      case "too_small":
      case "too_big": {
        if (issue.origin === "string") return [{ path, reason: "expected some text, found none" }];
        const bound = issue.code === "too_small" ? `at least ${issue.minimum}` : `at most ${issue.maximum}`;
        return [{ path, reason: `expected ${bound}, found ${shown(issue.input)}` }];
      }
      case "invalid_union": {
        // Only alternatives that got past the kind of value say something of use.
        const near = issue.errors.find((branch) =>
          !branch.some((inner) => inner.path.length === 0 && inner.code === "invalid_type")
        );
        if (near) {
          return findings(near.map((inner) => ({ ...inner, path: [...path, ...inner.path] })), schema);
        }
        // Where the value of one key says which alternative is meant, the path is that key's.
        const key = "discriminator" in issue ? issue.discriminator as string : undefined;
        const input = key === undefined ? issue.input : (issue.input as Record<string, unknown>)[key];
        const found = input === undefined ? "it is missing" : `found ${shown(input)}`;
        const said = issue.message === "Invalid input" ? expected(issue.errors) : issue.message;
        return [{ path, reason: `${said}; ${found}` }];
      }
      default:
        return [{ path, reason: issue.message }];
    }
  });
}

/** Findings as problems of a file; `places` from its text, empty if there was none to read. */
export function problems(
  found: readonly Finding[],
  source: { file: string; places: ReadonlyMap<string, Place> },
): Problem[] {
  const placed = found.map(({ path, reason }): Problem => {
    // What is missing has no place: its nearest parent has.
    let place: Place | undefined;
    for (let end = path.length; end >= 0 && !place; end--) {
      place = source.places.get(pathText(path.slice(0, end)));
    }
    return { file: source.file, place, path: pathText(path), reason };
  });
  const order = ({ place }: Problem) => place ? place.line * 1e6 + place.column : 0;
  return placed.sort((a, b) => order(a) - order(b));
}

const NAMES: Record<string, string> = {
  object: "an object, { … }",
  record: "an object, { … }",
  array: "a list, [ … ]",
  string: "a text in quotes",
  number: "a number",
  int: "a whole number",
};

function named(kind: string): string {
  return NAMES[kind] ?? kind;
}

function expected(branches: readonly (readonly z.core.$ZodIssue[])[]): string {
  const kinds = branches.flat().flatMap((issue) =>
    issue.code === "invalid_type" ? [named(issue.expected)] : []
  );
  return `expected ${kinds.join(" or ")}`;
}

/** A value as written, cut short. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

/** Keys that the schema knows for the object that was found at a path: of its own kind, where there are kinds. */
function keysAt(
  schema: z.core.$ZodType,
  { path, found }: { path: readonly PropertyKey[]; found: unknown },
): string[] {
  let level = unwrapped(schema);
  for (const step of path) {
    level = level.flatMap((type) => {
      if (type instanceof z.ZodObject) return step in type.shape ? unwrapped(type.shape[String(step)]) : [];
      return type instanceof z.ZodArray ? unwrapped(type.element) : [];
    });
  }
  const { kind } = (found ?? {}) as { kind?: unknown };
  return level.flatMap((type) => {
    if (!(type instanceof z.ZodObject)) return [];
    const wanted = type.shape.kind;
    const other = wanted instanceof z.ZodLiteral && !wanted.values.has(kind as string);
    return other ? [] : Object.keys(type.shape);
  });
}

/** The types that a value may have behind optionals, transforms and unions. */
function unwrapped(schema: z.core.$ZodType): z.core.$ZodType[] {
  if (schema instanceof z.ZodOptional) return unwrapped(schema.unwrap());
  if (schema instanceof z.ZodPipe) return unwrapped(schema.in);
  if (schema instanceof z.ZodUnion) return schema.options.flatMap(unwrapped);
  return [schema];
}
