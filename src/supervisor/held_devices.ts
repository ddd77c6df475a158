/**
 * Which driver of the kernel's each device was taken from: kept in files, so that a device can be given back
 * also after its supervisor was killed.
 */
import { RUNTIME_DIRECTORY } from "../run/runtime.ts";

/** Where the files are, a file for each device, named by its address. */
const FOLDER = `${RUNTIME_DIRECTORY}/devices`;

/** Replaced in tests. */
export interface HeldOptions {
  folder?: string;
}

/** Takes down the driver that a device was taken from, null if it had none. */
export async function rememberPrevious(
  address: string,
  previous: string | null,
  { folder = FOLDER }: HeldOptions = {},
): Promise<void> {
  await Deno.mkdir(folder, { recursive: true, mode: 0o755 });
  await Deno.writeTextFile(`${folder}/${address}`, previous ?? "");
}

/** The driver that a device was taken from; null if it had none, or nothing is known of it. */
export async function previousDriver(
  address: string,
  { folder = FOLDER }: HeldOptions = {},
): Promise<string | null> {
  const text = await Deno.readTextFile(`${folder}/${address}`).catch(() => "");
  return text || null;
}

/** Forgets a device that has been given back. */
export async function forgetPrevious(address: string, { folder = FOLDER }: HeldOptions = {}): Promise<void> {
  await Deno.remove(`${folder}/${address}`).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}
