// The archive a kernel unpacks as its first file system (Documentation/driver-api/early-userspace/
// buffer-format.rst). Written here because device nodes in it take no privileges this way.

import { concat } from "../bytes.ts";

/** One entry of the archive. Directories must come before what is in them. */
export type Entry =
  | { path: string; type: "directory" }
  | { path: string; type: "file"; data: Uint8Array; executable?: boolean }
  | { path: string; type: "device"; major: number; minor: number };

const DIRECTORY = 0o040755;
const FILE = 0o100644;
const EXECUTABLE = 0o100755;
const CHARACTER_DEVICE = 0o020600;

/** Writes a "newc" archive. */
export function cpio(entries: readonly Entry[]): Uint8Array<ArrayBuffer> {
  const parts: Uint8Array[] = [];
  let inode = 0;
  const add = (
    name: string,
    mode: number,
    data: Uint8Array = new Uint8Array(),
    device = { major: 0, minor: 0 },
  ) => {
    const encoded = new TextEncoder().encode(`${name}\0`);
    const fields = [
      ++inode,
      mode,
      0,
      0,
      1,
      0,
      data.length,
      0,
      0,
      device.major,
      device.minor,
      encoded.length,
      0,
    ];
    const header = "070701" + fields.map((field) => field.toString(16).padStart(8, "0")).join("");
    parts.push(new TextEncoder().encode(header), encoded, padding(header.length + encoded.length));
    parts.push(data, padding(data.length));
  };
  for (const entry of entries) {
    if (entry.type === "directory") add(entry.path, DIRECTORY);
    else if (entry.type === "device") add(entry.path, CHARACTER_DEVICE, undefined, entry);
    else add(entry.path, entry.executable ? EXECUTABLE : FILE, entry.data);
  }
  add("TRAILER!!!", 0);
  return concat(parts);
}

function padding(length: number): Uint8Array {
  return new Uint8Array(-length & 3);
}
