/** Another version of a driver, from a folder of this machine. */
import { basename, resolve } from "node:path";
import { UserError } from "../error.ts";
import { checkout } from "../lab/checkout.ts";
import { folderOf } from "../manifest/folder.ts";
import type { Target } from "./target.ts";

/** The ids of the versions before and after. */
export interface Upgrade {
  from: string;
  to: string;
}

/** A driver's file as its folder below one named `drivers`, and the path in that. */
function split(file: string): { folder: string; relative: string } {
  const folder = folderOf(file);
  if (!folder) throw new UserError(`Cannot upgrade: ${file} is not in a folder of its own below "drivers"`);
  return { folder, relative: file.slice(folder.length + 1) };
}

/**
 * Has a driver replaced by what a folder holds; without one, by what its own folder now holds: in a lab, that
 * of this checkout. Resolves when the new version has stood its first seconds.
 * @throws {UserError} if there is nothing to take, or the new version did not stand.
 */
export async function upgrade(target: Target, name: string, from?: string): Promise<Upgrade> {
  const driver = target.drivers.find((one) => one.name === name);
  if (!driver) throw new UserError(`No driver ${name} is supervised there`);
  if (from === undefined && !target.lab) return await target.client.act<Upgrade>(name, "upgrade");
  const { folder, relative } = split(driver.version.path);
  const source = from === undefined
    ? `${checkout()}/drivers/${basename(folder)}`
    : resolve(from).replace(new RegExp(`/${RegExp.escape(relative)}$`), "");
  const there = await Deno.stat(`${source}/${relative}`).then(({ isFile }) => isFile, () => false);
  if (!there) throw new UserError(`Cannot upgrade ${name}: there is no ${source}/${relative}`);
  await using staged = await target.stage(source);
  return await target.client.act<Upgrade>(name, "upgrade", {
    path: `${staged.folder}/${relative}`,
    source: `${source}/${relative}`,
  });
}
