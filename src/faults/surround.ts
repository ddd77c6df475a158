/** Faults made by standing between a driver and what it is given. */
import { posix } from "node:path";
import type { Words } from "../check/content.ts";
import { UserError } from "../error.ts";
import { specifiersOf } from "./edit.ts";
import type { WrappedModel } from "./models/model.ts";
import type { DriverFault } from "./schema.ts";
import { bytes, callsOf, type Files, lacks, type Made, type Source, text } from "./source.ts";
import { drawWhen, type Times, type When, whenText } from "./when.ts";

/** What commits faults, as files to be copied. */
const INSIDE = new URL("./inside/", import.meta.url);
/** How those files import what drivers import. */
const INSIDE_API = "../../driver/mod.ts";

/** Where they go in a faulty folder, and what its driver is renamed to. */
const INSIDE_FOLDER = "fault";
const RENAMED = "driver_without_fault.ts";

/** The API, whatever stands before it. */
const API = /(^|\/)src\/driver\/mod\.ts$/;

/** How a driver imports its API, from its own file. */
function apiOf({ folder, entry, files }: Source): string {
  const found = specifiersOf(entry, text(files.get(entry)!)).find((specifier) => API.test(specifier));
  if (found !== undefined) return found;
  throw new UserError(
    `Cannot make a faulty version of ${folder}: ${entry} does not import src/driver/mod.ts, so it is no driver`,
  );
}

/** Files of `inside/` that a file of it is made of, itself included, with what they import as API. */
async function insideFiles(first: string, api: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  const left = [first];
  while (left.length > 0) {
    const name = left.pop()!;
    if (found.has(name)) continue;
    const code = await Deno.readTextFile(new URL(name, INSIDE));
    found.set(name, code.replaceAll(`"${INSIDE_API}"`, JSON.stringify(api)));
    left.push(...specifiersOf(name, code).filter((one) => one !== INSIDE_API).map((one) => one.slice(2)));
  }
  return found;
}

/** Puts a driver into a fault. @throws {UserError} if it has no use for the fault, or uses a name that is needed. */
export async function surrounded(
  source: Source,
  model: WrappedModel,
  { fault, words }: { fault: { when?: When; times?: Times }; words: Words },
): Promise<Made> {
  const { folder, entry, files } = source;
  if (lacks(model.needs, callsOf(source))) {
    throw new UserError(
      `Cannot make ${model.name} in ${folder}: no file of it calls ` +
        model.needs.map((need) => `device.${need}()`).join(" or "),
    );
  }
  const beside = posix.dirname(entry);
  const at = (name: string) => posix.join(beside, name);
  for (const path of files.keys()) {
    if (path !== at(RENAMED) && !path.startsWith(`${at(INSIDE_FOLDER)}/`)) continue;
    throw new UserError(
      `Cannot make ${model.name} in ${folder}: ${path} is in the way; a driver may not use that name`,
    );
  }
  const { when = drawWhen(words), times = model.times, ...given } = fault;
  const parameters: Record<string, unknown> = { ...given, ...model.draw(given, words) };
  const plan = { ...parameters, when, times } as DriverFault;
  delete parameters.model;
  const told = Object.entries(parameters).map(([name, value]) => `${name} ${value}`).join(", ");
  const says = `${model.name}${told && ` (${told})`}, ${whenText(when, times)}: ${model.about}`;

  const api = apiOf(source);
  const deeper = /^\.\.?\//.test(api) ? posix.join("..", api) : api;
  const made: Files = new Map(files);
  made.set(at(RENAMED), files.get(entry)!);
  for (const start of ["wrap.ts", model.file]) {
    for (const [name, code] of await insideFiles(start, deeper)) {
      made.set(at(`${INSIDE_FOLDER}/${name}`), bytes(code));
    }
  }
  made.set(
    entry,
    bytes(
      `/** The driver of ${RENAMED} with a fault around it: ${says} */\n` +
        `import driver from "./${RENAMED}";\n` +
        `import { make } from "./${INSIDE_FOLDER}/${model.file}";\n` +
        `import { withFault } from "./${INSIDE_FOLDER}/wrap.ts";\n\n` +
        `export default withFault(driver, make, ${JSON.stringify(plan, null, 2)});\n`,
    ),
  );
  return { files: made, fault: plan, says };
}
