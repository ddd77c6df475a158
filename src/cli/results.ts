// Where the figures of a whole run are kept: as JSON, and beside it what people read.
import { dirname } from "node:path";
import { checkout } from "../lab/checkout.ts";
import type { Progress } from "../progress.ts";
import { text } from "./args.ts";

/** What is kept of a result. */
export interface Keeping<T> {
  /** Path in `bench/results/` without an ending, where a whole run's go unless told otherwise. */
  name: (result: T) => string;
  /** Tables that people read, if there are any. */
  md?: (result: T) => string;
  /** A chart, if there is one. */
  svg?: (result: T) => string;
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
  { name, md, svg, out, quick = false, progress }: Keeping<T> & {
    out?: string;
    quick?: boolean;
    progress: Progress;
  },
): Promise<void> {
  const path = out ?? (quick ? undefined : `${checkout()}/bench/results/${name(result)}`);
  if (path === undefined) return;
  const files = [
    ...(md ? [{ file: `${path}.md`, text: `${md(result)}\n` }] : []),
    ...(svg ? [{ file: `${path}.svg`, text: svg(result) }] : []),
    { file: `${path}.json`, text: `${JSON.stringify(result, null, 2)}\n` },
  ];
  await Deno.mkdir(dirname(path), { recursive: true });
  await Promise.all(files.map(({ file, text }) => Deno.writeTextFile(file, text)));
  progress(`written: ${files.map(({ file }) => file).join(", ")}`);
}
