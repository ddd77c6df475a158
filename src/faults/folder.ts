/** Faulty versions of drivers: folders like a driver's own, with one fault in them. */
import { dirname, join } from "node:path";
import { Words } from "../check/content.ts";
import { UserError } from "../error.ts";
import type { Site } from "./edit.ts";
import { MODELS } from "./models/mod.ts";
import type { Model } from "./models/model.ts";
import { mutated, placesOf } from "./mutate.ts";
import { type DriverFault, parseFault } from "./schema.ts";
import { bytes, callsOf, type Files, lacks, type Made, readSource } from "./source.ts";
import { surrounded } from "./surround.ts";
import type { Times, When } from "./when.ts";

/** What says which fault a folder has. */
const RECORD = "fault.json";

/** A faulty folder that has been written. */
export interface FaultyFolder {
  folder: string;
  /** The driver's file in it: what an upgrade is given. */
  file: string;
  /**
   * The faults, with all that the seed has drawn: with them any seed makes the same folder, but for the seed in
   * `fault.json`. Changes of source come first, as they are made first.
   */
  faults: DriverFault[];
  /**
   * What was done, for people, as in "receive.ts:84: `<` became `<=`": ASCII, for one fault at most 200 characters.
   * Several are joined by "; ".
   */
  says: string;
}

/** What any fault of a folder may say, whichever model it is of. */
interface WrittenFault {
  file?: string;
  site?: number;
  when?: When;
  times?: Times;
}

/**
 * The models that have something to do in a driver's folder: by what it calls of its device, and for changes of
 * source by whether there is a place for them.
 * @throws {UserError} if the folder cannot be read.
 */
export async function modelsFor(
  folder: string,
  { entry = "driver.ts" }: { entry?: string } = {},
): Promise<Model[]> {
  const source = await readSource(folder, entry);
  const calls = callsOf(source);
  return MODELS.filter((model) =>
    model.kind === "wrapped" ? !lacks(model.needs, calls) : placesOf(source, model).length > 0
  );
}

/**
 * All places of a driver at which a model of kind "source" can change it, in the order in which `site` of a fault
 * counts them. Some may turn out to mean the same to the compiler: the seed passes over those.
 * @throws {UserError} if the folder cannot be read, or the model is of another kind.
 */
export async function mutationSites(
  folder: string,
  model: string,
  { entry = "driver.ts" }: { entry?: string } = {},
): Promise<Site[]> {
  const found = MODELS.find(({ name }) => name === model);
  if (found?.kind !== "source") throw new UserError(`Cannot list places for ${model}: it changes no source`);
  return placesOf(await readSource(folder, entry), found);
}

async function write(files: Files, to: string): Promise<void> {
  const found = await Array.fromAsync(Deno.readDir(to)).catch(() => []);
  if (found.length > 0) throw new UserError(`Cannot write a faulty version to ${to}: it is not empty`);
  for (const [path, content] of files) {
    await Deno.mkdir(dirname(join(to, path)), { recursive: true });
    await Deno.writeFile(join(to, path), content);
  }
}

/**
 * Writes a version of a driver that has a fault, or several. It is a driver as any other: a supervisor can upgrade
 * to it, and a test can import it. Everything in it follows from the folder, the faults and the seed, so the folder
 * is the replay; `fault.json` in it says what was done.
 *
 * A supervisor takes it from anywhere, `ring3 upgrade` from a folder below one named `drivers`. To be imported it
 * must lie as deep as the driver's own folder, so that `../../src/driver/mod.ts` leads to the same file: `build/NAME`
 * does.
 *
 * @param options `seed`: what is drawn where a fault leaves something open; `to`: where, empty or not there yet;
 * `entry`: the driver's file in the folder.
 * @throws {UserError} if a fault is none, or none of a driver's folder; the driver has no place for it; or a
 * folder cannot be read or written.
 */
export async function faulty(
  folder: string,
  fault: DriverFault | readonly DriverFault[],
  { seed, to, entry = "driver.ts" }: { seed: number; to: string; entry?: string },
): Promise<FaultyFolder> {
  const asked = [fault].flat().map((one) => {
    const parsed = parseFault(one);
    const model: Model | undefined = MODELS.find(({ name }) => name === parsed.model);
    if (model) return { model, fault: parsed as WrittenFault };
    throw new UserError(
      `Cannot make ${parsed.model} in ${folder}: it is not done by a driver but to its process or the machine`,
    );
  });
  const source = await readSource(folder, entry);
  if (source.files.has(RECORD)) {
    throw new UserError(`Cannot make a fault in ${folder}: it has ${RECORD}, so it is faulty already`);
  }
  const words = new Words(seed);
  const done: Made["done"] = [];
  let { files } = source;
  for (const { model, fault } of asked) {
    if (model.kind !== "source") continue;
    const made = mutated({ ...source, files }, model, { fault, words });
    files = made.files;
    done.push(...made.done);
  }
  const around = asked.flatMap(({ model, fault }) => model.kind === "wrapped" ? [{ model, fault }] : []);
  if (around.length > 0) {
    const made = await surrounded({ ...source, files }, around, { words });
    files = made.files;
    done.push(...made.done);
  }
  const faults = done.map(({ fault }) => fault);
  const says = done.map(({ says }) => says).join("; ");
  const record = JSON.stringify({ faults, seed, says }, null, 2) + "\n";
  await write(new Map(files).set(RECORD, bytes(record)), to);
  return { folder: to, file: join(to, entry), faults, says };
}
