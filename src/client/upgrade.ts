/** Another version of a driver, from a folder of this machine. */
import { basename, resolve } from "node:path";
import { UserError } from "../error.ts";
import { checkout } from "../lab/checkout.ts";
import { folderOf } from "../manifest/folder.ts";
import type { InjectOptions } from "../supervisor/contract.ts";
import type { Target } from "./target.ts";

/** The ids of the versions before and after. */
export interface Upgrade {
  from: string;
  to: string;
}

/** A driver's file as its folder below one named `drivers`, and the path in that. */
function split(file: string): { folder: string; relative: string } {
  const folder = folderOf(file);
  if (!folder) {
    throw new UserError(`Cannot take a version: ${file} is not in a folder of its own below "drivers"`);
  }
  return { folder, relative: file.slice(folder.length + 1) };
}

/** What a version is taken from, where the supervisor can read it until this is disposed of. */
interface Source extends AsyncDisposable {
  body: { path?: string; source?: string };
}

/** What `from` holds; without it, what the driver's own folder holds: in a lab, that of this checkout. */
async function sourceOf(target: Target, name: string, from?: string): Promise<Source> {
  const driver = target.drivers.find((one) => one.name === name);
  if (!driver) throw new UserError(`No driver ${name} is supervised there`);
  if (from === undefined && !target.lab) {
    return { body: {}, [Symbol.asyncDispose]: () => Promise.resolve() };
  }
  const { folder, relative } = split(driver.file);
  const source = from === undefined
    ? `${checkout()}/drivers/${basename(folder)}`
    : resolve(from).replace(new RegExp(`/${RegExp.escape(relative)}$`), "");
  const there = await Deno.stat(`${source}/${relative}`).then(({ isFile }) => isFile, () => false);
  if (!there) throw new UserError(`Cannot take a version of ${name}: there is no ${source}/${relative}`);
  const staged = await target.stage(source);
  return {
    body: { path: `${staged.folder}/${relative}`, source: `${source}/${relative}` },
    [Symbol.asyncDispose]: () => staged[Symbol.asyncDispose](),
  };
}

/**
 * Has a driver replaced by what a folder holds; without one, by what its own folder now holds: in a lab, that
 * of this checkout. Resolves when the new version has stood its first seconds.
 * @throws {UserError} if there is nothing to take, or the new version did not stand.
 */
export async function upgrade(target: Target, name: string, from?: string): Promise<Upgrade> {
  await using source = await sourceOf(target, name, from);
  return await target.client.act<Upgrade>(name, "upgrade", source.body);
}

/**
 * Has a driver replaced by what a folder holds for the life of one process: however that ends, the next one is of
 * the version before. Resolves when it has the device, which it waits for while another fault runs.
 * @param options `path`: the folder, or the driver's file in it.
 * @throws {UserError} if the supervisor allows no faults, or this one did not get as far as the device.
 */
export async function inject(
  target: Target,
  name: string,
  { path, ...fault }: Omit<InjectOptions, "source">,
): Promise<Upgrade> {
  await using source = await sourceOf(target, name, path);
  return await target.client.act<Upgrade>(name, "faults", { ...source.body, ...fault });
}
