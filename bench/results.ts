/** Where the figures of a whole run are kept. */
import { dirname } from "node:path";

/** What was measured, in up to three forms. */
export interface Results {
  markdown: string;
  /** A chart, if there is one. */
  svg?: string;
  /** Anything that JSON can hold. */
  json: unknown;
}

/** Writes `PATH.md`, `PATH.svg` if there is a chart, and `PATH.json`, making the folder; returns their paths. */
export async function writeResults(path: string, { markdown, svg, json }: Results): Promise<string[]> {
  const texts = {
    md: `${markdown}\n`,
    ...(svg === undefined ? {} : { svg }),
    json: `${JSON.stringify(json, null, 2)}\n`,
  };
  await Deno.mkdir(dirname(path), { recursive: true });
  return await Promise.all(
    Object.entries(texts).map(async ([ending, text]) => {
      await Deno.writeTextFile(`${path}.${ending}`, text);
      return `${path}.${ending}`;
    }),
  );
}
