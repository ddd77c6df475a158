/** Manifests by the name that a user gives. */
import { checkout } from "../lab/checkout.ts";
import { UserError } from "../error.ts";
import { findManifests, loadManifest, type Manifest } from "../manifest/mod.ts";
import { didYouMean } from "../suggest.ts";

/** The checkout's manifests. */
export const MANIFESTS = `${checkout()}/manifests`;

/** The manifest of that name in a folder, or in that file. @throws {UserError} if there is none, or it is wrong. */
export async function findManifest(nameOrFile: string, folder: string = MANIFESTS): Promise<Manifest> {
  if (nameOrFile.includes("/") || nameOrFile.endsWith(".json")) return await loadManifest(nameOrFile);
  const file = `${folder}/${nameOrFile}.json`;
  if (await Deno.stat(file).then(() => true, () => false)) return await loadManifest(file);
  const { manifests } = await findManifests(folder);
  const names = manifests.map(({ name }) => name);
  throw new UserError(
    `There is no driver "${nameOrFile}"${didYouMean(nameOrFile, names) || `; there is ${names.join(", ")}`}`,
  );
}
