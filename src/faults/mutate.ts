/** Faults made by changing a driver's source in one place. */
import type { Words } from "../check/content.ts";
import { UserError } from "../error.ts";
import { apply, matters, type Site, sitesOf } from "./edit.ts";
import type { SourceModel } from "./models/model.ts";
import type { DriverFault } from "./schema.ts";
import { bytes, codeOf, type Made, type Source, text } from "./source.ts";

/** Places of a driver at which a model can change its source, in the order of files and lines. */
export function placesOf(source: Source, { mutate }: SourceModel): Site[] {
  return codeOf(source).flatMap(([path, code]) => sitesOf(path, code, mutate));
}

/** Changes the place that the fault names, or one that is drawn. @throws {UserError} if there is none. */
export function mutated(
  source: Source,
  model: SourceModel,
  { fault, words }: { fault: { file?: string; site?: number }; words: Words },
): Made {
  const refuse = (why: string) =>
    new UserError(
      `Cannot make ${model.name} in ${source.folder}${fault.file ? `, ${fault.file}` : ""}: ${why}`,
    );
  const sites = placesOf(source, model).map((site, number) => ({ site, number }))
    .filter(({ site }) => fault.file === undefined || site.file === fault.file);
  if (sites.length === 0) throw refuse("there is no place for it");
  const contentOf = (site: Site) => text(source.files.get(site.file)!);
  let chosen: typeof sites[number] | undefined;
  if (fault.site !== undefined) {
    chosen = sites.find(({ number }) => number === fault.site);
    if (!chosen) throw refuse(`there is no place ${fault.site}`);
    if (!matters(contentOf(chosen.site), chosen.site)) {
      throw refuse(`place ${fault.site} would change nothing`);
    }
  } else {
    // Those that would change nothing are rare: the next one is taken.
    const first = words.next() % sites.length;
    chosen = [...sites.slice(first), ...sites.slice(0, first)].find(({ site }) =>
      matters(contentOf(site), site)
    );
    if (!chosen) throw refuse("every place would change nothing");
  }
  const { site, number } = chosen;
  const files = new Map(source.files).set(site.file, bytes(apply(contentOf(site), site)));
  const said = { model: model.name, file: site.file, site: number } as DriverFault;
  return { files, done: [{ fault: said, says: `${site.file}:${site.line}: ${site.says}` }] };
}
