// The x86 boot protocol keeps the compressed kernel behind a setup header (Documentation/arch/x86/boot.rst).
// QEMU boots the ELF file inside it directly, over PVH, which saves the guest from decompressing it.
import { zstdDecompressSync } from "node:zlib";
import { run } from "./command.ts";

const SETUP_SECTORS = 0x1f1;
const MAGIC = 0x202;
const VERSION = 0x206;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;

const ELF = [0x7f, 0x45, 0x4c, 0x46];
const XZ = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00];
const ZSTD = [0x28, 0xb5, 0x2f, 0xfd];

/**
 * The compressed payload of a bzImage, without the uncompressed size that follows it.
 * @throws {TypeError} if the file has no setup header of version 2.08 or later.
 */
export function payload(image: Uint8Array): Uint8Array {
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (image.length < 0x250 || new TextDecoder().decode(image.subarray(MAGIC, MAGIC + 4)) !== "HdrS") {
    throw new TypeError("not a bzImage: it has no setup header");
  }
  if (view.getUint16(VERSION, true) < 0x208) {
    throw new TypeError("a bzImage of a boot protocol before 2.08, which does not say where its payload is");
  }
  const setup = (image[SETUP_SECTORS] || 4) + 1;
  const start = setup * SECTOR + view.getUint32(PAYLOAD_OFFSET, true);
  const length = view.getUint32(PAYLOAD_LENGTH, true);
  if (length < 4 || start + length > image.length) throw new TypeError("a truncated bzImage");
  return image.subarray(start, start + length - 4);
}

/**
 * Unpacks the ELF kernel of a bzImage whose payload is xz or Zstandard, as Debian's are.
 * @throws {TypeError} if it is anything else.
 */
export async function unpackKernel(image: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const packed = payload(image);
  let kernel: Uint8Array<ArrayBuffer>;
  if (begins(packed, XZ)) {
    kernel = await run(["xz", "--decompress", "--stdout", "--single-stream"], {
      what: "unpack the kernel",
      input: packed,
    });
  } else if (begins(packed, ZSTD)) {
    kernel = new Uint8Array(zstdDecompressSync(packed));
  } else {
    throw new TypeError("a bzImage that is compressed with neither xz nor Zstandard");
  }
  if (!begins(kernel, ELF)) throw new TypeError("a bzImage whose payload is not an ELF file");
  return kernel;
}

function begins(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, i) => bytes[i] === byte);
}
