/** Faults made by standing between a driver and what it is given. */
import { posix } from "node:path";
import type { Words } from "../check/content.ts";
import { UserError } from "../error.ts";
import { driverClassOf, specifiersOf } from "./edit.ts";
import type { WrappedModel } from "./models/model.ts";
import type { DriverFault } from "./schema.ts";
import { bytes, callsOf, type Files, lacks, type Made, type Source, text } from "./source.ts";
import { drawWhen, type Times, type When, whenText } from "./when.ts";

/** What commits faults, as files to be copied. */
const INSIDE = new URL("./inside/", import.meta.url);
/** How those files import what drivers import. */
const INSIDE_API = "../../driver/mod.ts";

/** Where they go in a faulty folder, all faults together. */
const INSIDE_FOLDER = "fault";

/** What drivers of one class alone complete. */
const COMPLETED: Readonly<Record<string, string>> = { frames: "net", requests: "block" };

/** What the driver's file becomes that a fault is put around, by how many faults there are around it already. */
function renamed(faults: number): string {
  return faults === 0 ? "driver_without_fault.ts" : `driver_with_${faults}.ts`;
}

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

/**
 * Puts faults around a driver, the first one innermost.
 * @throws {UserError} if it has no use for one of them, or uses a name that is needed.
 */
export async function surrounded(
  source: Source,
  faults: readonly { model: WrappedModel; fault: { when?: When; times?: Times } }[],
  { words }: { words: Words },
): Promise<Made> {
  const { folder, entry, files } = source;
  const at = (name: string) => posix.join(posix.dirname(entry), name);
  const calls = callsOf(source);
  const kind = driverClassOf(entry, text(files.get(entry)!));
  for (const { model, fault } of faults) {
    const needed = COMPLETED[fault.when?.of ?? ""] ?? kind;
    if (kind !== undefined && needed !== kind) {
      throw new UserError(
        `Cannot make ${model.name} in ${folder}: it is to come after ${fault.when!.of}, ` +
          `and a ${kind} driver completes none`,
      );
    }
    if (lacks(model.needs, calls)) {
      throw new UserError(
        `Cannot make ${model.name} in ${folder}: no file of it calls ` +
          model.needs.map((need) => `device.${need}()`).join(" or "),
      );
    }
  }
  const api = apiOf(source);
  const deeper = /^\.\.?\//.test(api) ? posix.join("..", api) : api;
  const made: Files = new Map(files);
  const done: Made["done"] = [];
  for (const [number, { model, fault }] of faults.entries()) {
    const inner = renamed(number);
    const taken = [...files.keys()].find((path) =>
      path === at(inner) || path.startsWith(`${at(INSIDE_FOLDER)}/`)
    );
    if (taken !== undefined) {
      throw new UserError(
        `Cannot make ${model.name} in ${folder}: ${taken} is in the way; a driver may not use that name`,
      );
    }
    const { when = drawWhen(words), times = model.times, ...given } = fault;
    const parameters: Record<string, unknown> = { ...given, ...model.draw(given, words) };
    const plan = { ...parameters, when, times } as DriverFault;
    delete parameters.model;
    const told = Object.entries(parameters).map(([name, value]) => `${name} ${value}`).join(", ");
    const says = `${model.name}${told && ` (${told})`}, ${whenText(when, times)}`;
    made.set(at(inner), made.get(entry)!);
    for (const start of ["wrap.ts", model.file]) {
      for (const [name, code] of await insideFiles(start, deeper)) {
        made.set(at(`${INSIDE_FOLDER}/${name}`), bytes(code));
      }
    }
    made.set(
      entry,
      bytes(
        `/** The driver of ${inner} with a fault around it: ${says}. ${model.about} */\n` +
          `import driver from "./${inner}";\n` +
          `import { make } from "./${INSIDE_FOLDER}/${model.file}";\n` +
          `import { withFault } from "./${INSIDE_FOLDER}/wrap.ts";\n\n` +
          `export default withFault(driver, make, ${JSON.stringify(plan, null, 2)});\n`,
      ),
    );
    done.push({ fault: plan, says });
  }
  return { files: made, done };
}
