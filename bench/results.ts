/** Where the figures of a whole run are kept. */
import { dirname } from "node:path";

/** What was measured, in up to three forms. */
export interface Results {
  /** Tables, if there are any. */
  markdown?: string;
  /** A chart, if there is one. */
  svg?: string;
  /** Anything that JSON can hold. */
  json: unknown;
}

/** Writes `PATH.md`, `PATH.svg` and `PATH.json`, as far as there are any, making the folder; returns their paths. */
export async function writeResults(path: string, { markdown, svg, json }: Results): Promise<string[]> {
  const texts = {
    ...(markdown === undefined ? {} : { md: `${markdown}\n` }),
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
