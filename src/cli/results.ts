// Where the figures of a whole run are kept: as JSON, and beside it what people read.
import { dirname } from "node:path";
import { checkout } from "../lab/checkout.ts";
import type { Progress } from "../progress.ts";
import { text } from "./args.ts";

/** What people read. */
export interface Forms {
  /** Tables, if there are any. */
  md?: string;
  /** A chart, if there is one. */
  svg?: string;
}

/** What is kept of a result. */
export interface Keeping<T> {
  /** Path in `bench/results/` without an ending, where a whole run's go unless told otherwise. */
  name: (result: T) => string;
  forms: (result: T) => Forms;
}

/**
 * The option `out`.
 * @param endings Those of the files: `.md, .svg and .json`.
 * @param name Of the result in `bench/results/`, as the help tells of it.
 */
export function outOption(endings: string, name: string) {
  return {
    out: text(
      `Path of the ${endings}, without the ending; default bench/results/${name}, with --quick none`,
      {
        value: "PATH",
      },
    ),
  };
}

/** Writes a result where it is to go, if anywhere, making the folder. */
export async function keepResult<T>(
  result: T,
  { name, forms, out, quick = false, progress }: Keeping<T> & {
    out?: string;
    quick?: boolean;
    progress: Progress;
  },
): Promise<void> {
  const path = out ?? (quick ? undefined : `${checkout()}/bench/results/${name(result)}`);
  if (path === undefined) return;
  const { md, svg } = forms(result);
  const files = Object.entries({ md: md && `${md}\n`, svg, json: `${JSON.stringify(result, null, 2)}\n` });
  await Deno.mkdir(dirname(path), { recursive: true });
  const written = files.flatMap(([ending, content]) =>
    content ? [{ file: `${path}.${ending}`, content }] : []
  );
  await Promise.all(written.map(({ file, content }) => Deno.writeTextFile(file, content)));
  progress(`written: ${written.map(({ file }) => file).join(", ")}`);
}
